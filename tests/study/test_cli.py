"""Bad input at every door: one line that helps, exit code 2, nothing written."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import study
from study import cli
from study.record.folder import StudyFolder
from study.space.space import Space


@pytest.fixture
def folder(tmp_path: Path, spaces: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A folder to work in, with the shipped spaces in it."""
    shutil.copytree(spaces, tmp_path / "search_spaces")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def fail(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: Any) -> Any:
    """Run the command line in this process; what it says on stderr and its exit code."""
    monkeypatch.setattr("sys.argv", ["study", *arguments])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    captured = capsys.readouterr()
    return captured.out + captured.err, stop.value.code


EDITS = {
    "toml: an unknown key": ("hue.toml", "bottleneck = 4", "bottlneck = 4", "model.bottlneck: unknown key, expected one of kind, bottleneck"),
    "toml: an unknown table": ("hue.toml", "[ablation]", "[ablatoin]", "ablatoin: unknown key, expected one of title, schedule, data, labels, regularizers"),
    "toml: no TOML": ("hue.toml", "[model]", "[model", "hue.toml: not valid TOML"),
    "toml: an unknown term": ("hue.toml", '"Unitarity"', '"Unitary"', "norm.term: found 'Unitary', expected one of Align"),
    "toml: no term": ("hue.toml", 'term = "Separate"', "", "regularizers.separate.term: found nothing"),
    "toml: dims outside": ("hue.toml", "dims = [0, 1]\nlabels", "dims = [0, 4]\nlabels", "planar.dims: found [0, 4]"),
    "toml: ablated dims outside": ("hue.toml", 'layer = "encoder"\ndims = [0, 1]', "dims = [7]", "ablation.dims: found [7]"),
    "toml: a point too short": ("hue.toml", "[1, 0, 0, 0]", "[1, 0]", "polar.point: found 2 coordinates, expected 4"),
    "toml: a label nobody gives": ("hue.toml", "{ red = 1.0 }", "{ rde = 1.0 }", "polar.labels: found 'rde', expected one of"),
    "toml: an unknown layer": ("hue.toml", 'layer = "encoder"', 'layer = "latent"', "ablation.layer: found 'latent'"),
    "toml: an unknown cube": ("hue.toml", '"hsv"', '"lab"', "data.cube: found 'lab'"),
    "toml: a word for a number": ("hue.toml", "batch = 64", 'batch = "many"', "data.batch: found 'many'"),
    "toml: a negative number": ("hue.toml", "batch = 64", "batch = -1", "data.batch: found -1"),
    "toml: a range upside down": ("hue.toml", "choice(10, 30, 100)", "int(30, 10)", "separate.power: found 'int(30, 10)'"),
    "toml: a wrong choice": ("hue.toml", "choice(10, 30, 100)", "choice(10, -3, 100)", "power: found -3"),
    "toml: an unknown attribute": ("hue.toml", '"vibrancy"', '"vibe"', "labels.vibrant.of: found 'vibe'"),
    "toml: schedule elsewhere": ("hue.toml", '"hue.csv"', '"../hue.csv"', "schedule: found '../hue.csv'"),
    "toml: no schedule": ("hue.toml", 'schedule = "hue.csv"', "", "schedule: found None"),
    "toml: a missing schedule": ("hue.toml", '"hue.csv"', '"heu.csv"', "heu.csv: no such file"),
    "toml: an unknown key of a term": ("hue.toml", "point =", "pt =", "polar.pt: unknown key, expected one of layers"),
    "toml: an unknown key of a label": ("hue.toml", "power = 10,", "powr = 10,", "labels.red.powr: unknown key, expected one of of"),
    "toml: a range without quotes": ("hue.toml", '"choice(10, 30, 100)"', "choice(10, 30)", "ranges need quotes"),
    "toml: a power without end": ("hue.toml", "choice(10, 30, 100)", "choice(10, 30, inf)", "power: found 'choice(10"),
    "toml: a number in quotes": ("hue.toml", "batch = 64", 'batch = "64"', "data.batch: found '64'"),
    "toml: true for a number": ("hue.toml", "batch = 64", "batch = true", "data.batch: found True"),
    "toml: an unknown kind of removal": ("hue.toml", "[ablation]", '[ablation]\nkind = "erase"', "ablation.kind: found 'erase'"),
    "csv: a negative rate": ("hue.csv", "1e-8", "-0.5", "hue.csv: column lr: found -0.5, expected 0 or more"),
    "csv: a column no regularizer has": ("hue.csv", "planar", "plane", "hue.csv: row 1, column plane: found no such term, expected one of lr"),
    "csv: low above high": ("hue.csv", "log(0.003, 0.1)", "log(0.3, 0.1)", "hue.csv: row 3, column lr: found 'peak = log(0.3"),
    "csv: log of 0": ("hue.csv", "log(0.0003, 0.03)", "log(0, 0.03)", "hue.csv: row 7, column lr: found 'log(0, 0.03)'"),
    "csv: no learning rate": ("hue.csv", "lr,", "rl,", "hue.csv: found no column lr"),
    "csv: a word for a number": ("hue.csv", "1e-8", "tiny", "hue.csv: row 2, column lr: found 'tiny', expected a number"),
    "csv: a step of nonsense": ("hue.csv", "1000,Settle", "later,Settle", "hue.csv: row 5, column STEP: found 'later'"),
    "csv: a cell too many": ("hue.csv", "peak,", "peak,,", "hue.csv: row 5: found 10 cells, expected 9"),
    "csv: an open quote": ("hue.csv", '"log(0.0003, 0.03)"', '"log(0.0003, 0.03)', "hue.csv: not valid CSV"),
}  # fmt: skip


@pytest.mark.parametrize(("file", "old", "new", "message"), EDITS.values(), ids=EDITS.keys())
def test_wrong_files(
    folder: Any,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    file: Any,
    old: Any,
    new: Any,
    message: Any,
) -> None:
    path = folder / "search_spaces" / file
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    said, code = fail(capsys, monkeypatch, "run", "search_spaces/hue.toml")
    assert code == 2
    assert said.startswith("error: search_spaces/")
    assert message in said
    assert said.count("\n") == 1
    assert not (folder / "runs").exists()


HUE = "search_spaces/hue.toml"

FLAGS = {
    "no such space": (["run", "search_spaces/heu.toml"], "search_spaces/heu.toml: no such file"),
    "a folder": (["run", "search_spaces"], "search_spaces: is a folder"),
    "a fixed setting to search": (["run", "search_spaces/subspace-ablation.toml"], "found no range"),
    "a space to train": (["train", "search_spaces/hue.toml"], "found ranges"),
    "no seeds": (["run", "search_spaces/hue.toml", "--seeds", "0"], "--seeds"),
    "no trials": (["run", "search_spaces/hue.toml", "--trials", "0"], "--trials"),
    "no steps": (["train", "search_spaces/subspace-ablation.toml", "--steps", "0"], "--steps"),
    "seeds that are no number": (["train", "search_spaces/subspace-ablation.toml", "--seeds", "many"], "--seeds"),
    "fewer steps than rows": (["train", "search_spaces/subspace-ablation.toml", "--steps", "1"], "rescale"),
    "an unknown flag": (["run", "search_spaces/hue.toml", "--sedes", "3"], "--sedes"),
    "an unknown command": (["rnu"], "rnu"),
    "a name with a slash": (
        ["run", "search_spaces/hue.toml", "--name", "a/b"],
        "--name: found 'a/b', expected letters",
    ),
    "a name of dots": (["run", "search_spaces/hue.toml", "--name", ".."], "--name: found '..'"),
    "a name of nothing visible": (["run", "search_spaces/hue.toml", "--name", " "], "--name: found ' '"),
    "no such study": (["report", "nowhere"], "runs/nowhere: found no study"),
    "no such study to show": (["show", "nowhere", "1"], "runs/nowhere: found no study"),
    "no spaces": (["spaces", "nowhere"], "nowhere: found no TOML file"),
    "no such study to confirm": (["confirm", "nowhere"], "runs/nowhere: found no study, expected a folder with"),
    "no such study to resume": (["resume", "nowhere"], "runs/nowhere: found no study"),
    "no such study's status": (["status", "nowhere"], "runs/nowhere: found no study"),
    "no such study to export": (["export", "nowhere", "1"], "runs/nowhere: found no study"),
    "no such study's dashboard": (["dashboard", "nowhere"], "runs/nowhere: found no study"),
    "a study without a name": (["status", ""], "runs: found no study"),
    "a study outside": (["status", "../.."], "runs/../..: found no study"),
    "a trial that is no number": (["show", "nowhere", "minus"], "trial"),
    "a trial that is missing": (["show", "nowhere"], "trial"),
    "a name with an accent": (["run", HUE, "--name", "é"], "--name: found 'é', expected letters"),
    "a name with a space": (["run", HUE, "--name", "a b"], "--name: found 'a b'"),
    "a name like a flag": (["run", HUE, "--name", "-x"], "--name: found '-x'"),
    "a name without end": (["run", HUE, "--name", "x" * 101], "--name: found 'xxx"),
    "a space without a name": (["run", ""], "is a folder, expected a TOML file"),
    "a schedule for a space": (["run", "search_spaces/hue.csv"], "search_spaces/hue.csv: not valid TOML"),
    "a file for a folder of spaces": (["spaces", HUE], "found no TOML file, expected a folder"),
    "a file for a folder of studies": (
        ["train", "search_spaces/subspace-ablation.toml", "--name", "a", "--out", HUE, "--steps", "20", "--seeds", "1"],
        f"{HUE}/a: cannot be made (Not a directory), expected a writable folder (--out)",
    ),
    "an unknown objective": (["run", HUE, "--objective", "beauty"], "--objective: found 'beauty', expected one of"),
    "an objective that misleads": (
        ["run", HUE, "--objective", "vibrancy_r2"],
        "rotating all hues scores 0.942",
    ),
    "another concept's objective": (
        ["run", HUE, "--objective", "red_blindness"],
        "found 'red_blindness', expected one of",
    ),
    "an objective twice": (
        ["run", HUE, "--objective", "utility", "--objective", "utility"],
        "expected distinct metrics",
    ),
    "no constraint": (["run", HUE, "--constraint", "utility > 1"], "--constraint: found 'utility > 1'"),
    "an unknown sampler": (["run", HUE, "--sampler", "magic"], "--sampler"),
    "a sampler without constraints": (
        ["run", HUE, "--sampler", "cmaes", "--constraint", "utility >= 0.9"],
        "--sampler: found cmaes, which allows one objective",
    ),
    "minutes that are no number": (["run", HUE, "--minutes", "nan"], "--minutes"),
    "a share above 1": (["run", HUE, "--audit", "2"], "--audit"),
    "no time for a trial": (["run", HUE, "--limit", "0"], "--limit"),
    "negative memory": (["run", HUE, "--memory", "-1"], "--memory"),
    "steps without end": (["run", HUE, "--steps", "99999999999"], "--steps"),
    "no address": (["run", HUE, "--address", "nonsense"], "--address: found 'nonsense', expected auto or"),
    "an address of Ray's client": (["run", HUE, "--address", "ray://127.0.0.1:1"], "(elsewhere: `study submit`)"),
    "storage that nobody knows": (
        ["run", HUE, "--out", "no-such-scheme://x"],
        "expected a URL that PyArrow or fsspec supports",
    ),
    "a password in a URL": (["run", HUE, "--out", "s3://me:secret@bucket/x"], "--out: found a password or options"),
    "a job for nowhere": (["submit", HUE, "--address", "nonsense"], "--out"),
}


@pytest.mark.parametrize(("arguments", "message"), FLAGS.values(), ids=FLAGS.keys())
@pytest.mark.usefixtures("folder")
def test_wrong_flags(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, arguments: Any, message: Any
) -> None:
    said, code = fail(capsys, monkeypatch, *arguments)
    assert code == 2
    assert message in said
    assert "Traceback" not in said
    assert not (tmp_path / "runs").exists()


def test_an_existing_study_is_left_alone(
    hue: StudyFolder, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, spaces: Path
) -> None:
    before = sorted((p, p.stat().st_mtime_ns) for p in hue.path.rglob("*"))
    for verb, file in (("run", "hue.toml"), ("train", "subspace-ablation.toml")):
        said, code = fail(capsys, monkeypatch, verb, str(spaces / file), "--name", "hue", "--out", str(hue.path.parent))
        assert code == 2
        assert {"run": "a study with other seeds, steps", "train": "found an existing study"}[verb] in said
    assert sorted((p, p.stat().st_mtime_ns) for p in hue.path.rglob("*")) == before


def test_exporting_over_a_file(
    hue: StudyFolder, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("mine")
    said, code = fail(capsys, monkeypatch, "export", str(hue.path), "0", "--to", str(tmp_path / "file"))
    assert code == 2
    assert "cannot be written" in said
    assert (tmp_path / "file").read_text() == "mine"


def test_a_training_that_does_not_fit_fails_and_leaves_nothing(
    folder: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    toml = folder / "search_spaces" / "subspace-ablation.toml"
    toml.write_text(toml.read_text().replace("bottleneck = 4", "bottleneck = 4\nhidden = 1000000000000000"))
    said, code = fail(capsys, monkeypatch, "train", "search_spaces/subspace-ablation.toml", "--name", "big")
    assert code == 1
    assert "failed: search_spaces/subspace-ablation.toml: " in said
    assert "can't allocate memory" in said
    assert not (folder / "runs").exists()


def test_titles_are_text_and_not_markup(
    folder: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    toml = folder / "search_spaces" / "subspace-ablation.toml"
    toml.write_text(toml.read_text().replace("Subspace", "[/red] [bold]Subspace"))
    (folder / "search_spaces" / "broken.toml").write_text("schedule = 3")
    monkeypatch.setattr("sys.argv", ["study", "spaces"])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    said = capsys.readouterr().out
    assert stop.value.code == 0
    assert "[/red]" in said
    assert "[bold]Subspace" in said
    assert "broken.toml: schedule: found 3" in said.replace("\n", "")


def test_a_table_from_a_spreadsheet_is_read(folder: Any) -> None:
    """Excel writes a byte order mark."""
    path = folder / "search_spaces" / "subspace-ablation.csv"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert len(Space.read(folder / "search_spaces" / "subspace-ablation.toml").setting({}).schedule) == 2001


def test_no_such_trial(hue: StudyFolder, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for verb in ("show", "export"):
        said, code = fail(capsys, monkeypatch, verb, str(hue.path), "99")
        assert code == 2
        assert "found no trial 99, expected one of 0 to 13" in said


def test_every_command_has_help_with_an_example() -> None:
    runner = CliRunner()
    for command in cli.app.registered_commands:
        name = command.callback.__name__
        result = runner.invoke(cli.app, [name, "--help"])
        assert result.exit_code == 0
        assert f"Example: study {name} " in result.output.replace("\n", " ")


def test_train_prints_every_metric(spaces: Path) -> None:
    result = CliRunner().invoke(
        cli.app, ["train", str(spaces / "subspace-ablation.toml"), "--seeds", "3", "--steps", "50"]
    )
    assert result.exit_code == 0
    for metric in ("isolation", "utility", "hue_blindness", "hue_residual", "gray_collateral", "lightness_kept"):
        assert metric in result.output
    assert "3 replicas after 50 steps" in result.output


def test_train_can_examine(spaces: Path, tmp_path: Path) -> None:
    arguments = ["--seeds", "2", "--steps", "60", "--examine", "--name", "looked", "--out", str(tmp_path)]
    result = CliRunner().invoke(cli.app, ["train", str(spaces / "subspace-ablation.toml"), *arguments])
    assert result.exit_code == 0, result.output
    for metric in ("probe_gap", "relearning", "wheel", "winding"):
        assert metric in result.output
    final = study.load(tmp_path / "looked").final()
    assert final[["probe_gap", "wheel"]].notna().all(axis=None)


def test_show_and_spaces(hue: StudyFolder, spaces: Path) -> None:
    shown = CliRunner().invoke(cli.app, ["show", str(hue.path), "0"])
    assert shown.exit_code == 0
    for word in ("trial 0 of hue", "separate@rise", "Schedule, 300 steps", "Settle", "isolation", "█", "   o"):
        assert word in shown.output
    listed = CliRunner().invoke(cli.app, ["spaces", str(spaces)])
    assert listed.exit_code == 0
    assert "Which regularizer" in listed.output
    assert "16" in listed.output
    assert "fixed" in listed.output
