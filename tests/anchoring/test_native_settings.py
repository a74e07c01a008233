"""Native steps agree with PyTorch's for any setting: terms, models, labels and sizes that nobody chose."""

from typing import Any

import hypothesis
import pytest
import torch
from hypothesis import strategies as st
from scipy.stats import ks_2samp

from anchoring import native
from anchoring.dopesheet import Dopesheet, rescale
from anchoring.native import build
from anchoring.training import Training, train
from excolor.experiment import experiment
from tests.anchoring.steps import check

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(not native.compiler(), reason="there is no C++ compiler"),
    pytest.mark.usefixtures("session_cache"),
]

weights = st.floats(0.01, 2)
labels = st.fixed_dictionaries(
    {"of": st.sampled_from(["redness", "vibrancy", "desaturation"]), "power": st.floats(0.5, 20), "scale": weights},
    optional={"noise": st.floats(0, 0.4), "soft": st.booleans()},
).map(lambda label: {**label, "scale": label["scale"] / 2})


@st.composite
def terms(draw: Any, width: int, layers: list[str]) -> Any:
    """Any term of the experiment's, with any options that fit the bottleneck's width."""
    coordinates = st.lists(st.floats(-1, 1), min_size=width, max_size=width)
    points = coordinates.filter(lambda p: sum(x * x for x in p) > 0.1)
    dims = st.lists(st.integers(0, width - 1), min_size=1, max_size=width - 1, unique=True).map(sorted)
    own: dict[str, Any] = {
        "Anchor": {"point": coordinates},
        "Pin": {"dim": st.integers(0, width - 1), "at": st.floats(-1, 1)},
        "AngularAnchor": {"point": points},
        "AntiAnchor": {"point": points, "full": st.booleans()},
        "Subspace": {"dims": dims, "invert": st.booleans()},
        "Unitarity": {},
        "Separate": {"power": st.sampled_from([1, 2, 3, 7, 10, 33, 100]), "shift": st.booleans()},
        "Fallback": {"dims": dims},
    }
    term = draw(st.sampled_from(sorted(own)))
    table = {"term": term, **draw(st.fixed_dictionaries(own[term]))}
    if draw(st.booleans()):
        table["labels"] = draw(st.dictionaries(st.sampled_from(["first", "second"]), weights, min_size=1))
    return {**table, "layers": [draw(st.sampled_from(layers))]}


@st.composite
def settings(draw: Any) -> Any:
    """A setting of one step in which all terms act."""
    kind, width = draw(st.sampled_from(["ColorMLP", "NormedColorMLP"])), draw(st.integers(2, 9))
    layers = ["encoder", "bottleneck"] if kind == "NormedColorMLP" else ["encoder"]
    named = {f"term {i}": term for i, term in enumerate(draw(st.lists(terms(width, layers), max_size=3)))}
    rows = [
        ["STEP", "lr", *named],
        ["0", "0.01", *(str(draw(weights)) for _ in named)],
        ["1", "0.01", *("" for _ in named)],
    ]
    model = {"kind": kind, "bottleneck": width, "hidden": draw(st.integers(1, 40)), "depth": draw(st.integers(1, 3))}
    return experiment.setting(
        {
            "schedule": {"file": "s.csv", "rows": rows},
            "model": model,
            "data": {"cube": draw(st.sampled_from(["hsv", "rgb"])), "batch": draw(st.sampled_from([1, 2, 7, 16, 33, 64]))},
            "labels": {"first": draw(labels), "second": draw(labels)},
            "regularizers": named,
            "ablation": {"layer": layers[-1], "dims": [0]},
        }
    )  # fmt: skip


def of_size(hidden: int, depth: int, batch: int, bottleneck: int = 2, **terms: Any) -> Any:
    """A setting of one step, of a model and a batch of these sizes."""
    rows = [["STEP", "lr", *terms], ["0", "0.01", *("1" for _ in terms)], ["1", "0.01", *("" for _ in terms)]]
    document: dict[str, Any] = {
        "schedule": {"file": "s.csv", "rows": rows},
        "model": {"kind": "ColorMLP", "bottleneck": bottleneck, "hidden": hidden, "depth": depth},
        "data": {"cube": "hsv", "batch": batch},
        "labels": {"first": {"of": "redness"}},
        "regularizers": terms,
        "ablation": {"layer": "encoder", "dims": [0]},
    }
    return experiment.setting(document)


@hypothesis.settings(max_examples=8, deadline=None, derandomize=True)
@hypothesis.example(of_size(17, 2, 2), 0)
@hypothesis.given(settings(), st.integers(0, 1000))
def test_a_step_of_any_setting_is_as_close_to_double_precision_as_pytorch(setting: Any, seed: int) -> None:
    step_of(setting, seed)


def step_of(setting: Any, seed: int) -> None:
    """Take two replicas' first steps natively, and compare them with PyTorch's."""
    training = Training(experiment, setting, [seed, seed + 1], rungs=1)
    batch = next(training.segments()).batch
    torch.manual_seed(seed)
    flat = training.model.flat()
    state = [flat, 0.01 * torch.randn_like(flat), 0.01 * torch.rand_like(flat) + 1e-3]
    weights = setting.weights_in_training(setting.schedule.table())
    controls = torch.tensor([[0.01, 1.0, *row] for row in weights.tolist()])
    check(training._step((True,) * len(setting.trained)), state, [part[:2] for part in batch], controls)


SEPARATE = {"term": "Separate", "power": 3, "layers": ["encoder"]}
PLANAR = {"term": "Subspace", "dims": [0], "labels": {"first": 1.0}, "layers": ["encoder"]}


@pytest.mark.parametrize("setting", [of_size(17, 2, 2), of_size(5, 1, 7, 3, separate=SEPARATE, planar=PLANAR)])
def test_a_step_reads_no_buffer_past_its_end(
    setting: Any, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A vector may be longer than what is left of a loop. A compiler takes a read past the end as one that never is."""
    monkeypatch.setattr(build, "FLAGS", (*build.FLAGS, "-fsanitize=bounds"))
    step_of(setting, 0)
    assert "runtime error" not in capfd.readouterr().err


def test_a_read_past_the_end_would_be_seen(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(build, "FLAGS", (*build.FLAGS, "-fsanitize=bounds"))
    build.build('float a[3]; extern "C" float read(int i) { return a[i]; }').read(5)
    assert "index 5 out of bounds for type 'float [3]'" in capfd.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("name", ["subspace-ablation", "hue-deletion"])
def test_whole_trainings_have_the_same_distribution(load: Any, spaces: Any, name: str) -> None:
    """The last bits grow to other models within a training, so only distributions over seeds can agree."""
    setting = load(spaces / f"{name}.toml")
    found = {
        compiled: train(experiment, setting, range(64), rungs=1, compiled=compiled)[1][-1].metrics["isolation"]
        for compiled in (False, True)
    }
    assert ks_2samp(*found.values()).pvalue > 0.01
    others = setting.model_copy(update={"schedule": Dopesheet.parse(rescale(setting.schedule.text, 200))})
    short = train(experiment, others, range(64), rungs=1, compiled=True)[1][-1].metrics["isolation"]
    assert ks_2samp(found[False], short).pvalue < 0.01  # a control: fewer steps show
