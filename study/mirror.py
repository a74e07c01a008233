"""A study whose `--out` is a URL, such as s3://bucket/prefix: a working copy on this machine, uploaded as it grows."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from urllib.parse import urlsplit

import fsspec
import platformdirs
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow.fs import FileSelector, FileSystem, FileType, FSSpecHandler, PyFileSystem
from rich.console import Console

from excolor import InputError
from study.folder import StudyFolder
from study.trial import Report, Row

TRIALS, JOURNAL = "trials.parquet", "optuna.journal"
FOLDERS = ("models", "replicas.parquet")
EVERY = 5  # seconds, at most


def locate(url: str) -> Path:
    """The local folder that stands for a URL of studies: one in the user's cache that remembers it."""
    url = url.rstrip("/")
    if urlsplit(url).password or "?" in url:
        raise InputError("--out: found a password or options in the URL, expected them in the environment")
    name = f"{re.sub(r'[^A-Za-z0-9.]+', '-', url)[:100]}-{hashlib.sha256(url.encode()).hexdigest()[:8]}"
    folder = _working_copies() / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ".url").write_text(url, encoding="utf-8")
    return folder


def url_of(out: Path) -> str | None:
    """The URL that a local folder of studies stands for, if `locate` made it."""
    made = out.parent == _working_copies() and (out / ".url").is_file()
    return (out / ".url").read_text(encoding="utf-8") if made else None


def names(out: Path) -> set[str]:
    """The studies at the URL that a folder of studies stands for. Raises InputError if it cannot be written to."""
    url = url_of(out)
    if url is None:
        return set()
    try:
        storage, root = _storage(url)
        storage.create_dir(root)  # fails where there is no bucket; a listing would be empty
        found = storage.get_file_info(FileSelector(root))
    except OSError as error:
        raise InputError(
            f"{url}: cannot be written to ({_reason(error)}), expected storage to write to (--out)"
        ) from None
    return {info.base_name for info in found if info.type == FileType.Directory}


def fetch(path: Path) -> None:
    """Bring the working copy of a study up to date, if its folder stands for a URL and the study there is further on.

    Of two copies the one with the longer journal, which only grows, is further on. What that does not know to have
    ended, since an upload was cut off, has not. Raises InputError if the URL cannot be read.
    """
    url = url_of(path.parent)
    if url is None:
        return
    try:
        storage, root = _storage(f"{url}/{path.name}")
        found = storage.get_file_info(FileSelector(root, recursive=True, allow_not_found=True))
        sizes = {info.path.removeprefix(f"{root}/"): info.size for info in found if info.type == FileType.File}
        sizes = {name: size for name, size in sizes.items() if _is_ours(name)}
        journal = path / JOURNAL
        here, there = journal.stat().st_size if journal.is_file() else -1, sizes.get(JOURNAL, -1)
        if there < here:
            return
        folder = StudyFolder(path)
        for part in FOLDERS if sizes else ():
            (path / part).mkdir(parents=True, exist_ok=True)
        new = [name for name in sizes if there > here or not (path / name).is_file()]
        new.sort(key=JOURNAL.__eq__)
        content = {name: storage.open_input_stream(f"{root}/{name}").readall() for name in new if name == JOURNAL}
        for name in new:  # the journal, read first, is written last: all that it knows of is there
            folder.write(name, content.get(name) or storage.open_input_stream(f"{root}/{name}").readall())
    except OSError as error:
        raise InputError(f"{url}/{path.name}: cannot be read ({_reason(error)}), expected a study") from None
    if not (path / "manifest.json").is_file():
        raise InputError(f"{url}/{path.name}: found no study, expected a folder with a manifest.json in it")
    if TRIALS in new and JOURNAL in new:
        told = [trial.number for trial in folder.optuna().trials if trial.state.is_finished()]
        trials = folder.trials_table()
        folder.write_trials(trials.filter(pc.is_in(trials["trial"], pa.array(told, trials["trial"].type))))


class Mirror:
    """Uploads what changed in a study's working copy: now and then as trials begin, and at the end.

    A study does not wait for it. The copy is always one to go on from: the journal and the table of trials are taken
    when every trial in the one is in the other, and uploaded after what they speak of. What fails is said once and
    tried again; `failed` is why the last time failed, if it did.
    """

    def __init__(self, folder: StudyFolder, url: str, console: Console):
        self.url = f"{url}/{folder.name}"
        self.failed: str | None = None
        self._folder = folder
        self._console = console
        self._sent: dict[str, object] = {}
        self._thread = ThreadPoolExecutor(1, "mirror")
        self._upload: Future[None] = self._thread.submit(lambda: None)
        self._next = 0.0

    def __enter__(self) -> Mirror:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self._thread.submit(self._sync, self._tables())
        self._thread.shutdown()

    def started(self, trial: int) -> None:
        """A trial has begun: each that has ended is now in both tables, and it is time to upload, if none goes on."""
        if self._upload.done() and time.monotonic() >= self._next:
            self._next = time.monotonic() + EVERY
            self._upload = self._thread.submit(self._sync, self._tables())

    def reported(self, trial: int, report: Report) -> None:
        """A trial has come to a rung."""

    def ended(self, row: Row) -> None:
        """A trial has ended."""

    def _tables(self) -> dict[str, bytes]:
        paths = [self._folder.path / name for name in (TRIALS, JOURNAL)]
        return {path.name: path.read_bytes() for path in paths if path.is_file()}

    def _sync(self, tables: dict[str, bytes]) -> None:
        try:
            storage, root = _storage(self.url)
            for part in ("", *FOLDERS) if not self._sent else ():
                storage.create_dir(f"{root}/{part}".rstrip("/"))
            for name, stamp in self._changed():
                self._put(storage, f"{root}/{name}", (self._folder.path / name).read_bytes())
                self._sent[name] = stamp
            for name, content in tables.items():
                if self._sent.get(name) != content:
                    self._put(storage, f"{root}/{name}", content)
                    self._sent[name] = content
            self.failed = None
        except (OSError, InputError) as error:
            if self.failed is None:
                text = f"the study goes on without its copy at {self.url}: {_reason(error)}"
                self._console.print(text, style="yellow", markup=False, highlight=False, soft_wrap=True)
            self.failed = _reason(error)

    def _changed(self) -> Iterator[tuple[str, tuple[int, int]]]:
        """The files besides the tables that are not as they were sent, and what tells that."""
        here = self._folder.path
        for path in [*here.glob("*"), *(path for part in FOLDERS for path in here.glob(f"{part}/*"))]:
            name = path.relative_to(here).as_posix()
            if _is_ours(name) and path.is_file() and name not in (TRIALS, JOURNAL):
                stamp = path.stat().st_mtime_ns, path.stat().st_size
                if self._sent.get(name) != stamp:
                    yield name, stamp

    @staticmethod
    def _put(storage: FileSystem, path: str, content: bytes) -> None:
        with storage.open_output_stream(path) as file:
            file.write(content)


def _working_copies() -> Path:
    return platformdirs.user_cache_path("hue-study")


def _is_ours(name: str) -> bool:
    """Whether a relative path is a study's file, W&B's and Ray's own apart, not hidden, not out of the folder."""
    *folders, file = name.split("/")
    return not file.startswith(".") and (not folders or "/".join(folders) in FOLDERS)


def _storage(url: str) -> tuple[FileSystem, str]:
    """The storage that a URL means, to PyArrow or else to fsspec, and the path in it."""
    try:
        return FileSystem.from_uri(url)
    except pa.ArrowInvalid:
        try:
            storage, path = fsspec.core.url_to_fs(url)
        except (ImportError, ValueError) as error:
            raise InputError(f"{url}: {_reason(error)}, expected a URL that PyArrow or fsspec knows (--out)") from None
        return PyFileSystem(FSSpecHandler(storage)), path


def _reason(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
