from typing import Any

import pytest
import torch

from anchoring.layers import activations
from anchoring.terms import Seen
from benchmarks import comparators
from benchmarks.comparators import Routed
from excolor import colors


@pytest.fixture
def model() -> Any:
    return comparators.experiment.model(comparators.setting("hue"), [0])[0]


def test_routed_gradients_of_labelled_samples_reach_the_reserved_dims_alone(model: Any) -> None:
    x = colors.rgb_centres(2)
    labels = {"concept": torch.tensor([1.0, 0, 1, 0, 0, 0, 0, 1])}

    def task(output: Any) -> Any:
        return (output - x).square().mean(-1)

    layers = activations(model, x)
    layers["encoder"].retain_grad()
    seen = Seen(layers, labels, lambda edits: activations(model, x, edits), task)
    routed = Routed(dims=(0, 1), labels={"concept": 1.0}).total(seen)
    assert routed.item() == pytest.approx(0, abs=1e-7)  # no loss of its own, only other gradients
    writer = model.encoder[-1].weight
    (routed_only,) = torch.autograd.grad(routed + task(layers["output"]).mean(), writer, retain_graph=True)
    of_all = torch.autograd.grad(task(layers["output"]).mean(), writer, retain_graph=True)[0]
    unlabelled = torch.autograd.grad(((1 - labels["concept"]) * task(layers["output"])).mean(), writer)[0]
    torch.testing.assert_close(routed_only[:2], of_all[:2])
    torch.testing.assert_close(routed_only[2:], unlabelled[2:])


@pytest.mark.parametrize("concept", ["hue", "red"])
@pytest.mark.parametrize("way", [comparators.mean_difference, comparators.probe_direction])
def test_no_line_reads_what_was_projected_out(model: Any, concept: Any, way: Any) -> None:
    examples = comparators.target(concept)
    with torch.no_grad():
        before = activations(model, examples.inputs)["encoder"]
        after = activations(model, examples.inputs, way(model, concept))["encoder"]
    lost = 2 if concept == "hue" else 1
    rank = torch.linalg.matrix_rank(after - after.mean(0), rtol=1e-4)
    assert (torch.linalg.matrix_rank(before - before.mean(0), rtol=1e-4) - rank).item() == lost
