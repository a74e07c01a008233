"""Studies at a URL: uploaded as they grow, fetched to be read or to go on, and never ahead of what Optuna knows."""

import shutil
import urllib.error
import urllib.request
from pathlib import Path
from threading import Thread
from typing import Any

import fsspec
import optuna
import pandas as pd
import pytest
from rich.console import Console
from typer.testing import CliRunner

import study
from anchoring import InputError
from anchoring.errors import FailedError
from study import cli
from study.driving import mirrored
from study.record.copies import NOTE
from study.record.folder import StudyFolder
from study.record.mirror import JOURNAL, TRIALS, Mirror, fetch, locate, names, url_of
from study.record.recovery import reconcile
from study.record.store import Store
from study.record.writer import Writer
from study.search import journal
from study.watch import dashboard
from study.watch.status import status

STAYS = ("ray", "wandb", "tensorboard", ".lock")


@pytest.fixture
def url(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A URL to keep studies at, in files or in the storage that a test asks for. No working copies exist yet."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    files = (tmp_path / "bucket" / "prefix").as_uri()
    asked = getattr(request, "param", "files")
    return files if asked == "files" else asked


@pytest.fixture
def working(hue: StudyFolder, url: Any) -> Any:
    """A working copy of a study that is yet to be uploaded."""
    path = shutil.copytree(hue.path, locate(url) / "hue", ignore=shutil.ignore_patterns(*STAYS))
    (path / "report.html").touch()
    return study.load(path)


def mirror(folder: Any) -> Any:
    return Mirror(folder, url_of(folder.path.parent), Console())  # type: ignore[arg-type]


def tree(path: Any) -> Any:
    files = [file for file in path.rglob("*") if file.is_file() and file.name != NOTE]
    return {file.relative_to(path).as_posix(): file.read_bytes() for file in files}


def test_a_study_comes_back_whole(working: Any, hue: StudyFolder, url: Any, tmp_path: Path) -> None:
    with mirror(working):
        pass
    before = tree(working.path)
    shutil.rmtree(tmp_path / "cache")
    again = study.load(f"{url}/hue")
    assert tree(again.path) == before
    assert names(locate(url)) == {"hue"}
    pd.testing.assert_frame_equal(again.trials(), hue.trials())
    assert again.model(again.best().trial.item()).state_dict().keys()
    shutil.rmtree(tmp_path / "cache")
    for arguments in (["show", "hue", "0", "--out", url], ["show", f"{url}/hue", "0"]):
        shown = CliRunner().invoke(cli.app, arguments)
        assert shown.exit_code == 0, shown.output
        assert "trial 0 of hue" in shown.output


def test_only_what_changed_is_uploaded_again(working: Any, tmp_path: Path) -> None:
    there = tmp_path / "bucket" / "prefix" / "hue"
    with mirror(working) as uploading:
        uploading.started(0)
        uploading._upload.result()
        (there / "models").rename(there / "moved")
        (there / "models").mkdir()
        Writer(working.path).write("report.html", b"new")
    assert (there / "report.html").read_bytes() == b"new"
    assert not list((there / "models").iterdir())


def test_what_the_journal_does_not_know_is_in_the_table(working: Any, url: Any, tmp_path: Path) -> None:
    """So it is when a driver was killed between the upload of the table and that of the journal."""
    with mirror(working):
        pass
    kept = tmp_path / "bucket" / "prefix" / "hue" / JOURNAL
    lines = kept.read_bytes().splitlines(keepends=True)
    kept.write_bytes(b"".join(lines[: len(lines) // 2]))
    shutil.rmtree(tmp_path / "cache")
    again = study.load(f"{url}/hue")
    assert 0 < sum(trial.state.is_finished() for trial in again.optuna().trials) < 14
    assert len(again.trials()) == 14
    search = journal.search(again.path, optuna.samplers.RandomSampler(), again.goal.directions)
    reconcile(search, again)
    assert all(trial.state.is_finished() for trial in search.trials)
    assert len(search.trials) == 14


def grow(folder: Any, line: Any = "\n") -> None:
    """Go on with a study, as far as its journal and its table tell."""
    with (folder.path / JOURNAL).open("a") as journal:
        journal.write(line)
    (folder.path / TRIALS).write_bytes((folder.path / TRIALS).read_bytes() + line.encode())


@pytest.fixture
def elsewhere(working: Any, url: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The study, uploaded and fetched again on another machine."""
    with mirror(working):
        pass
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "other"))
    fetched = study.load(f"{url}/hue")
    assert fetched.path != working.path
    return fetched


def at(folder: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Be on the machine of this working copy."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder.path.parents[2]))


def test_a_reader_does_not_roll_the_study_back(
    working: Any, elsewhere: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    at(working, monkeypatch)
    with mirrored(elsewhere) as none:
        assert none == []  # no folder of this machine's
    reader = Mirror(elsewhere, (tmp_path / "bucket" / "prefix").as_uri(), Console())
    with reader:
        reader._upload.result()
        grow(working)
        with mirror(working):
            pass
        finished = tree(tmp_path / "bucket")
        Writer(elsewhere.path).write("report.html", b"old")
    assert tree(tmp_path / "bucket") == finished
    assert reader.failed is None
    assert "was changed by another process" in capsys.readouterr().out


def test_a_reader_uploads_what_it_changed_alone(elsewhere: Any, tmp_path: Path) -> None:
    there = tmp_path / "bucket" / "prefix" / "hue"
    before = {path: path.stat().st_mtime_ns for path in there.rglob("*") if path.is_file()}
    with mirror(elsewhere):
        Writer(elsewhere.path).write("report.html", b"new")
    changed = [path.name for path, when in before.items() if path.stat().st_mtime_ns != when]
    assert changed == ["report.html"]
    assert (there / "report.html").read_bytes() == b"new"


@pytest.mark.parametrize("url", ["files", "memory://prefix"], indirect=True, ids=["files", "a storage without times"])
def test_a_confirmation_elsewhere_is_fetched_and_stays(
    working: Any, elsewhere: Any, url: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with mirror(elsewhere):
        Writer(elsewhere.path).write("confirmation.parquet", b"theirs")
    at(working, monkeypatch)
    fetch(working.path)
    assert (working.path / "confirmation.parquet").read_bytes() == b"theirs"
    with mirror(working):
        pass
    with fsspec.open(f"{url}/hue/confirmation.parquet") as there:
        assert there.read() == b"theirs"


def test_two_ways_are_kept_and_named(
    working: Any, elsewhere: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One goes on while the storage is out, another from the URL: the longer journal is not further on."""
    with mirror(elsewhere):
        grow(elsewhere, "{}\n")
    finished = tree(tmp_path / "bucket")
    at(working, monkeypatch)
    grow(working, '{"longer": true}\n')
    with pytest.raises(FailedError, match="have different trials"), mirrored(working):
        Writer(working.path).write("report.html", b"mine")
    assert tree(tmp_path / "bucket") == finished
    with pytest.raises(InputError, match=r"hue and its working copy .*hue have different trials.*remove") as error:
        fetch(working.path)
    assert "\n" not in str(error.value)


def test_a_damaged_journal_does_not_come_here(working: Any, url: Any, tmp_path: Path) -> None:
    with mirror(working):
        pass
    there = tmp_path / "bucket" / "prefix" / "hue" / JOURNAL
    there.write_bytes(there.read_bytes().replace(b"{", b"#", 3))
    (working.path / JOURNAL).unlink()
    with pytest.raises(InputError, match=r"prefix/hue/optuna.journal: damaged.*remove it there and here"):
        fetch(working.path)
    there.unlink()
    fetch(working.path)
    journal.search(working.path, optuna.samplers.RandomSampler(), working.goal.directions)
    with mirror(working):
        pass
    assert there.read_bytes() == (working.path / JOURNAL).read_bytes() != b""


def test_the_copy_that_is_further_on_stays(working: Any, url: Any) -> None:
    with mirror(working):
        pass
    with (working.path / JOURNAL).open("a") as journal:
        journal.write("\n")
    (working.path / TRIALS).write_bytes(b"mine")
    fetch(working.path)
    assert (working.path / TRIALS).read_bytes() == b"mine"


def test_what_is_no_study_of_ours_is_not_fetched(working: Any, url: Any, tmp_path: Path) -> None:
    with mirror(working):
        pass
    there = tmp_path / "bucket" / "prefix" / "hue"
    for name in (".hidden", "models/deeper/file", "ray/pickle.pkl", "wandb/run"):
        (there / name).parent.mkdir(parents=True, exist_ok=True)
        (there / name).write_text("planted")
    shutil.rmtree(tmp_path / "cache")
    assert b"planted" not in tree(study.load(f"{url}/hue").path).values()


def test_a_storage_that_fails_is_said_once_and_at_the_end(
    working: Any, url: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bucket").write_text("in the way")
    with (
        pytest.raises(FailedError, match="could not be uploaded"),
        mirrored(working) as listeners,
    ):
        listeners[0].started(0)
    assert capsys.readouterr().out.count("goes on without its copy") == 1
    assert study.load(working.path).trials().shape[0] == 14


def test_whatever_a_storage_raises_is_said(
    working: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(store: Any, path: Any, content: Any) -> None:
        raise RuntimeError("Server disconnected")

    monkeypatch.setattr(Store, "write", fail)
    with pytest.raises(FailedError, match="Server disconnected"), mirrored(working):
        pass
    assert "goes on without its copy" in capsys.readouterr().out


def test_at_a_url_another_machine_may_be_at_work(elsewhere: Any) -> None:
    """A lock that is left here says nothing of that, and a note taken here would be another way."""
    Writer(elsewhere.path).write_manifest({**elsewhere.manifest(), "trials": 20})
    journal.storage(elsewhere.path).create_new_trial(0)
    (elsewhere.path / ".lock").touch()
    assert status(elsewhere).state == "running"
    with dashboard.server(elsewhere, 0) as serving:
        Thread(target=serving.serve_forever, daemon=True).start()
        note = urllib.request.Request(f"http://127.0.0.1:{serving.server_port}/api/studies/0/note", b"{}", method="PUT")
        with pytest.raises(urllib.error.HTTPError, match="403") as refused:
            urllib.request.urlopen(note, timeout=60)
        refused.value.close()
        serving.shutdown()


@pytest.mark.parametrize(
    ("url", "message"),
    {
        "a scheme nobody knows": ("nowhere://bucket", "expected a URL that PyArrow or fsspec supports"),
        "a password": ("s3://key:secret@bucket/x", "found a password or options"),
        "one with a slash": ("s3://key:se/cret@bucket/x", "found a password or options"),
        "one of Azure's": ("abfs://key:secret@bucket/x", "found a password or options"),
        "nowhere": ("s3://", "found a URL without a bucket"),
    }.values(),
)
def test_wrong_urls(url: Any, message: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(InputError, match=message) as error:
        names(locate(url))
    assert "cret" not in str(error.value)
    assert not [file for file in tmp_path.rglob(".url") if "cret" in file.read_text()]


def test_azure_puts_the_container_first(url: Any) -> None:
    assert url_of(locate("abfs://container@account/prefix/")) == "abfs://container@account/prefix"


def test_no_study_at_a_url(url: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="found no study"):
        study.load(f"{url}/hue")


@pytest.mark.parametrize("cache", ["/proc/nowhere", "/etc/hostname"])
def test_a_cache_that_cannot_be_written_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cache: str) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", cache)
    with pytest.raises(InputError, match=r"cannot be made \(.*\), expected a writable folder .*set XDG_CACHE_HOME"):
        study.load(f"{tmp_path.as_uri()}/hue")


def test_a_published_study_has_a_url_too(spaces: Path, url: Any, tmp_path: Path) -> None:
    """Its replicas are in one file, where those of other studies are in a folder."""
    published = spaces.parent / "analysis" / "published" / "deletion"
    assert (published / "replicas.parquet").is_file()
    shutil.copytree(published, tmp_path / "bucket" / "prefix" / "deletion")
    folder = study.load(f"{url}/deletion")
    pd.testing.assert_frame_equal(folder.replicas(), study.load(published).replicas())
    before = tree(tmp_path / "bucket")
    with mirrored(folder):
        Writer(folder.path).write("report.html", b"new")
    assert tree(tmp_path / "bucket") == {**before, "prefix/deletion/report.html": b"new"}
