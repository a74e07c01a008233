"""Which terms act in a step, with which weights and on which parameters."""

from functools import partial
from typing import Any

import pytest
import torch
from torch.testing import assert_close

from anchoring.ablation import Ablate
from anchoring.dopesheet import Dopesheet
from anchoring.layers import Edited, activations
from anchoring.terms import Fallback, Seen, Unitarity
from anchoring.training import Training, train
from excolor import colors
from excolor.experiment import experiment
from excolor.models import ModelConfig


class Poison(Unitarity):
    """A term that is not a number."""

    def per_sample(self, z: Any) -> Any:
        return super().per_sample(z) * torch.nan


def with_terms(setting: Any, **weights: Any) -> Any:
    """The setting with only these poisonous terms. Their columns hold these weights; a term with None has no column."""
    names = [name for name, weight in weights.items() if weight is not None]
    rows = [
        ["STEP", "lr", *names],
        ["0", "0.01", *(str(weights[name]) for name in names)],
        ["9", "", *("" for _ in names)],
    ]
    terms = {name: Poison() if weight == 0 else Unitarity() for name, weight in weights.items()}
    return setting.model_copy(update={"regularizers": terms, "schedule": Dopesheet.parse(rows)})


def test_a_weight_of_zero_skips_even_a_term_that_is_not_a_number(short: Any) -> None:
    skipped, _ = train(experiment, with_terms(short, off=0), [0], rungs=1)
    without, _ = train(experiment, with_terms(short), [0], rungs=1)
    for a, b in zip(skipped.parameters(), without.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_term_without_a_column_has_weight_one(short: Any) -> None:
    trained = [train(experiment, with_terms(short, norm=weight), [0], rungs=1)[0] for weight in (None, 1, 2)]
    without, one, two = (model.flat() for model in trained)
    assert torch.equal(without, one)
    assert not torch.allclose(one, two, atol=1e-3)


def test_terms_of_validation_are_measured_and_not_trained(short: Any) -> None:
    term = Unitarity(when="validation", labels={"red": 1.0})
    watched = short.model_copy(update={"regularizers": {"watched": term}})
    bare = short.model_copy(update={"regularizers": {}})
    model, rungs = train(experiment, watched, [0, 1], rungs=1)
    unwatched, _ = train(experiment, bare, [0, 1], rungs=1)
    for a, b in zip(model.parameters(), unwatched.parameters(), strict=True):
        assert torch.equal(a, b)
    x = colors.validation_grid()
    x = x[torch.randperm(len(x), generator=torch.Generator().manual_seed(0))]
    means = []
    for batch in x.split(64):
        probability = short.labels["red"].probability(colors.redness(batch))
        losses = (model.activations(batch)["encoder"].norm(dim=-1) - 1).square()
        means.append((losses * probability).sum(-1) / (probability.sum() + 1e-8))
    assert_close(rungs[-1].metrics["loss.watched"], torch.stack(means).mean(0).detach(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("kind", "layer"), [("ColorMLP", "encoder"), ("NormedColorMLP", "bottleneck")])
def test_fallback_trains_the_decoders_answer_and_nothing_else(kind: Any, layer: Any) -> None:
    model, x = ModelConfig(kind=kind).make(), torch.rand(30, 3)

    def task(output: Any) -> Any:
        return (output - x).square().mean(1)

    seen = Seen(activations(model, x), {}, partial(activations, model, x), task)
    loss = Fallback(dims=(0, 1), layers=[layer]).total(seen)
    emptied = Edited(model, {layer: lambda z: z * torch.tensor([0.0, 0, 1, 1])})
    assert_close(loss, (emptied(x) - x).square().mean())
    if kind == "ColorMLP":
        assert_close(loss, (Edited(model, Ablate().edits(model))(x) - x).square().mean())
    loss.backward()
    assert all(p.grad is None for p in model.encoder.parameters())
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.decoder.parameters())


def test_fallback_in_a_step_moves_the_decoder_alone(short: Any) -> None:
    """With the term, Adam's first moments, which sum gradients, change for the decoder's weights only."""
    rows = [["STEP", "lr", "fallback"], ["0", "0", "1"], ["4", "0", "1"]]
    setting = short.model_copy(update={"regularizers": {"fallback": Fallback()}, "schedule": Dopesheet.parse(rows)})
    alone = Training(experiment, setting, [0], rungs=1)
    alone.advance(next(alone.segments()))
    bare = Training(experiment, setting.model_copy(update={"regularizers": {}}), [0], rungs=1)
    bare.advance(next(bare.segments()))
    names = [name for name, p in ModelConfig().make().named_parameters() for _ in range(p.numel())]
    moved = {name for name, a, b in zip(names, alone.moments[0, 0], bare.moments[0, 0], strict=True) if a != b}
    assert moved == {name for name in names if name.startswith("decoder")}
