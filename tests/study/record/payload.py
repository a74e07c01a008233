"""What makes a file, the canary, when it is unpickled."""

from pathlib import Path
from typing import Any

import pytest


class Payload:
    """Unpickled, it makes a file."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> Any:
        return Path.touch, (self.canary,)


@pytest.fixture
def canary(tmp_path: Path) -> Any:
    return tmp_path / "canary"
