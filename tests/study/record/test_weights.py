"""Weights of another model are named, and nothing larger than its file is made."""

from pathlib import Path

import numpy as np
import pytest
import torch

from anchoring import InputError
from study.record.weights import load_weights


def test_weights_of_another_model_are_named(tmp_path: Path) -> None:
    import safetensors.torch

    file = tmp_path / "x.safetensors"
    file.write_bytes(safetensors.torch.save({"weight": torch.zeros(2, 3), "bias": torch.zeros(2)}))
    assert load_weights(file, lambda: torch.nn.Linear(3, 2)).weight.shape == (2, 3)
    with pytest.raises(InputError, match=r"x\.safetensors: found 8 weights, expected 10"):
        load_weights(file, lambda: torch.nn.Linear(4, 2))
    file.write_bytes(safetensors.torch.save({"weight": torch.zeros(3, 2), "bias": torch.zeros(2)}))
    with pytest.raises(InputError, match=r"found the tensor weight \[3, 2\], expected weight \[2, 3\]"):
        load_weights(file, lambda: torch.nn.Linear(3, 2))


def test_what_is_too_large_for_its_file_would_be_seen(tmp_path: Path) -> None:
    """The positive control: so much can be allocated otherwise, and a little can be within."""
    import safetensors.torch

    file = tmp_path / "x.safetensors"
    file.write_bytes(safetensors.torch.save({"weight": torch.zeros(2)}))
    np.empty(2**31, dtype=np.uint8)
    for size, said in ((2**31, "cannot be made in 1 GiB"), (2**20, "found 2 weights, expected 0")):
        with pytest.raises(InputError, match=said):
            load_weights(file, lambda size=size: torch.nn.Sequential() if len(np.empty(size, np.uint8)) else None)  # type: ignore[arg-type, misc]
