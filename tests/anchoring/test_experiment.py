"""A user's own experiment: a classifier with its own term and its own kind of ablation."""

from typing import Any

import pytest
import torch
from torch.nn import functional as F
from torch.testing import assert_close

from anchoring import TERMS, AnchoredExperiment, InputError, Term
from anchoring.layers import Edited
from anchoring.training import Training, train
from study.experiment import Metric
from tests.anchoring.blobs import DOCUMENT, ROWS, Blobs, Shrink, blobs, changed


def test_a_classifier_is_trained_by_its_own_loss_and_terms() -> None:
    setting = changed()
    model, rungs = train(blobs, setting, [0, 1], rungs=2)
    assert rungs[-1].metrics["accuracy"].min() > 0.95
    assert rungs[-1].metrics["lost"].shape == (2,)
    alone = train(blobs, setting, [1], rungs=1)[0]
    assert_close(alone.flat()[0], model.flat()[1], rtol=1e-4, atol=1e-5)

    rows = [row[:3] for row in ROWS]
    bare = changed(
        schedule={"file": "s.csv", "rows": rows}, regularizers={"anchor": DOCUMENT["regularizers"]["anchor"]}
    )
    without = train(blobs, bare, [0, 1], rungs=1)[0]
    x = blobs.data(setting).inputs
    lengths = [m.activations(x)["encoder"].abs().sum(-1).mean() for m in (model, without)]
    assert lengths[0] < lengths[1] - 0.05  # the term acts


def test_the_loss_is_that_of_ordinary_pytorch() -> None:
    rows = [["STEP", "lr"], ["0", "0.02"], ["4", "0.02"]]
    setting = changed(schedule={"file": "s.csv", "rows": rows}, regularizers={}, labels={})
    before = blobs.model(setting, [5])[0].train()
    adam, data = torch.optim.Adam(before.parameters(), lr=0.02), []
    training = Training(blobs, setting, [5], rungs=1)
    segment = next(training.segments())
    for x, y in zip(*(part[:, 0] for part in segment.batch), strict=True):
        data.append((x, y))
        adam.zero_grad()
        F.cross_entropy(before(x), y).backward()
        adam.step()
    training.advance(segment)
    for a, b in zip(training.model[0].parameters(), before.parameters(), strict=True):
        assert_close(a, b, rtol=1e-4, atol=1e-6)
    every = blobs.data(setting)
    classes = {tuple(x): int(y) for x, y in zip(every.inputs.tolist(), every.targets, strict=True)}
    assert all(classes[tuple(x)] == y for xs, ys in data for x, y in zip(xs.tolist(), ys.tolist(), strict=True))


def test_kinds_of_ablation_of_ones_own_are_found_by_their_kind() -> None:
    setting = changed(ablation={"kind": "shrink", "share": 0.5})
    model = blobs.model(setting, [0, 1])
    x = blobs.data(setting).inputs
    outputs = model.edited(blobs.edits(setting))(x)
    for one, output in zip(model, outputs, strict=True):
        assert_close(output, one.head(one.encoder(x) * 0.5))
    measured = blobs.measured(model, setting)
    assert {name: metric.shape for name, metric in measured.items()} == {"accuracy": (2,), "lost": (2,)}
    everything = blobs.measured(model, setting, lambda one: {"output": lambda z: z * 0 + torch.tensor([0.0, 0, 1])})
    assert_close(everything["accuracy"] - everything["lost"], torch.full((2,), 1 / 3))
    assert changed(ablation={"kind": "leace"}).ablation.kind == "leace"


def test_validation_touches_no_global_random_numbers() -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    changed()
    assert torch.equal(torch.rand(1), expected)


class Anchor(Term):
    def per_sample(self, z: Any) -> Any:
        return z.sum(-1)


class Again(Shrink):
    pass


Again.__name__ = "SHRINK"


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ({"terms": (*TERMS, Anchor)}, "experiment blobs: found two terms named Anchor, expected distinct names"),
        (
            {"ablations": (Shrink, Again)},
            "experiment blobs: found two kinds of ablation named shrink, expected distinct",
        ),
    ],
)
def test_terms_and_kinds_need_names_of_their_own(classes: Any, message: Any) -> None:
    with pytest.raises(InputError) as error:
        type("Other", (Blobs,), classes)().setting(DOCUMENT, "s.toml")
    assert str(error.value).startswith(message)


@pytest.mark.parametrize(
    ("measured", "message"),
    [
        ({"lost": 1.0}, "experiment blobs: metric accuracy: declared but not measured, expected a number"),
        (
            {"accuracy": 1.0, "loss": 1.0},
            "experiment blobs: metric loss: measured but not declared, expected one of accuracy, lost",
        ),
        ({"accuracy": "good"}, "experiment blobs: metric accuracy: found 'good', expected a number"),
        (
            {"accuracy": torch.zeros(3)},
            "experiment blobs: metric accuracy: found a tensor [3], expected a single number",
        ),
    ],
)
def test_measures_that_are_not_what_was_declared(measured: Any, message: Any) -> None:
    other = type("Other", (Blobs,), {"measure": lambda *_: measured})()
    setting = other.setting(DOCUMENT)
    with pytest.raises(InputError) as error:
        other.measured(other.model(setting, [0, 1]), setting)
    assert str(error.value) == message


def test_a_metric_is_declared_by_the_method_that_computes_it() -> None:
    class Means(Blobs):
        metrics, measure = AnchoredExperiment.metrics, AnchoredExperiment.measure

        @Metric("of the classes", ideal=None)
        def mean(self, intact: Any, ablated: Any, setting: Any) -> Any:
            return intact(self.data(setting).inputs).mean()

    class More(Means):
        def observe(self, intact: Any, ablated: Any, setting: Any) -> Any:
            return (intact(self.data(setting).inputs),)

        @Metric("of the classes, twice", ideal=None)
        def mean(self, answers: Any) -> Any:
            return 2 * answers.mean()

        @Metric("the largest", ideal=None)
        def most(self, answers: Any) -> Any:
            return answers.max()

    setting = changed()
    assert {name: metric.meaning for name, metric in Means().metrics(setting).items()} == {"mean": "of the classes"}
    assert list(More().metrics(setting)) == ["mean", "most"]
    assert More().metrics(setting)["mean"].meaning == "of the classes, twice"
    model = Means().model(setting, [0, 1])
    assert torch.allclose(More().measured(model, setting)["mean"], 2 * Means().measured(model, setting)["mean"])
    Means.mean = None  # type: ignore[method-assign]
    with pytest.raises(InputError, match="experiment blobs: found no metric, expected a method under @Metric"):
        Means().metrics(setting)


def test_measures_may_be_numbers_of_any_kind() -> None:
    def measure(self: Any, intact: Edited, ablated: Edited, setting: Any) -> Any:
        z = intact.activations(self.data(setting).inputs)["encoder"]
        return {"accuracy": float(z.detach().numpy().mean()), "lost": z.argmax()}

    other = type("Other", (Blobs,), {"measure": measure})()
    _, rungs = train(other, changed(), [0, 1], rungs=1)
    assert {name: metric.dtype for name, metric in rungs[0].metrics.items()} == dict.fromkeys(
        ("accuracy", "lost"), torch.float32
    )


@pytest.mark.parametrize("useless", [None, -1.0])
def test_a_replica_whose_objective_is_infinite_has_diverged(useless: Any) -> None:
    def metrics(self: Any, setting: Any) -> Any:
        return {"margin": Metric("of logits", ideal=None, diverged=useless), "share": Metric("of it")}

    def measure(self: Any, intact: Any, ablated: Any, setting: Any) -> Any:
        first = intact(self.data(setting).inputs).sum()
        return {"margin": torch.where(first > 0, torch.inf, first), "share": first * 0 + 0.5}

    other = type("Other", (Blobs,), {"metrics": metrics, "measure": measure})()
    _, (rung,) = train(other, changed(), range(8), rungs=1)
    assert 0 < rung.diverged.sum() < 8
    margin, share = rung.metrics["margin"], rung.metrics["share"]
    assert margin[~rung.diverged].max() < 0
    assert margin[rung.diverged].isnan().all() if useless is None else (margin[rung.diverged] == useless).all()
    assert torch.equal(share.isnan(), rung.diverged)


def test_segments_are_cut_by_the_bytes_that_samples_take(monkeypatch: pytest.MonkeyPatch) -> None:
    setting = changed()
    monkeypatch.setattr("anchoring.training.BYTES_AT_ONCE", 2 * 32 * (2 * 4 + 8 + 4) * 7)
    segments = list(Training(blobs, setting, [0, 1], rungs=1).segments())
    assert [len(segment.batch[0]) for segment in segments] == [7] * 8 + [4]
    assert sum(part[0].nbytes for part in segments[0].batch) == 2 * 32 * (2 * 4 + 8 + 4)
