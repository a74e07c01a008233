"""The mixing of colours does what studies rely on, and its lines and metrics are what they say."""

import math
import sys
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from anchoring import Data, Edited, InputError, activations
from anchoring.ablation import Leace
from anchoring.fitting import fitting
from study.registry import from_file
from study.space.space import Space
from study.testing import ExperimentConformance

FOLDER = Path(__file__).parents[2] / "examples" / "mixing"
SOURCE = from_file(FOLDER / "mixing.py")
EXPERIMENT: Any = SOURCE.load()
MIXING: Any = sys.modules[type(EXPERIMENT).__module__]
COLOURS = [tuple(colour) for colour in MIXING.COLOURS.tolist()]


def setting_of(name: Any) -> Any:
    return Space.read(FOLDER / f"{name}.toml", experiment=SOURCE).setting()


class Answers(nn.Module):
    """A model whose states are given, by default all along dim 1, and which answers lines by a function of a and b."""

    def __init__(self, answer: Any, state: Any = None):
        super().__init__()
        self.state = nn.ModuleList([nn.Identity()])
        self.answer, self.given = answer, state

    def forward(self, x: Any) -> Any:
        along = torch.eye(4)[1].expand(*x.shape, 4)
        self.state[0](along if self.given is None else self.given(x))
        return self.answer(x[:, 0], x[:, 2])


def one_hot(colours: Any) -> Any:
    return nn.functional.one_hot(colours, len(COLOURS)).float()


MIX = torch.zeros(len(COLOURS), len(COLOURS), dtype=torch.long).index_put((MIXING.A, MIXING.B), MIXING.MIX)


def perfect(a: Any, b: Any) -> Any:
    return one_hot(MIX[a, b])


def oracle(a: Any, b: Any) -> Any:
    """What can be known without red: any of the answers that the other operand allows, with equal probability."""
    known = torch.where(MIXING.RED[a], b, a)
    either = MIXING.RED[a] | MIXING.RED[b]
    both = MIXING.RED[a] & MIXING.RED[b]
    return torch.where(both[:, None], 1.0, torch.where(either[:, None], MIXING.POSSIBLE[known], perfect(a, b)))


def constant(a: Any, b: Any) -> Any:
    return one_hot(torch.zeros_like(a))


def destroyed(a: Any, b: Any) -> Any:
    """All lines with red answered with one colour."""
    return torch.where((MIXING.RED[a] | MIXING.RED[b])[:, None], constant(a, b), perfect(a, b))


def only_red(a: Any, b: Any) -> Any:
    return torch.where((MIXING.RED[a] | MIXING.RED[b])[:, None], perfect(a, b), constant(a, b))


def measured(before: Any, after: Any, **states: Any) -> Any:
    return EXPERIMENT.measure(Edited(Answers(before, **states)), Edited(Answers(after, **states)), None)


class TestMixing(ExperimentConformance):
    experiment = FOLDER / "mixing.py"
    space = FOLDER / "mixing.toml"
    steps = 12

    @pytest.mark.slow  # the study of a new experiment is run in tests/study/test_new.py
    def test_a_study_runs_resumes_confirms_and_reports(self, tmp_path: Path) -> None:
        super().test_a_study_runs_resumes_confirms_and_reports(tmp_path)

    @pytest.mark.slow  # a transformer's step takes a minute to compile
    def test_native_and_eager_steps_agree(self, subject: Any, setting: Any) -> None:
        super().test_native_and_eager_steps_agree(subject, setting)

    def reference_points(self) -> Any:
        all_possible = (1 - 1 / 8) / (0.84 - 1 / 8)
        ideal = dict.fromkeys(("isolation", "utility", "forgotten", "kept", "exact", "seen"), 1.0)
        ideal |= {"consistent": all_possible, "leakage": 0}
        return [
            ("the oracle", measured(perfect, oracle), ideal),
            (
                "untouched",
                measured(perfect, perfect),
                {"isolation": 0, "utility": 1, "forgotten": 0, "kept": 1, "consistent": all_possible},
            ),
            ("never knew red", measured(oracle, oracle), {"isolation": 0, "utility": 0, "forgotten": 1, "kept": 1}),
            ("one answer for all", measured(perfect, constant), {"isolation": 0, "utility": 1, "kept": 0}),
            ("only red was known", measured(only_red, only_red), {"isolation": 0, "utility": 1, "kept": 0}),
            ("the others forgotten", measured(perfect, only_red), {"isolation": 0, "kept": 0, "forgotten": 0}),
        ]


def test_a_destroyed_line_is_not_a_forgotten_one() -> None:
    found = measured(perfect, destroyed)
    assert found["utility"] == found["kept"] == 1
    assert found["forgotten"] > 0.99
    assert found["consistent"] < 0.1
    assert found["isolation"] < 0.1


def test_means_are_rounded_half_up() -> None:
    every = torch.arange(16)
    found = MIXING.mixed(every[:, None], every)
    expected = [[math.floor((a + b) / 2 + 0.5) for b in range(16)] for a in range(16)]
    assert found.tolist() == expected


@pytest.mark.parametrize(
    ("levels", "share"), [((0, 8, 15), 125 / 729), ((0, 5, 10, 15), 1 / 8), ((0, 3, 6, 9, 12, 15), 1 / 8)]
)
def test_an_eighth_to_a_sixth_of_all_pairs_are_closed(levels: Any, share: Any) -> None:
    colours = list(product(levels, repeat=3))
    lines = MIXING.closed(torch.tensor(colours)).tolist()
    expected = [
        (colours.index(a), colours.index(b), colours.index(c))
        for a, b in product(colours, repeat=2)
        if (c := tuple(math.floor((x + y) / 2 + 0.5) for x, y in zip(a, b, strict=True))) in colours
    ]
    assert sorted(map(tuple, lines)) == sorted(expected)
    assert len(lines) / len(colours) ** 2 == pytest.approx(share)
    assert 0.12 < share < 0.18


def test_a_fifth_of_the_pairs_is_held_out_in_both_orders_and_no_colour_with_itself() -> None:
    held = {(a, b) for a, b in zip(MIXING.A[MIXING.HELD_OUT].tolist(), MIXING.B[MIXING.HELD_OUT].tolist(), strict=True)}
    pairs = {frozenset(pair) for pair in zip(MIXING.A.tolist(), MIXING.B.tolist(), strict=True) if len({*pair}) == 2}
    assert all((b, a) in held and a != b for a, b in held)
    assert len(held) == 2 * round(0.2 * len(pairs))
    trained = EXPERIMENT.data(setting_of("handset"))
    assert {(x[0], x[2]) for x in trained.inputs.tolist()} & held == set()
    assert len(trained.inputs) + len(held) == len(MIXING.LINES)
    assert torch.equal(trained.targets, MIX[trained.inputs[:, 0], trained.inputs[:, 2]])


def test_three_colours_are_red_and_lines_with_them_need_it() -> None:
    redness = {c: c[0] / 15 * (1 - c[1] / 30 - c[2] / 30) for c in COLOURS}
    assert MIXING.REDNESS.tolist() == pytest.approx(list(redness.values()))
    reds = [c for c, red in zip(COLOURS, MIXING.RED.tolist(), strict=True) if red]
    assert sorted(reds) == [(15, 0, 0), (15, 0, 3), (15, 3, 0)]
    for a, b, needs, other in zip(
        *(t.tolist() for t in (MIXING.A, MIXING.B, MIXING.NEEDS, MIXING.OTHERS)), strict=True
    ):
        assert needs == (COLOURS[a] in reds or COLOURS[b] in reds)
        assert not (needs and other)
    assert MIXING.NEEDS.sum() == 159
    assert pytest.approx(0.0364, abs=1e-3) == MIXING.CHANCE
    assert pytest.approx(1 / 8) == MIXING.ANY


def test_similarity_is_1_at_red_and_0_from_a_quarter_turn_on() -> None:
    red, chartreuse, dark, gray = [15, 0, 0], [7.5, 15, 0], [6, 0, 0], [9, 9, 9]
    found = MIXING.similarity(torch.tensor([red, chartreuse, dark, gray])).tolist()
    assert found == pytest.approx([1, 0.0, 0.4, 0])  # d = 90 degrees: w c + 1 - w = 1 - w = 0 where s v = 1


def states(along: Any) -> Any:
    """States with a given part along dim 0, by tokens [..., 4] and positions."""

    def given(x: Any) -> Any:
        part = along(x)
        return torch.stack([part, (1 - part.square()).clamp(min=0).sqrt()], -1)

    return given


def of_first(x: Any) -> Any:
    """The first operand's redness at the first position, and nothing elsewhere."""
    return torch.cat([redness_of(x[:, :1]), torch.zeros(len(x), 3)], 1)


def redness_of(tokens: Any) -> Any:
    return torch.cat([MIXING.REDNESS, torch.zeros(2)])[tokens]


def at_plus(x: Any) -> Any:
    return torch.cat([torch.zeros(len(x), 1), redness_of(x[:, :1]), torch.zeros(len(x), 2)], 1)


def test_margin_and_containment_are_means_of_alignments() -> None:
    found = measured(perfect, perfect, state=states(of_first))
    redness = MIXING.REDNESS.tolist()
    weights = [r**8 for r in redness]
    mean = sum(redness) / len(redness)
    weighted = sum(w * r for w, r in zip(weights, redness, strict=True)) / sum(weights)
    assert found["containment"].item() == pytest.approx(mean, abs=1e-5)
    assert found["margin"].item() == pytest.approx(weighted - mean, abs=1e-5)
    assert found["grading"] > 0.6


def test_a_run_latches_if_lines_align_at_plus() -> None:
    assert measured(perfect, perfect, state=states(of_first))["latched"] == 0
    assert measured(perfect, perfect, state=states(at_plus))["latched"] == 1


def test_grading_is_1_for_alignments_that_grow_with_similarity() -> None:
    similar = torch.cat([MIXING.SIMILAR, torch.zeros(2)])
    found = measured(perfect, perfect, state=states(lambda x: similar[x]))
    assert found["grading"].item() == pytest.approx(1, abs=1e-4)


def test_left_out_r2_is_that_of_leaving_out_one_after_another() -> None:
    z = torch.randn(20, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    y = z[:, 0] + 0.5 * torch.randn(20, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    centred = z - z.mean(0)
    residuals = []
    for i in range(20):
        kept = torch.arange(20) != i
        # the intercept is not penalised; columns are centred once, on all samples
        x = torch.cat([torch.ones(20, 1, dtype=z.dtype), centred], 1)
        penalty = 1e-3 * 20 * torch.diag(torch.tensor([0.0, 1, 1, 1], dtype=z.dtype))
        fitted = torch.linalg.solve(x[kept].mT @ x[kept] + penalty, x[kept].mT @ y[kept])
        residuals.append(y[i] - x[i] @ fitted)
    expected = 1 - torch.stack(residuals).square().sum() / (y - y.mean()).square().sum()
    assert MIXING.left_out_r2(z, y).item() == pytest.approx(expected.item(), abs=1e-9)


def test_nothing_can_be_read_from_states_without_red_and_everything_from_redness() -> None:
    told = measured(perfect, perfect, state=states(of_first))
    assert told["leakage"] > 0.9
    assert measured(perfect, perfect)["leakage"] == 0


def test_ties_are_shared() -> None:
    logits = torch.tensor([[1.0, 1.0, 0.0], [0.0, 2.0, 0.0]])
    colours = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 1.0]])
    assert MIXING.allowed(logits, colours).tolist() == [0.5, 1.0]


def test_states_have_length_1_and_the_first_operand_sees_only_itself() -> None:
    model = EXPERIMENT.model(setting_of("handset"), [0])[0]
    with torch.no_grad():
        seen = activations(model, MIXING.LINES[:27])  # all with the same first operand
    for name in ("state.0", "state.1", "state.2"):
        assert torch.allclose(seen[name].norm(dim=-1), torch.ones(27, 4), atol=1e-4)
        assert torch.allclose(seen[name][:, 0], seen[name][:1, 0].expand(27, -1), atol=1e-5)
    assert not torch.allclose(seen["state.2"][:, 3], seen["state.2"][:1, 3].expand(27, -1), atol=1e-2)


def test_projecting_out_leaves_nothing_along_dim_0_in_any_state() -> None:
    setting = setting_of("handset")
    model = EXPERIMENT.model(setting, [0])[0]
    with torch.no_grad():
        before = activations(model, MIXING.LINES[:50])
        after = activations(model, MIXING.LINES[:50], EXPERIMENT.edits(setting)(model))
    for name in setting.ablation.layers:
        assert before[name][..., 0].abs().max() > 0.01
        assert after[name][..., 0].abs().max() < 1e-6


@pytest.mark.parametrize("name", ["leace", "probe"])
def test_what_is_fitted_afterwards_leaves_no_line_to_read_redness_by(name: Any) -> None:
    setting = setting_of(name)
    assert isinstance(setting.ablation, Leace)
    model = EXPERIMENT.model(setting, [0])[0]
    target = EXPERIMENT.target(setting)
    y = target.values - target.values.mean((0, 1))
    with torch.no_grad():
        edits = EXPERIMENT.edits(setting)(model)
        found = activations(model, target.inputs), activations(model, target.inputs, edits)
    for layer in setting.ablation.layers:
        before, after = (((z[layer] - z[layer].mean((0, 1))) * y).mean((0, 1)).norm().item() for z in found)
        assert before > 1e-4
        if name == "leace":
            assert after < 0.1 * before
        else:
            removed = found[1][layer] - edits[layer](found[1][layer])
            assert removed.abs().max() < 1e-5  # a projection: twice is once


def test_heads_divide_the_width() -> None:
    document = Space.read(FOLDER / "handset.toml", experiment=SOURCE).document({})
    del document["experiment"]
    with pytest.raises(InputError, match="heads: found 5, expected a divisor of the width, 32"):
        EXPERIMENT.setting({**document, "heads": 5})


@pytest.mark.slow
def test_models_that_never_saw_red_have_nothing_to_forget_and_answer_consistently() -> None:
    """The reference that `consistent` is scaled by: 16 models, trained without a line that red is in."""
    setting, seeds = setting_of("unanchored"), range(1000, 1016)
    lines = ~MIXING.HELD_OUT & ~MIXING.NEEDS & ~MIXING.RED[MIXING.MIX]
    data = Data(MIXING.LINES[lines], targets=MIXING.MIX[lines])
    model, rates = EXPERIMENT.model(setting, seeds), setting.schedule.table()["lr"]
    for _ in fitting(model, data, lambda y, t: EXPERIMENT.loss(y, t, setting), seeds, rates, len(rates), batch=128):
        pass
    found = EXPERIMENT.measured(model, setting, lambda one: {})
    assert found["utility"].mean().item() == pytest.approx(0, abs=0.05)
    assert found["forgotten"].mean().item() == pytest.approx(1, abs=0.05)
    assert found["consistent"].mean().item() == pytest.approx(1, abs=0.15)
    assert found["kept"].mean() > 0.95
