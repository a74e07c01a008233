"""What an experiment reports is held against what it declares."""

import numpy as np
import pytest
import torch

from anchoring import InputError
from study.experiment import Metric
from study.metrics import measured


def test_what_is_reported_is_held_against_what_is_declared() -> None:
    """Diverged replicas may lack a number; so may any, of a metric that leaves diverged ones out."""
    declared = {"a": Metric("", diverged=0.0), "b": Metric("")}
    found = {"a": torch.tensor([1.0, torch.nan]), "b": [np.nan, 3]}
    arrays = measured("x", found, declared, torch.tensor([False, True]), 2)
    assert list(arrays) == ["diverged", "a", "b"]
    with pytest.raises(InputError, match=r"experiment x: metric a: found nan for replica 1, expected a finite number"):
        measured("x", found, declared, torch.tensor([False, False]), 2)
    for wrong in ([1, 0], torch.zeros(2), torch.zeros(3, dtype=torch.bool), "yes"):
        with pytest.raises(InputError, match=r"experiment x: diverged: found .*expected"):
            measured("x", found, declared, wrong, 2)
    for wrong in ("much", ["a", "b"], [[1], [2]], 1j * np.ones(2), None, [1, 2, 3], object()):  # type: ignore[assignment]
        with pytest.raises(InputError, match=r"experiment x: metric b: found .*expected"):
            measured("x", found | {"b": wrong}, declared, torch.tensor([False, True]), 2)
