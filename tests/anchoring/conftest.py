"""What tests of native code share."""

from collections.abc import Iterator
from typing import Any

import platformdirs
import pytest


@pytest.fixture(scope="module")
def session_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A cache of native code for a module's tests, empty at first."""
    folder = tmp_path_factory.mktemp("native cache")  # with a space
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(platformdirs, "user_cache_path", lambda name: folder)
        yield folder
