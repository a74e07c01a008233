"""A study whose `--out` is a URL, such as s3://bucket/prefix: a working copy on this machine, uploaded as it grows."""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType

import fsspec
import platformdirs
import pyarrow as pa
from pyarrow.fs import FileInfo, FileSelector, FileSystem, FileType, FSSpecHandler, PyFileSystem
from rich.console import Console

from anchoring.errors import InputError, reason
from study.record.folder import StudyFolder
from study.record.writer import Writer
from study.search.trial import Report, Row

TRIALS, JOURNAL = "trials.parquet", "optuna.journal"
FOLDERS = ("models", "replicas.parquet")
EVERY = 5  # seconds, at most
CONTAINER_FIRST = r"(abfss?|wasbs?)://[^:/@]+@[^@]+"  # Azure's URLs: container@account


def locate(url: str) -> Path:
    """The local folder that stands for a URL of studies: one in the user's cache that remembers it."""
    url = url.rstrip("/")
    if "://" not in url:
        raise InputError("--out: found a URL without a bucket, expected one such as s3://bucket/prefix")
    _expect_no_secret(url)
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
            f"{url}: cannot be written to ({reason(error)}), expected storage to write to (--out)"
        ) from None
    return {info.base_name for info in found if info.type == FileType.Directory}


def fetch(path: Path) -> None:
    """Bring the working copy of a study up to date, if its folder stands for a URL and the study there is further on.

    A journal only grows, so of two copies the one whose journal begins with the other's is further on. Raises
    InputError if neither does, or the URL cannot be read.
    """
    url = url_of(path.parent)
    if url is None:
        return
    url = f"{url}/{path.name}"
    _expect_no_secret(url)
    try:
        storage, root = _storage(url)
        found = _files(storage, root)
        theirs = _read(storage, f"{root}/{JOURNAL}")
        ours = (path / JOURNAL).read_bytes() if (path / JOURNAL).is_file() else b""
        _expect_lines(theirs, url)
        _expect_one_way(ours, theirs, url, path)
        if len(ours) > len(theirs):
            return
        for part in FOLDERS if found else ():
            (path / part).mkdir(parents=True, exist_ok=True)
        new = [name for name in found if len(theirs) > len(ours) or _is_new(found[name], path / name)]
        for name in sorted(new, key=JOURNAL.__eq__):  # the journal is written last: all that it knows of is there
            Writer(path).write(name, theirs if name == JOURNAL else _read(storage, f"{root}/{name}"))
            if time_there := found[name].mtime_ns:
                os.utime(path / name, ns=(time_there, time_there))
    except OSError as error:
        raise InputError(f"{url}: cannot be read ({reason(error)}), expected a study") from None
    if not (path / "manifest.json").is_file():
        raise InputError(f"{url}: found no study, expected a folder with a manifest.json in it")


class Mirror:
    """Uploads what changed in a study's working copy: at once, now and then as trials begin, and at the end.

    A study does not wait for it. The copy is always one to go on from: the journal and the table of trials are taken
    when every trial in the one is in the other, and uploaded after what they speak of. Nothing is uploaded over a study
    that has gone on elsewhere, or gone another way. What fails is said once and tried again; `failed` is why the last
    time failed, if it did.
    """

    def __init__(self, folder: StudyFolder, url: str, console: Console):
        self.url = f"{url}/{folder.name}"
        self.failed: str | None = None
        self._folder = folder
        self._console = console
        self._sent: dict[str, object] | None = None
        self._warned = False
        self._thread = ThreadPoolExecutor(1, "mirror")
        self._upload: Future[None] = self._thread.submit(lambda: None)
        self._next = 0.0

    def __enter__(self) -> Mirror:
        self._upload = self._thread.submit(self._sync, self._tables())
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
            ours, theirs = tables.get(JOURNAL, b""), _read(storage, f"{root}/{JOURNAL}")
            _expect_one_way(ours, theirs, self.url, self._folder.path)
            if not _goes_on_from(ours, theirs):
                self._warn(f"{self.url} has gone on meanwhile: what is new here stays in {self._folder.path}")
                return
            if self._sent is None:
                self._sent = self._begin(storage, root)
            for name, stamp in self._stamps():
                if self._sent.get(name) != stamp:
                    self._put(storage, f"{root}/{name}", (self._folder.path / name).read_bytes())
                    self._sent[name] = stamp
            for name, content in tables.items():
                if self._sent.get(name) != content:
                    self._put(storage, f"{root}/{name}", content)
                    self._sent[name] = content
            self.failed = None
        except Exception as error:  # a library for some storage may raise anything
            self.failed = reason(error)
            self._warn(f"the study goes on without its copy at {self.url}: {self.failed}")

    def _begin(self, storage: FileSystem, root: str) -> dict[str, object]:
        """Make the folders at the URL; returns what of the working copy is there already, as it is."""
        for part in ("", *FOLDERS):
            storage.create_dir(f"{root}/{part}".rstrip("/"))
        there = _files(storage, root)
        same = {
            name: stamp for name, stamp in self._stamps() if name in there and (there[name].mtime_ns or 0) >= stamp[0]
        }
        return {**same, **{name: _read(storage, f"{root}/{name}") for name in (TRIALS, JOURNAL)}}

    def _stamps(self) -> Iterator[tuple[str, tuple[int, int]]]:
        """The files besides the tables, and what tells that one has changed: when, and its size."""
        here = self._folder.path
        for path in [*here.glob("*"), *(path for part in FOLDERS for path in here.glob(f"{part}/*"))]:
            name = path.relative_to(here).as_posix()
            if _is_ours(name) and path.is_file() and name not in (TRIALS, JOURNAL):
                yield name, (path.stat().st_mtime_ns, path.stat().st_size)

    def _warn(self, text: str) -> None:
        if not self._warned:
            self._console.print(text, style="yellow", markup=False, highlight=False, soft_wrap=True)
        self._warned = True

    @staticmethod
    def _put(storage: FileSystem, path: str, content: bytes) -> None:
        with storage.open_output_stream(path) as file:
            file.write(content)


def _working_copies() -> Path:
    return platformdirs.user_cache_path("concept-study")


def _is_ours(name: str) -> bool:
    """Whether a relative path is a study's file, W&B's and Ray's own apart, not hidden, not out of the folder."""
    *folders, file = name.split("/")
    return not file.startswith(".") and (not folders or "/".join(folders) in FOLDERS)


def _is_new(there: FileInfo, here: Path) -> bool:
    """Whether a file at the URL of a study that is no further on is yet to be fetched: a trial's files never change."""
    if not here.is_file():
        return True
    changes = here.parent.name not in FOLDERS and here.name not in (TRIALS, JOURNAL)
    return changes and (there.mtime_ns is None or there.mtime_ns > here.stat().st_mtime_ns)


def _goes_on_from(journal: bytes, other: bytes) -> bool:
    """Whether a journal begins with all whole lines of another."""
    return journal.startswith(other[: other.rfind(b"\n") + 1])


def _expect_one_way(ours: bytes, theirs: bytes, url: str, path: Path) -> None:
    """Raises InputError if neither journal goes on from the other: two drivers have worked at once."""
    if not (_goes_on_from(ours, theirs) or _goes_on_from(theirs, ours)):
        expected = f"one to go on from the other (remove {path} to take the URL's, or rename it to keep both)"
        raise InputError(f"{url} and its working copy {path} have gone different ways, expected {expected}")


def _expect_lines(journal: bytes, url: str) -> None:
    """Raises InputError if a study's journal at its URL is damaged, before that comes here."""
    try:
        for line in journal[: journal.rfind(b"\n") + 1].splitlines():
            json.loads(line)
    except ValueError as error:
        expected = "Optuna's (remove it there and here, and `study resume` makes it anew)"
        raise InputError(f"{url}/{JOURNAL}: is no journal: {error}, expected {expected}") from None


def _expect_no_secret(url: str) -> None:
    """Raises InputError, which does not repeat it, if a URL may hold a password: there is an @ or a ? in it."""
    if "?" in url or ("@" in url and not re.fullmatch(CONTAINER_FIRST, url)):
        raise InputError("--out: found a password or options in the URL, expected them in the environment")


def _files(storage: FileSystem, root: str) -> dict[str, FileInfo]:
    """The study's files at a URL, by their paths in it."""
    found = storage.get_file_info(FileSelector(root, recursive=True, allow_not_found=True))
    files = {info.path.removeprefix(f"{root}/"): info for info in found if info.type == FileType.File}
    return {name: info for name, info in files.items() if _is_ours(name)}


def _read(storage: FileSystem, path: str) -> bytes:
    """A file's content; empty if there is none."""
    try:
        return storage.open_input_stream(path).readall()
    except FileNotFoundError:
        return b""


def _storage(url: str) -> tuple[FileSystem, str]:
    """The storage that a URL means, to PyArrow or else to fsspec, and the path in it."""
    try:
        return FileSystem.from_uri(url)
    except pa.ArrowInvalid:
        try:
            storage, path = fsspec.core.url_to_fs(url)
        except (ImportError, ValueError) as error:
            raise InputError(f"{url}: {reason(error)}, expected a URL that PyArrow or fsspec knows (--out)") from None
        return PyFileSystem(FSSpecHandler(storage)), path
