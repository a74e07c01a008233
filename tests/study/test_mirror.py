"""Studies at a URL: uploaded as they grow, fetched to be read or to go on, and never ahead of what Optuna knows."""

import shutil

import pandas as pd
import pytest
from rich.console import Console
from typer.testing import CliRunner

import study
from excolor import InputError
from study import cli
from study.mirror import JOURNAL, TRIALS, Mirror, fetch, locate, names, url_of

STAYS = ("ray", "wandb", "tensorboard", ".lock")


@pytest.fixture
def url(tmp_path, monkeypatch):
    """A URL to keep studies at, of a machine without working copies."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return (tmp_path / "bucket" / "prefix").as_uri()


@pytest.fixture
def working(hue, url):
    """A working copy of a study that is yet to be uploaded."""
    return study.load(shutil.copytree(hue.path, locate(url) / "hue", ignore=shutil.ignore_patterns(*STAYS)))


def mirror(folder):
    return Mirror(folder, url_of(folder.path.parent), Console())


def tree(path):
    return {p.relative_to(path).as_posix(): p.read_bytes() for p in path.rglob("*") if p.is_file()}


def test_a_study_comes_back_whole(working, hue, url, tmp_path):
    with mirror(working):
        pass
    before = tree(working.path)
    shutil.rmtree(tmp_path / "cache")
    again = study.load(f"{url}/hue")
    assert tree(again.path) == before
    assert names(locate(url)) == {"hue"}
    pd.testing.assert_frame_equal(again.trials, hue.trials)
    assert again.model(again.best().trial.item()).state_dict().keys()
    shutil.rmtree(tmp_path / "cache")
    for arguments in (["show", "hue", "0", "--out", url], ["show", f"{url}/hue", "0"]):
        shown = CliRunner().invoke(cli.app, arguments)
        assert shown.exit_code == 0, shown.output
        assert "trial 0 of hue" in shown.output


def test_only_what_changed_is_uploaded_again(working, tmp_path):
    there = tmp_path / "bucket" / "prefix" / "hue"
    with mirror(working) as uploading:
        uploading.started(0)
        uploading._upload.result()
        (there / "models").rename(there / "moved")
        (there / "models").mkdir()
        working.write("report.html", b"new")
    assert (there / "report.html").read_bytes() == b"new"
    assert not list((there / "models").iterdir())


def test_what_the_journal_does_not_know_to_have_ended_has_not(working, url, tmp_path):
    """As when a driver was killed between the upload of the table and that of the journal."""
    with mirror(working):
        pass
    journal = tmp_path / "bucket" / "prefix" / "hue" / JOURNAL
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[: len(lines) // 2]))
    shutil.rmtree(tmp_path / "cache")
    again = study.load(f"{url}/hue")
    ended = {trial.number for trial in again.optuna().trials if trial.state.is_finished()}
    assert 0 < len(ended) < 14
    assert set(again.trials.trial) == ended


def test_the_copy_that_is_further_on_stays(working, url):
    with mirror(working):
        pass
    with (working.path / JOURNAL).open("a") as journal:
        journal.write("\n")
    (working.path / TRIALS).write_bytes(b"mine")
    fetch(working.path)
    assert (working.path / TRIALS).read_bytes() == b"mine"


def test_what_is_no_study_of_ours_is_not_fetched(working, url, tmp_path):
    with mirror(working):
        pass
    there = tmp_path / "bucket" / "prefix" / "hue"
    for name in (".hidden", "models/deeper/file", "ray/pickle.pkl", "wandb/run"):
        (there / name).parent.mkdir(parents=True, exist_ok=True)
        (there / name).write_text("planted")
    shutil.rmtree(tmp_path / "cache")
    assert b"planted" not in tree(study.load(f"{url}/hue").path).values()


def test_a_storage_that_fails_is_said_once_and_at_the_end(working, url, tmp_path, capsys):
    (tmp_path / "bucket").write_text("in the way")
    with (
        pytest.raises(cli.options.FailedError, match="could not be uploaded"),
        cli.options.mirrored(working) as listeners,
    ):
        listeners[0].started(0)
    assert capsys.readouterr().out.count("goes on without its copy") == 1
    assert study.load(working.path).trials.shape[0] == 14


@pytest.mark.parametrize(
    ("url", "message"),
    {
        "a scheme nobody knows": ("nowhere://bucket", "expected a URL that PyArrow or fsspec knows"),
        "a password": ("s3://key:secret@bucket/x", "found a password or options"),
    }.values(),
)
def test_wrong_urls(url, message, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(InputError, match=message) as error:
        names(locate(url))
    assert "secret" not in str(error.value)


def test_no_study_at_a_url(url, tmp_path):
    with pytest.raises(InputError, match="found no study"):
        study.load(f"{url}/hue")
