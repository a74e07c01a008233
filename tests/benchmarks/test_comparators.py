from typing import Any

import pytest
import torch

from anchoring.layers import activations
from anchoring.terms import Seen
from benchmarks import comparators
from benchmarks.comparators import Routed, Training
from excolor import colors


@pytest.fixture
def model() -> Any:
    return comparators.experiment.model(comparators.setting("hue", Training.drawn(1)[0]), [0])[0]


@pytest.mark.parametrize("rest", [False, True])
def test_routed_gradients_of_labelled_samples_reach_the_reserved_dims_alone(model: Any, rest: bool) -> None:
    x = colors.rgb_centres(2)
    labelled = torch.tensor([1.0, 0, 1, 0, 0, 0, 0, 1])

    def task(output: Any) -> Any:
        return (output - x).square().mean(-1)

    layers = activations(model, x)
    layers["encoder"].retain_grad()
    seen = Seen(layers, {"concept": labelled}, lambda edits: activations(model, x, edits), task)
    routed = Routed(dims=(0, 1), rest=rest, labels={"concept": 1.0}).total(seen)
    assert routed.item() == pytest.approx(0, abs=1e-7)  # no loss of its own, only other gradients
    writer = model.encoder[-1].weight

    def gradient(loss: Any) -> Any:
        return torch.autograd.grad(loss, writer, retain_graph=True)[0]

    found = gradient(routed + task(layers["output"]).mean())
    reserved = gradient(((labelled if rest else 1) * task(layers["output"])).mean())
    others = gradient(((1 - labelled) * task(layers["output"])).mean())
    torch.testing.assert_close(found[:2], reserved[:2])
    torch.testing.assert_close(found[2:], others[2:])


def test_noisy_labels_tell_what_the_exact_values_are() -> None:
    for concept in ("hue", "red"):
        exact, labelled = comparators.exact(concept).values, comparators.labelled(concept).values
        error = (labelled - exact).square().mean().sqrt().item()
        assert 0 < error < 0.05, concept


@pytest.mark.parametrize("concept", ["hue", "red"])
@pytest.mark.parametrize("way", [comparators.mean_difference, comparators.probe_direction])
def test_no_line_reads_what_was_projected_out(model: Any, concept: Any, way: Any) -> None:
    examples = comparators.exact(concept)
    with torch.no_grad():
        before = activations(model, examples.inputs)["encoder"]
        after = activations(model, examples.inputs, way(concept, model))["encoder"]
    lost = 2 if concept == "hue" else 1
    rank = torch.linalg.matrix_rank(after - after.mean(0), rtol=1e-4)
    assert (torch.linalg.matrix_rank(before - before.mean(0), rtol=1e-4) - rank).item() == lost
