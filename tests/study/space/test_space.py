from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import study
from anchoring import InputError
from study.space.document import write_setting
from study.space.space import Space

ROOT = Path(__file__).parents[3]
TOML = """
schedule = "s.csv"
[model]
bottleneck = 4
[labels]
red = { of = "redness", scale = "log(0.01, 1)" }
[regularizers.separate]
term = "Separate"
power = "power = choice(10, 30)"
[regularizers.other]
term = "Separate"
power = "power"
shift = true
[ablation]
dims = [0, 1]
"""
CSV = """STEP,lr:log,separate,other
0,"peak = log(1e-3, 1e-1)","log(1e-4, 1)",
+10,,"uniform(0, 1)",1
"+uniform(0.1, 0.9)",peak,,2
"+rise = int(5, 9)",,"log(1e-4, 1)",
100,,,
"-rise",,"uniform(0, 2)","uniform(0, 2)"
200,,,
"""


@pytest.fixture
def space(tmp_path: Path) -> Any:
    def write(toml: Any = TOML, csv: Any = CSV) -> Any:
        (tmp_path / "s.toml").write_text(toml)
        (tmp_path / "s.csv").write_text(csv)
        return Space.read(tmp_path / "s.toml")

    return write


def test_parameters_have_readable_names(space: Any) -> None:
    assert list(space().distributions) == [
        *("labels.red.scale", "power"),
        *("peak", "separate@0", "separate@+10", "step@+", "rise", "separate@rise", "separate@rise#2", "other@rise"),
    ]


def test_a_point_of_the_space_is_a_setting(space: Any) -> None:
    values = {name: d.low if hasattr(d, "low") else d.choices[-1] for name, d in space().distributions.items()}
    setting = space().setting(values | {"step@+": 0.25, "rise": 7, "peak": 0.02, "separate@+10": 0.125})
    assert setting.regularizers["separate"].power == setting.regularizers["other"].power == 30
    assert [row.step for row in setting.schedule.rows] == [0, 7, 10, 25, 100, 193, 200]
    lr = setting.schedule.properties[0]
    assert (lr.steps, lr.values) == ((0, 25), (0.02, 0.02))
    assert setting.labels["red"].scale == 0.01


def test_a_file_without_ranges_is_a_fixed_setting(spaces: Path) -> None:
    fixed = Space.read(spaces / "subspace-ablation.toml")
    assert fixed.distributions == {}
    assert fixed.setting({}) == study.read(spaces / "subspace-ablation.toml").setting()


def test_a_space_has_one_concept(space: Any) -> None:
    def concept_of(made: Any) -> Any:
        return made.setting(next(made.corners())).concept

    assert concept_of(space()) == "hue"
    of_red = 'concept = "red"' + TOML.replace("red = {", "crimson = {").replace("separate.power", "red")
    named_red = space(of_red.replace('"power = choice', '"red = choice').replace('"power"', '"red"'))
    assert "red" in named_red.distributions
    assert concept_of(named_red) == "red"
    with pytest.raises(InputError, match=r"concept: found 'choice\(hue, red\)', expected 'hue'"):
        space('concept = "choice(hue, red)"' + TOML)
    erased = TOML.replace("[ablation]", '[ablation]\nkind = "leace"').replace("\ndims = [0, 1]\n", "\n")
    with pytest.raises(InputError, match=r"ablation\.kind: found 'leace', but the experiment has no"):
        space('concept = "red"' + erased)


def test_a_space_names_its_experiment_and_its_exports_do_too(space: Any, tmp_path: Path) -> None:
    named = space('experiment = "excolor"' + TOML)
    assert named.source == space().source
    values = next(named.corners())
    path = write_setting(named.document(values), tmp_path, "exported")
    assert 'experiment = "excolor"' in path.read_text()
    assert Space.read(path).setting() == named.setting(values) == space().setting(values)


@pytest.fixture(scope="module")
def hue_space(spaces: Path) -> Any:
    return Space.read(spaces / "hue.toml")


@settings(max_examples=20)
@given(data=st.data())
def test_an_exported_setting_is_the_same_setting(
    data: Any, tmp_path_factory: pytest.TempPathFactory, hue_space: Any
) -> None:
    space = hue_space
    values = {
        name: data.draw(st.sampled_from(d.choices) if hasattr(d, "choices") else st.floats(d.low, d.high))
        for name, d in space.distributions.items()
    }
    path = write_setting(space.document(values), tmp_path_factory.mktemp("export"), "exported")
    assert Space.read(path).setting({}) == space.setting(values)


def test_steps_rescale_without_renaming(spaces: Path) -> None:
    space, short = Space.read(spaces / "hue.toml"), Space.read(spaces / "hue.toml", 500)
    assert short.distributions == space.distributions
    assert short.steps == 500
    values = next(short.corners())
    assert len(short.setting(values).schedule) == 500
    assert len(space.setting(values).schedule) == 2001


def test_any_step_may_be_a_range(space: Any) -> None:
    csv = (
        CSV.replace("+rise = int(5, 9)", "+rise = choice(0.25, 0.5)")
        .replace("-rise,", "-rise,")
        .replace("100,,,", '"middle = int(90, 110)",,,')
    )
    ranged = space(csv=csv)
    assert {"middle", "rise", "separate@rise"} <= set(ranged.distributions)
    values = next(ranged.corners()) | {"middle": 104, "rise": 0.5}
    assert [row.step for row in ranged.setting(values).schedule.rows] == [0, 10, 10, 52, 104, 152, 200]


def test_what_only_some_values_break_is_found_before_a_study(space: Any) -> None:
    with pytest.raises(InputError, match=r"regularizers\.separate\.power: found .*, expected a whole number"):
        space(TOML.replace("power = choice(10, 30)", "uniform(2, 10)").replace('"power"', "4"))


RELATIVE = """STEP,lr,separate,other
0,"peak = log(1e-3, 1e-1)",2.5 * peak,"ratio = uniform(0.1, 1) * peak"
+10,ratio * peak,"log(0.1, 10) * peak",
"+uniform(0.1, 0.4)",,3 * ratio,
100,,,
200,,,
"""


def test_a_range_may_be_relative_to_another(space: Any) -> None:
    read = space(csv=RELATIVE)
    assert [*read.distributions][2:] == ["peak", "ratio", "separate@+10", "step@+"]
    values = {name: d.low if hasattr(d, "low") else d.choices[0] for name, d in read.distributions.items()}
    point = values | {"peak": 0.02, "ratio": 0.25, "separate@+10": 4.0, "step@+": 0.3}
    table = {p.name: p.values for p in read.setting(point).schedule.properties}
    assert table["lr"] == pytest.approx((0.02, 0.005))
    assert table["separate"] == pytest.approx((0.05, 0.08, 0.75))
    assert table["other"] == pytest.approx((0.005,))


def test_an_export_leaves_edited_files_alone(spaces: Path, tmp_path: Path) -> None:
    document = Space.read(spaces / "subspace-ablation.toml").document({})
    path = write_setting(document, tmp_path, "mine")
    path.write_text("# edited")
    with pytest.raises(InputError, match=r"mine\.toml: cannot be written \(File exists\)"):
        write_setting(document, tmp_path, "mine")
    assert path.read_text() == "# edited"
    path.unlink()
    with pytest.raises(InputError, match=r"mine\.csv: cannot be written \(File exists\)"):
        write_setting(document, tmp_path, "mine")
    assert not path.exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("power = \"power\"", 'power = "power = choice(1, 2)"'), "s.toml: regularizers.other.power: found a second range"),
        (("dims = [0, 1]", "dims = [0, 9]"), "s.toml: ablation.dims: found [0, 9], expected "),
        (("bottleneck = 4", 'bottleneck = "int(1, 4)"'), "s.toml: ablation.dims: found [0, 1], expected"),
        (("shift = true", "shfit = true"), "s.toml: regularizers.other.shfit: unknown key"),
        (("+uniform(0.1, 0.9)", "+uniform(0.1, 1.9)"), "s.csv: row 4, column STEP: found '+1.9', expected a step"),
        (("+rise = int(5, 9)", "+rise = int(-5, 9)"), "s.csv: row 5, column STEP: found"),
        (("uniform(0, 2)", "log(0, 2)"), "s.csv: row 7, column separate: found 'log(0, 2)', expected low > 0"),
        (("+rise = int(5, 9)", "+2 * rise"), "s.csv: row 5, column STEP: found '2 * rise', expected the name of a range"),
        (('"uniform(0, 2)","uniform(0, 2)"', '"uniform(0, 2) * peek",1'), "found 'uniform(0, 2) * peek', expected the name"),
        (('"uniform(0, 2)","uniform(0, 2)"', "2 * power,1"), "expected the name of a range of numbers in place of 'power'"),
        (("peak = log(1e-3, 1e-1)", "peek = log(1e-3, 1e-1)"), "s.csv: row 4, column lr: found 'peak', expected a number"),
    ],
)  # fmt: skip
def test_wrong_spaces_are_located(space: Any, change: Any, message: Any) -> None:
    with pytest.raises(InputError) as error:
        space(TOML.replace(*change), CSV.replace(*change))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("form", ["{}", "search_spaces/{}.toml"])
def test_the_old_name_of_a_fixed_setting_is_answered_with_a_hint(form: str, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(ROOT)
    old = form.format("seed")
    with pytest.warns(FutureWarning, match=f"{old}: is called subspace-ablation now"):
        assert Space.read(old).file.name == "subspace-ablation.toml"
    with pytest.raises(InputError, match="no such file"):
        Space.read(old.replace("seed", "sead"))
    monkeypatch.chdir(tmp_path)
    with pytest.warns(FutureWarning):  # one of the shipped ones, wherever it is asked for
        Space.read("seed")
