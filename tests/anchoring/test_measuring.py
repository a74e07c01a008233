"""Native code measures what PyTorch measures, or nothing."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from anchoring import kinds, measuring
from anchoring.measuring import measured
from anchoring.native import Unsupported, compiler
from excolor.experiment import Colors, experiment
from tests.anchoring.blobs import Blobs, changed

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(not compiler(), reason="there is no C++ compiler"),
    pytest.mark.usefixtures("session_cache"),
]


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    kinds.MADE.clear()
    yield
    kinds.MADE.clear()


def natives() -> list[bool]:
    """Whether native code was found to measure each kind of setting so far."""
    return [native is not None for native in kinds.MADE.values()]


@pytest.mark.parametrize("name", ["subspace-ablation", "subspace-ablation-red", "hue-deletion"])
def test_colours_are_measured_as_by_pytorch(load: Any, spaces: Any, name: str) -> None:
    setting = load(spaces / f"{name}.toml")
    first, second = experiment.model(setting, range(3)), experiment.model(setting, [7, 8])
    second.set_flat(second.flat() * 1.5)
    measured(experiment, first, setting, compiled=True)
    found = measured(experiment, second, setting, compiled=True)
    assert natives() == [True]
    assert_close(found, experiment.measured(second, setting), rtol=1e-4, atol=1e-5)


def test_a_rung_does_not_depend_on_what_the_process_measured_before(subspace_ablation: Any) -> None:
    model = experiment.model(subspace_ablation, range(3))
    first, again = (measured(experiment, model, subspace_ablation, compiled=True) for _ in range(2))
    assert natives() == [True]
    assert all(torch.equal(first[name], metric) for name, metric in again.items())


def test_a_diverged_replica_is_measured_as_by_pytorch(subspace_ablation: Any) -> None:
    model = experiment.model(subspace_ablation, range(3))
    measured(experiment, model, subspace_ablation, compiled=True)
    rows = model.flat()
    rows[1] = torch.nan
    model.set_flat(rows)
    found = measured(experiment, model, subspace_ablation, compiled=True)
    assert natives() == [True]
    for name, expected in experiment.measured(model, subspace_ablation).items():
        assert_close(found[name], expected, rtol=1e-4, atol=1e-5, equal_nan=True)


def test_trials_that_differ_in_weights_share_one_measure(subspace_ablation: Any) -> None:
    terms = dict(list(subspace_ablation.regularizers.items())[:1])
    other = subspace_ablation.model_copy(update={"regularizers": terms, "title": "another"})
    for setting in (subspace_ablation, other):
        measured(experiment, experiment.model(setting, [0]), setting, compiled=True)
    assert natives() == [True]


class ReadsLabels(Colors):
    def measure(self, intact: Any, ablated: Any, setting: Any) -> Any:
        return {**super().measure(intact, ablated, setting), "utility": torch.tensor(float(len(setting.labels)))}


class UsesNumpy(Colors):
    def measure(self, intact: Any, ablated: Any, setting: Any) -> Any:
        found = super().measure(intact, ablated, setting)
        return {**found, "utility": float(np.mean(intact(torch.rand(4, 3)).numpy()))}


class Counts(Colors):
    """Each call answers otherwise, so it cannot be computed once and for all."""

    calls = 0

    def measure(self, intact: Any, ablated: Any, setting: Any) -> Any:
        self.calls += 1
        return {**super().measure(intact, ablated, setting), "utility": torch.tensor(float(self.calls))}


@pytest.mark.parametrize("own", [ReadsLabels, UsesNumpy, Counts])
def test_what_native_code_cannot_measure_pytorch_does(subspace_ablation: Any, own: type[Colors]) -> None:
    mine = own()
    model = mine.model(subspace_ablation, range(2))
    for _ in range(2):
        found = measured(mine, model, subspace_ablation, compiled=True)
    assert natives() == [False]
    if own is ReadsLabels:
        assert_close(found, mine.measured(model, subspace_ablation))


class Scored(Blobs):
    """Its metrics are of constants, a product and a choice, and one of them is a plain number."""

    def measure(self, intact: Any, ablated: Any, setting: Any) -> Any:
        x, classes = self.data(setting).inputs.detach().clone(), torch.arange(3) % 2
        right, left = ((m(x).softmax(-1) * classes).sum(-1).clamp(0, 1) for m in (intact, ablated))
        return {"accuracy": torch.stack([right.mean(), left.mean()]).prod(), "lost": 0.25}


def test_ones_own_experiment_is_measured_natively_too() -> None:
    mine, setting = Scored(), changed()
    points = mine.data(setting)
    mine.data = lambda setting: points  # type: ignore[method-assign]
    model = mine.model(setting, [0, 1])
    measured(mine, model, setting, compiled=True)
    found = measured(mine, model, setting, compiled=True)
    assert natives() == [True]
    assert_close(found, mine.measured(model, setting), rtol=1e-4, atol=1e-5)


def test_native_measures_may_not_read_what_differs_between_trials(subspace_ablation: Any) -> None:
    seen = measuring._narrowed(subspace_ablation)
    assert seen.ablation == subspace_ablation.ablation
    with pytest.raises(Unsupported, match="metrics read the setting's labels"):
        seen.labels  # noqa: B018
