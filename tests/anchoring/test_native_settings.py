"""Native steps agree with PyTorch's for any setting: terms, models, labels and sizes that nobody chose."""

from typing import Any

import hypothesis
import pytest
import torch
from hypothesis import strategies as st
from scipy.stats import ks_2samp

from anchoring import native
from anchoring.dopesheet import Dopesheet, rescale
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


@hypothesis.settings(max_examples=8, deadline=None, derandomize=True)
@hypothesis.given(settings(), st.integers(0, 1000))
def test_a_step_of_any_setting_is_as_close_to_double_precision_as_pytorch(setting: Any, seed: int) -> None:
    training = Training(experiment, setting, [seed, seed + 1], rungs=1)
    batch = next(training.segments()).batch
    torch.manual_seed(seed)
    flat = training.model.flat()
    state = [flat, 0.01 * torch.randn_like(flat), 0.01 * torch.rand_like(flat) + 1e-3]
    weights = setting.weights_in_training(setting.schedule.table())
    controls = torch.tensor([[0.01, 1.0, *row] for row in weights.tolist()])
    check(training._step((True,) * len(setting.trained)), state, [part[:2] for part in batch], controls)


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
