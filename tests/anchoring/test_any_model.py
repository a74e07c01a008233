"""Models of any kind: gigantic ones, ones that cannot be replicated, and ones that name no layers."""

import resource
import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from anchoring import Data, InputError
from anchoring.training import train
from excolor.experiment import experiment as colors
from tests.anchoring.blobs import DOCUMENT, Blobs, Classifier


def color_setting(**model: Any) -> Any:
    schedule = {"file": "s.csv", "rows": [["STEP", "lr"], ["0", "1"]]}
    return colors.setting({"schedule": schedule, "model": model}, "s.toml")


def test_a_gigantic_model_costs_no_memory_until_it_is_trained() -> None:
    color_setting(hidden=1_000_000)  # the first large one imports modules, and their memory should not count
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    setting = color_setting(hidden=10_000_000, bottleneck=1_000_000, depth=3)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kB, where a layer would be 400 TB
    assert setting.model.hidden == 10_000_000


def test_a_small_model_is_checked_without_what_a_large_one_needs() -> None:
    """What runs models without memory takes PyTorch a second or more to import, in every process of a study."""
    code = """
import sys
from excolor.experiment import experiment
schedule = {"file": "s.csv", "rows": [["STEP", "lr"], ["0", "1"]]}
for hidden in (16, 1_000_000):
    experiment.setting({"schedule": schedule, "model": {"hidden": hidden}})
    print([name for name in ("sympy", "torch._dynamo") if name in sys.modules])
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    small, large = ran.stdout.splitlines()
    assert large == "['sympy', 'torch._dynamo']"
    assert small == "[]"


def test_a_model_beyond_all_numbers_is_one_line() -> None:
    with pytest.raises(InputError, match=r"^s.toml: model: cannot be made: .*overflow"):
        color_setting(hidden=10**15, bottleneck=10**15)


def test_a_model_that_cannot_be_made_without_memory_is_made() -> None:
    """A model that reads the values of its weights while it is made."""

    class Scaled(Classifier):
        def __init__(self, width: Any) -> None:
            super().__init__(width)
            with torch.no_grad():
                self.head.weight /= self.head.weight.abs().max().item()

    other = type("Other", (Blobs,), {"build": lambda self, setting: Scaled(setting.model.width)})()
    assert other.setting(DOCUMENT).model.width == 4
    with pytest.raises(InputError, match=r"expected one of input, encoder\.0"):
        other.setting({**DOCUMENT, "ablation": {"layer": "decoder"}})


class Odd(nn.Module):
    """A model with a module between encoder and head."""

    def __init__(self, between: Any) -> None:
        super().__init__()
        self.encoder, self.between, self.head = nn.Linear(2, 4), between, nn.Linear(4, 3)

    def forward(self, x: Any) -> Any:
        return self.head(self.between(self.encoder(x)))


def odd(between: Any) -> Any:
    other = type("Other", (Blobs,), {"build": lambda self, setting: Odd(between())})()
    tables = {"regularizers": {}, "labels": {}, "ablation": {"kind": "suppress"}}
    return other, lambda: other.setting({**DOCUMENT, "schedule": {"file": "s.csv", "rows": LR}, **tables}, "s.toml")


LR = [["STEP", "lr"], ["0", "0.02"], ["4", "0.02"]]


@pytest.mark.parametrize("between", [lambda: nn.Dropout(0.5), lambda: nn.BatchNorm1d(4)])
def test_a_model_that_is_no_function_of_its_arguments_is_one_line(between: Any) -> None:
    other, setting = odd(between)
    with pytest.raises(InputError, match=r"^experiment blobs: a step of training: found an err") as error:
        train(other, setting(), [0, 1], rungs=1)
    assert "\n" not in str(error.value)


def test_normalisation_and_attention_are_replicated_as_they_are() -> None:
    for between in (lambda: nn.LayerNorm(4), lambda: nn.TransformerEncoderLayer(4, 2, 8, dropout=0.0)):
        other, setting = odd(between)
        together, alone = (train(other, setting(), seeds, rungs=1)[0] for seeds in ([0, 1], [1]))
        assert_close(alone.flat()[0], together.flat()[1], rtol=1e-4, atol=1e-5)
        assert_close(together[1](torch.ones(2, 2)), together(torch.ones(2, 2))[1], rtol=1e-4, atol=1e-5)


class Twofold(nn.Module):
    def forward(self, x: Any) -> Any:
        return x, x


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (Twofold, "s.toml: model: output: found tuple, expected the model to return a tensor"),
        (
            lambda: nn.ModuleDict({"output": nn.Linear(2, 3)}),
            "s.toml: model: layer: found a submodule named 'output', expected another name",
        ),
    ],
)
def test_models_that_have_no_layers_to_name(make: Any, message: Any) -> None:
    other = type("Other", (Blobs,), {"build": lambda self, setting: make()})()
    with pytest.raises(InputError) as error:
        other.setting(DOCUMENT, "s.toml")
    assert str(error.value).startswith(message)


def test_data_have_a_row_for_each_sample() -> None:
    with pytest.raises(ValueError, match="zero: found 3 rows, expected 4, one for each sample"):
        Data(torch.zeros(4, 2), {"zero": torch.zeros(3)})
    for weights in ([1.0, -1, 1, 1], [0.0] * 4, [1.0, torch.nan, 1, 1]):
        with pytest.raises(ValueError, match="weights: found negative, infinite or NaN ones, or only 0"):
            Data(torch.zeros(4, 2), weights=torch.tensor(weights))
    with pytest.raises(ValueError, match="targets: found 1 rows, expected 4"):
        Data(torch.zeros(4, 2), targets=torch.zeros(1))
