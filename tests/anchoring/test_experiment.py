"""A user's own experiment: a classifier with its own term and its own kind of ablation."""

import resource

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.testing import assert_close

from anchoring import TERMS, AnchoredExperiment, Config, Data, InputError, Setting, Target, Term
from anchoring.ablation import ABLATIONS, Ablation
from anchoring.fields import Count
from anchoring.layers import Edited
from anchoring.training import Training, train
from excolor.experiment import experiment as colors
from study.experiment import Metric


class Sparse(Term):
    """The mean length of activations in the 1-norm."""

    def per_sample(self, z):
        return z.abs().sum(-1)


class Shrink(Ablation):
    """Takes a share of every activation away."""

    share: float = 1.0

    def edits(self, model, target=None):
        return {self.layer: lambda z: z * (1 - self.share)}


class Classifier(nn.Module):
    around = {"encoder": ("encoder.2", "head")}

    def __init__(self, width):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, width))
        self.head = nn.Linear(width, 3)

    def forward(self, x):
        return self.head(self.encoder(x))


class ModelConfig(Config):
    width: Count = 4


class BlobSetting(Setting):
    model: ModelConfig = ModelConfig()
    optional: ModelConfig | None = None


class Blobs(AnchoredExperiment):
    """Three blobs of points and their classes; the concept is the class 0."""

    name = "blobs"
    Setting = BlobSetting
    attributes = ("zero",)
    terms = (*TERMS, Sparse)
    ablations = (*ABLATIONS, Shrink)

    def build(self, setting):
        return Classifier(setting.model.width)

    def data(self, setting):
        generator = torch.Generator().manual_seed(0)
        targets = torch.arange(300) % 3
        centres = torch.tensor([[2.0, 0], [-1, 2], [-1, -2]])
        inputs = centres[targets] + 0.3 * torch.randn(300, 2, generator=generator)
        return Data(inputs, {"zero": (targets == 0).float()}, targets=targets)

    def loss(self, output, target, setting):
        return F.cross_entropy(output, target, reduction="none")

    def metrics(self, setting):
        return {"accuracy": Metric("share that is right", diverged=0.0), "lost": Metric("by ablation", ideal=None)}

    def measure(self, intact, ablated, setting):
        data = self.data(setting)
        right, left = ((m(data.inputs).argmax(-1) == data.targets).float().mean() for m in (intact, ablated))
        return {"accuracy": right, "lost": right - left}

    def target(self, setting):
        data = self.data(setting)
        return Target(data.inputs, data.attributes["zero"].unsqueeze(1))

    def check(self, setting):
        if setting.model.width == 13:
            raise ValueError("model.width: found 13, expected luck")


ROWS = [["STEP", "lr", "anchor", "sparse"], ["0", "0.02", "0.1", "0.01"], ["59", "0.02", "0.1", "0.01"]]
DOCUMENT = {
    "schedule": {"file": "s.csv", "rows": ROWS},
    "data": {"batch": 32},
    "labels": {"zero": {"of": "zero", "scale": 0.5}},
    "regularizers": {
        "anchor": {"term": "Anchor", "point": [2, 0, 0, 0], "labels": {"zero": 1.0}},
        "sparse": {"term": "Sparse"},
    },
    "ablation": {"dims": [0]},
}
blobs = Blobs()


def changed(**tables):
    return blobs.setting({**DOCUMENT, **tables}, "s.toml")


def test_a_classifier_is_trained_by_its_own_loss_and_terms():
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


def test_the_loss_is_that_of_ordinary_pytorch():
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


def test_kinds_of_ablation_of_ones_own_are_found_by_their_kind():
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


def test_validation_touches_no_global_random_numbers():
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    changed()
    assert torch.equal(torch.rand(1), expected)


ANCHOR = DOCUMENT["regularizers"]["anchor"]
WRONG = [
    ({"regularizers": {"a": {"term": "Foo"}}}, "s.toml: regularizers.a.term: found 'Foo', expected one of Anchor, "),
    ({"regularizers": {"a": {}}}, "s.toml: regularizers.a.term: found nothing, expected one of Anchor, AngularAnchor"),
    ({"regularizers": {"a": {"term": ["Anchor"]}}}, "s.toml: regularizers.a.term: found ['Anchor'], expected one of"),
    ({"regularizers": {"a": "Anchor"}}, "s.toml: regularizers.a: found 'Anchor', expected a table"),
    ({"regularizers": 3}, "s.toml: regularizers: found 3, expected a table of terms"),
    ({"regularizers": {"a": {"term": "Anchor"}}}, "s.toml: regularizers.a.point: found nothing, expected a value"),
    (
        {"regularizers": {"a": {"term": "Sparse", "layer": ["encoder"]}}},
        "s.toml: regularizers.a.layer: unknown key, expected one of layers, labels, when",
    ),
    ({"regularizers": {"a!": {"term": "Sparse"}}}, "s.toml: regularizers: found 'a!', expected a name"),
    ({"labels": {"": {"of": "zero"}}}, "s.toml: labels: found '', expected a name"),
    (
        {"regularizers": {"a": {"term": "Sparse", "layers": ["decoder"]}}},
        "s.toml: regularizers.a.layers: found 'decoder', expected one of input, encoder.0, encoder.1, encoder.2, encoder, head",
    ),
    (
        {"regularizers": {"a": {**ANCHOR, "point": [1, 0]}}},
        "s.toml: regularizers.a.point: found 2 coordinates, expected 4",
    ),
    (
        {"regularizers": {"a": {"term": "Separate", "power": 2.5}}},
        "s.toml: regularizers.a.power: found 2.5, expected a whole number",
    ),
    (
        {"regularizers": {"a": {"term": "Separate", "power": "10"}}},
        "s.toml: regularizers.a.power: found '10', expected a valid number",
    ),
    (
        {"regularizers": {"a": {**ANCHOR, "labels": {"one": 1.0}}}},
        "s.toml: regularizers.a.labels: found 'one', expected one of zero",
    ),
    (
        {"regularizers": {"a": {"term": "Sparse", "when": "both"}}},
        "s.toml: regularizers.a.when: found 'both', expected 'training'",
    ),
    ({"labels": {}}, "s.toml: regularizers.anchor.labels: found 'zero', but there are none"),
    ({"labels": {"zero": {"of": "redness"}}}, "s.toml: labels.zero.of: found 'redness', expected one of zero"),
    (
        {"labels": {"zero": {"of": "zero", "scale": 2}}},
        "s.toml: labels.zero.scale: found 2, expected less than or equal",
    ),
    (
        {"labels": {"zero": {"of": "zero", "scal": 1}}},
        "s.toml: labels.zero.scal: unknown key, expected one of of, power",
    ),
    ({"model": {"widht": 3}}, "s.toml: model.widht: unknown key, expected one of width"),
    ({"optional": {"widht": 3}}, "s.toml: optional.widht: unknown key, expected one of width"),
    ({"model": {"width": 0}}, "s.toml: model.width: found 0, expected greater than 0"),
    ({"model": {"width": 13}, "regularizers": {}}, "s.toml: model.width: found 13, expected luck"),
    (
        {"modle": {}},
        "s.toml: modle: unknown key, expected one of title, schedule, data, labels, regularizers, ablation",
    ),
    ({"data": {"cube": "rgb"}}, "s.toml: data.cube: unknown key, expected one of batch"),
    ({"ablation": {"dims": [0, 9]}}, "s.toml: ablation.dims: found [0, 9], expected distinct dimensions from 0 to 3"),
    ({"ablation": {"dims": []}}, "s.toml: ablation.dims: found [], expected at least 1"),
    ({"ablation": {"dims": "all"}}, "s.toml: ablation.dims: found 'all', expected a list"),
    (
        {"ablation": {"kind": "erase"}},
        "s.toml: ablation.kind: found 'erase', expected one of ablate, prune, suppress, ",
    ),
    ({"ablation": {"kind": 1}}, "s.toml: ablation.kind: found 1, expected one of ablate, prune, suppress, repel, "),
    ({"ablation": []}, "s.toml: ablation: found [], expected a table"),
    ({"ablation": {"layer": "bottleneck"}}, "s.toml: ablation.layer: found 'bottleneck', expected one of input, "),
    (
        {"ablation": {"layer": "head", "dims": [0]}},
        "s.toml: ablation.layer: found 'head', for which the model's `around` names no weights, "
        "expected one of encoder, or kind 'suppress'",
    ),
    ({"ablation": {"direction": [1, 0]}}, "s.toml: ablation.direction: unknown key, expected one of layer, dims"),
    (
        {"ablation": {"kind": "suppress", "direction": [1, 0]}},
        "s.toml: ablation.direction: found 2 coordinates, expected 4",
    ),
    ({"schedule": "s.csv"}, "s.toml: schedule: found 's.csv', expected a dopesheet"),
]


@pytest.mark.parametrize(("tables", "message"), WRONG, ids=range(len(WRONG)))
def test_a_bad_document_is_one_located_line(tables, message):
    with pytest.raises(InputError) as error:
        changed(**tables)
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 300


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([["STEP", "anchor"], ["0", "1"]], "s.csv: found no column lr"),
        (
            [["STEP", "lr", "ankor"], ["0", "1", "1"]],
            "s.csv: row 1, column ankor: found no such term, expected one of lr, a",
        ),
        ([["STEP", "lr"], ["0", "-1"]], "s.csv: column lr: found -1.0, expected 0 or more"),
        ([["STEP", "lr"], ["x", "1"]], "s.csv: row 2, column STEP: found 'x'"),
    ],
)
def test_a_bad_schedule_is_one_located_line(rows, message):
    with pytest.raises(InputError) as error:
        changed(schedule={"file": "s.csv", "rows": rows})
    assert message in str(error.value)
    assert "\n" not in str(error.value)


class Anchor(Term):
    def per_sample(self, z):
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
def test_terms_and_kinds_need_names_of_their_own(classes, message):
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
def test_measures_that_are_not_what_was_declared(measured, message):
    other = type("Other", (Blobs,), {"measure": lambda *_: measured})()
    setting = other.setting(DOCUMENT)
    with pytest.raises(InputError) as error:
        other.measured(other.model(setting, [0, 1]), setting)
    assert str(error.value) == message


def test_a_metric_is_declared_by_the_method_that_computes_it():
    class Means(Blobs):
        metrics, measure = AnchoredExperiment.metrics, AnchoredExperiment.measure

        @Metric("of the classes", ideal=None)
        def mean(self, intact, ablated, setting):
            return intact(self.data(setting).inputs).mean()

    class More(Means):
        def observe(self, intact, ablated, setting):
            return (intact(self.data(setting).inputs),)

        @Metric("of the classes, twice", ideal=None)
        def mean(self, answers):
            return 2 * answers.mean()

        @Metric("the largest", ideal=None)
        def most(self, answers):
            return answers.max()

    setting = changed()
    assert {name: metric.meaning for name, metric in Means().metrics(setting).items()} == {"mean": "of the classes"}
    assert list(More().metrics(setting)) == ["mean", "most"]
    assert More().metrics(setting)["mean"].meaning == "of the classes, twice"
    model = Means().model(setting, [0, 1])
    assert torch.allclose(More().measured(model, setting)["mean"], 2 * Means().measured(model, setting)["mean"])
    Means.mean = None
    with pytest.raises(InputError, match="experiment blobs: found no metric, expected a method under @Metric"):
        Means().metrics(setting)


def test_measures_may_be_numbers_of_any_kind():
    def measure(self, intact: Edited, ablated: Edited, setting):
        z = intact.activations(self.data(setting).inputs)["encoder"]
        return {"accuracy": float(z.detach().numpy().mean()), "lost": z.argmax()}

    other = type("Other", (Blobs,), {"measure": measure})()
    _, rungs = train(other, changed(), [0, 1], rungs=1)
    assert {name: metric.dtype for name, metric in rungs[0].metrics.items()} == dict.fromkeys(
        ("accuracy", "lost"), torch.float32
    )


@pytest.mark.parametrize("useless", [None, -1.0])
def test_a_replica_whose_objective_is_infinite_has_diverged(useless):
    def metrics(self, setting):
        return {"margin": Metric("of logits", ideal=None, diverged=useless), "share": Metric("of it")}

    def measure(self, intact, ablated, setting):
        first = intact(self.data(setting).inputs).sum()
        return {"margin": torch.where(first > 0, torch.inf, first), "share": first * 0 + 0.5}

    other = type("Other", (Blobs,), {"metrics": metrics, "measure": measure})()
    _, (rung,) = train(other, changed(), range(8), rungs=1)
    assert 0 < rung.diverged.sum() < 8
    margin, share = rung.metrics["margin"], rung.metrics["share"]
    assert margin[~rung.diverged].max() < 0
    assert margin[rung.diverged].isnan().all() if useless is None else (margin[rung.diverged] == useless).all()
    assert torch.equal(share.isnan(), rung.diverged)


def test_segments_are_cut_by_the_bytes_that_samples_take(monkeypatch):
    setting = changed()
    monkeypatch.setattr("anchoring.training.BYTES_AT_ONCE", 2 * 32 * (2 * 4 + 8 + 4) * 7)
    segments = list(Training(blobs, setting, [0, 1], rungs=1).segments())
    assert [len(segment.batch[0]) for segment in segments] == [7] * 8 + [4]
    assert sum(part[0].nbytes for part in segments[0].batch) == 2 * 32 * (2 * 4 + 8 + 4)


def color_setting(**model):
    schedule = {"file": "s.csv", "rows": [["STEP", "lr"], ["0", "1"]]}
    return colors.setting({"schedule": schedule, "model": model}, "s.toml")


def test_a_gigantic_model_costs_no_memory_until_it_is_trained():
    color_setting()  # the first one imports modules, and their memory should not count
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    setting = color_setting(hidden=10_000_000, bottleneck=1_000_000, depth=3)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kB, where a layer would be 400 TB
    assert setting.model.hidden == 10_000_000


def test_a_model_beyond_all_numbers_is_one_line():
    with pytest.raises(InputError, match=r"^s.toml: model: cannot be made: .*overflow"):
        color_setting(hidden=10**15, bottleneck=10**15)


def test_a_model_that_cannot_be_made_without_memory_is_made():
    """A model that reads the values of its weights while it is made."""

    class Scaled(Classifier):
        def __init__(self, width):
            super().__init__(width)
            with torch.no_grad():
                self.head.weight /= self.head.weight.abs().max().item()

    other = type("Other", (Blobs,), {"build": lambda self, setting: Scaled(setting.model.width)})()
    assert other.setting(DOCUMENT).model.width == 4
    with pytest.raises(InputError, match=r"expected one of input, encoder\.0"):
        other.setting({**DOCUMENT, "ablation": {"layer": "decoder"}})


class Odd(nn.Module):
    """A model with a module between encoder and head."""

    def __init__(self, between):
        super().__init__()
        self.encoder, self.between, self.head = nn.Linear(2, 4), between, nn.Linear(4, 3)

    def forward(self, x):
        return self.head(self.between(self.encoder(x)))


def odd(between):
    other = type("Other", (Blobs,), {"build": lambda self, setting: Odd(between())})()
    tables = {"regularizers": {}, "labels": {}, "ablation": {"kind": "suppress"}}
    return other, lambda: other.setting({**DOCUMENT, "schedule": {"file": "s.csv", "rows": LR}, **tables}, "s.toml")


LR = [["STEP", "lr"], ["0", "0.02"], ["4", "0.02"]]


@pytest.mark.parametrize("between", [lambda: nn.Dropout(0.5), lambda: nn.BatchNorm1d(4)])
def test_a_model_that_is_no_function_of_its_arguments_is_one_line(between):
    other, setting = odd(between)
    with pytest.raises(InputError, match=r"^experiment blobs: a step of training: found an err") as error:
        train(other, setting(), [0, 1], rungs=1)
    assert "\n" not in str(error.value)


def test_normalisation_and_attention_are_replicated_as_they_are():
    for between in (lambda: nn.LayerNorm(4), lambda: nn.TransformerEncoderLayer(4, 2, 8, dropout=0.0)):
        other, setting = odd(between)
        together, alone = (train(other, setting(), seeds, rungs=1)[0] for seeds in ([0, 1], [1]))
        assert_close(alone.flat()[0], together.flat()[1], rtol=1e-4, atol=1e-5)
        assert_close(together[1](torch.ones(2, 2)), together(torch.ones(2, 2))[1], rtol=1e-4, atol=1e-5)


class Twofold(nn.Module):
    def forward(self, x):
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
def test_models_that_have_no_layers_to_name(make, message):
    other = type("Other", (Blobs,), {"build": lambda self, setting: make()})()
    with pytest.raises(InputError) as error:
        other.setting(DOCUMENT, "s.toml")
    assert str(error.value).startswith(message)


def test_data_have_a_row_for_each_sample():
    with pytest.raises(ValueError, match="zero: found 3 rows, expected 4, one for each sample"):
        Data(torch.zeros(4, 2), {"zero": torch.zeros(3)})
    for weights in ([1.0, -1, 1, 1], [0.0] * 4, [1.0, torch.nan, 1, 1]):
        with pytest.raises(ValueError, match="weights: found negative, infinite or NaN ones, or only 0"):
            Data(torch.zeros(4, 2), weights=torch.tensor(weights))
    with pytest.raises(ValueError, match="targets: found 1 rows, expected 4"):
        Data(torch.zeros(4, 2), targets=torch.zeros(1))
