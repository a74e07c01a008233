"""What tests of the method share: a short setting, and a cache of native code."""

from collections.abc import Iterator
from typing import Any

import platformdirs
import pytest

from anchoring.dopesheet import Dopesheet, rescale


@pytest.fixture(scope="module")
def session_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A cache of native code for a module's tests, empty at first."""
    folder = tmp_path_factory.mktemp("native cache")  # with a space
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(platformdirs, "user_cache_path", lambda name: folder)
        yield folder


@pytest.fixture(scope="module")
def short(subspace_ablation: Any) -> Any:
    """Subspace ablation, 120 steps of it."""
    schedule = Dopesheet.parse(rescale(subspace_ablation.schedule.text, 120))
    return subspace_ablation.model_copy(update={"schedule": schedule})
