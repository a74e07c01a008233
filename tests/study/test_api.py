"""A study from Python: the functions return it, the command line calls them, and one object holds the options."""

import inspect
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import study
from anchoring import InputError
from study import cli
from study.record import manifest
from study.record.folder import StudyFolder
from study.record.manifest import create_anew
from study.search.plan import MAY_CHANGE, TRAINED_ONCE, Plan

OPTIONS = set(Plan.model_fields)
BOWL = Path(__file__).parent / "experiments"


@pytest.mark.parametrize(
    ("function", "names"), [(study.run, OPTIONS), (study.resume, set(MAY_CHANGE)), (study.train, set(TRAINED_ONCE))]
)
def test_a_function_names_its_options_for_help_and_completion(function: Any, names: Any) -> None:
    shown = inspect.signature(function).parameters
    assert names <= set(shown)
    assert not (OPTIONS - names) & set(shown)
    assert "options" not in shown


@pytest.mark.parametrize("command", ["run", "resume", "train"])
def test_a_command_has_the_options_of_its_function(command: str) -> None:
    flags = set(
        re.findall(r"--([a-z-]+)", CliRunner().invoke(cli.app, [command, "--help"], env={"COLUMNS": "200"}).output)
    )
    renamed = {"objectives": "objective", "constraints": "constraint", "compiled": "compile"}
    named = {
        renamed.get(name, name).replace("_", "-") for name in inspect.signature(getattr(study, command)).parameters
    }
    missing = named - flags - {"space", "study", "setting"}
    assert not missing


WRONG = {
    "an option out of range": ({"seeds": 0}, "--seeds: found 0, expected greater than or equal to 1"),
    "an unknown option": ({"sedes": 3}, "--sedes: unknown option, expected one of trials, minutes, seeds"),
    "an unknown sampler": ({"sampler": "tea"}, "--sampler: found 'tea', expected 'tpe', 'gp'"),
    "no number": ({"minutes": float("nan")}, "--minutes: found nan, expected less than"),
    "an unknown objective": ({"objectives": ["beauty"]}, "--objective: found 'beauty', expected one of"),
}


@pytest.mark.parametrize(("options", "message"), WRONG.values(), ids=WRONG.keys())
def test_wrong_options_are_errors_before_anything_is_written(
    spaces: Path, tmp_path: Path, options: Any, message: Any
) -> None:
    with pytest.raises(InputError) as error:
        study.run(spaces / "hue.toml", out=tmp_path / "runs", **options)
    assert str(error.value).startswith(message)
    assert not (tmp_path / "runs").exists()


def test_only_options_that_may_change_may_change(hue: StudyFolder) -> None:
    with pytest.raises(InputError, match="--seeds: unknown option, expected one of trials, minutes, cpus"):
        study.resume(hue, seeds=32)
    with pytest.raises(InputError, match="--scheduler: unknown option, expected one of seeds, seed"):
        study.train("unregularized", scheduler="none")
    assert hue.plan().seeds == len(hue.seeds())


def test_a_confirmation_has_seeds_of_its_own(hue: StudyFolder) -> None:
    for seeds in (1, 50_001):
        with pytest.raises(InputError, match=f"--seeds: found {seeds}, expected 2 to 25,000"):
            study.confirm(hue, seeds=seeds)
    with pytest.raises(InputError, match="--top: found -1"):
        study.confirm(hue, top=-1)


def test_the_command_is_that_of_the_command_line_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for argv, command in {
        ("/bin/study", "run", "s3://user:secret@host/x"): ["study", "run", "s3://***@host/x"],
        (str(Path(study.__file__).with_name("__main__.py")), "run"): ["study", "run"],
        ("/site/pytest/__main__.py", "--token", "x"): ["python"],
        ("study.py", "--token", "x"): ["python"],
    }.items():
        monkeypatch.setattr(sys, "argv", list(argv))
        assert manifest._command() == command


def test_a_space_is_not_trained_and_a_setting_is_not_searched(spaces: Path) -> None:
    with pytest.raises(InputError, match="found ranges"):
        study.train(spaces / "hue.toml")
    with pytest.raises(InputError, match="found no range"):
        study.run(spaces / "unregularized.toml")


def test_a_training_is_a_study_of_one_trial(spaces: Path, tmp_path: Path) -> None:
    trained = study.train(spaces / "unregularized.toml", seeds=2, steps=20, rungs=2, out=tmp_path, compiled=False)
    assert trained.path == tmp_path / "unregularized-001"
    assert trained.final(0).seed.tolist() == [0, 1]
    assert trained.plan().steps == 20
    page = trained._repr_html_()
    for part in (str(trained.path), "1: 1 complete", "trial 0, isolation", "not confirmed yet"):
        assert part in page


def test_a_confirmed_study_says_its_answer_in_a_notebook(hue: StudyFolder) -> None:
    answer = hue.answer()
    assert f"{answer.setting}, isolation {answer['mean']:.3f}" in hue._repr_html_()


def test_a_plan_keeps_what_is_not_given() -> None:
    plan = Plan(minutes=5, objectives=["speed"])
    assert plan.trials is None
    assert plan.but(minutes=None, cpus=3) == Plan(minutes=5, objectives=("speed",), cpus=3)
    assert Plan().trials == 60


SCRIPT = """
import study
from study.watch.screen import console

console.quiet = True
asked = dict(trials=3, seeds=2, rungs=2, cpus=1, confirm=1, report=False)
found = study.run({space!r}, experiment={experiment!r}, out={out!r}, **asked)
before = list(found.path.glob("*.html"))
more = study.resume(found, trials=4, confirm=0, report=True)
pages = [file.name for file in found.path.glob("*.html")]
print(len(more.trials()), more.plan().confirm, found.answer().setting, before, pages)
"""


@pytest.mark.live
def test_a_script_runs_a_study_and_goes_on_with_it(tmp_path: Path) -> None:
    space, experiment = (str(BOWL / name) for name in ("bowl.toml", "bowl.py"))
    script = SCRIPT.format(space=space, experiment=experiment, out=str(tmp_path / "runs"))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"4 0 trial \d \[\] \['report.html'\]\n", done.stdout)
    assert study.load(tmp_path / "runs" / "bowl-001").manifest()["command"] == ["python"]


def imported(*arguments: object) -> set[str]:
    """The packages that take long to import which a command has imported when it ends."""
    script = (
        "import atexit, sys\n"
        "slow = 'torch', 'ray', 'wandb', 'matplotlib', 'lightning', 'scipy', 'sklearn', 'optuna', 'pandas'\n"
        "atexit.register(lambda: print('imported', *(name for name in slow if name in sys.modules)))\n"
        "from study.cli import main\n"
        "main()"
    )
    command = [sys.executable, "-c", script, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split()[1:])


def test_a_command_imports_no_package_that_it_does_not_need(hue: StudyFolder) -> None:
    """PyTorch takes more than a second."""
    assert imported("--help") == imported("run", "--help") == imported("--version") == set()
    assert imported("status", hue.path) == {"optuna", "pandas"}
    assert imported("show", hue.path, 0) == {"optuna", "pandas"}
    assert imported("spaces") >= {"optuna", "torch"}  # which checks the settings


def test_studies_that_begin_at_the_same_moment_get_names_of_their_own(spaces: Path, tmp_path: Path) -> None:
    space = study.read(spaces / "hue.toml")
    with ThreadPoolExecutor(4) as processes:
        made = list(processes.map(lambda _: create_anew(space, Plan(), tmp_path, "", ()).name, range(12)))
    assert sorted(made) == [f"hue-{number:03d}" for number in range(1, 13)]
    with pytest.raises(InputError, match="hue-001: found an existing study, expected a new name"):
        create_anew(space, Plan(), tmp_path, "hue-001", ())
    assert len(list(tmp_path.iterdir())) == 12
