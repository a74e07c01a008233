"""Studies at a URL, such as s3://bucket/prefix: each has a local working copy, which is uploaded while it grows."""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import platformdirs
from rich.console import Console

from anchoring.errors import InputError, reason
from study.record.copies import Stamp, note, noted, remove_unused, stamp
from study.record.folder import StudyFolder
from study.record.store import Store, expect_no_secret
from study.record.writer import Writer
from study.search.trial import Report, Row
from study.surroundings import expanded

TABLES = TRIALS, JOURNAL = "trials.parquet", "optuna.journal"
FOLDERS = ("models", "references", "replicas.parquet")
EVERY = 5  # seconds between uploads, at least


def locate(url: str) -> Path:
    """The local folder for a URL of studies. It is in the user's cache and remembers the URL."""
    url = url.rstrip("/")
    if "://" not in url:
        raise InputError("--out: found a URL without a bucket, expected one such as s3://bucket/prefix")
    expect_no_secret(url)
    name = f"{re.sub(r'[^A-Za-z0-9.]+', '-', url)[:100]}-{hashlib.sha256(url.encode()).hexdigest()[:8]}"
    folder = _working_copies() / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ".url").write_text(url, encoding="utf-8")
    except OSError as error:
        expected = "a writable folder for working copies of studies at URLs (set XDG_CACHE_HOME)"
        raise InputError(f"{folder}: cannot be made ({error.strerror}), expected {expected}") from None
    return folder


def working_folder(out: str | Path) -> Path:
    """The local folder of studies: the path itself, or the folder that `locate` makes for a URL."""
    return locate(str(out)) if "://" in str(out) else expanded(out)


def url_of(out: Path) -> str | None:
    """The URL for which `locate` made a local folder of studies. None if it did not make the folder."""
    made = out.parent == _working_copies() and (out / ".url").is_file()
    return (out / ".url").read_text(encoding="utf-8") if made else None


def names(out: Path) -> set[str]:
    """The names of the studies at a folder's URL. Raises InputError if the URL cannot be written to."""
    url = url_of(out)
    if url is None:
        return set()
    try:
        store = Store(url)
        store.make()  # fails if there is no bucket, where a listing would be empty
        return store.folders()
    except OSError as error:
        raise InputError(f"{url}: cannot be written to ({reason(error)}), expected writable storage (--out)") from None


def fetch(path: Path) -> None:
    """Update the working copy of a study at a URL, if the study there has newer files.

    A journal only grows, so the copy whose journal begins with the other's is newer. A damaged file of the working copy
    is fetched anew. Raises InputError if neither journal begins with the other, or the URL cannot be read.
    """
    url = url_of(path.parent)
    if url is None:
        return
    url = f"{url}/{path.name}"
    try:
        store = Store(url)
        found = {name: there for name, there in store.files().items() if _is_ours(name)}
        theirs = store.read(JOURNAL)
        ours = (path / JOURNAL).read_bytes() if (path / JOURNAL).is_file() else b""
        _expect_lines(theirs, url)
        if not _is_whole(JOURNAL, ours) and ours.count(b"\n") <= theirs.count(b"\n"):
            ours = b""
        _expect_one_way(ours, theirs, url, path)
        if len(ours) > len(theirs):
            return
        for part in FOLDERS if found else ():
            if part not in found:  # a published study has its replicas in one file
                (path / part).mkdir(parents=True, exist_ok=True)
        new = [name for name in found if len(theirs) > len(ours) or _is_new(found[name], path / name)]
        for name in sorted(new, key=JOURNAL.__eq__):  # the journal is last: the files of its trials come before it
            Writer(path).write(name, theirs if name == JOURNAL else store.read(name))
            if time_there := found[name][0]:
                os.utime(path / name, ns=(time_there, time_there))
        if found:
            _note_fetched(path, found, new)
    except OSError as error:
        raise InputError(f"{url}: cannot be read ({reason(error)}), expected a study") from None
    if not (path / "manifest.json").is_file():
        raise InputError(f"{url}: found no study, expected a folder with a manifest.json in it")


def _note_fetched(path: Path, found: Mapping[str, tuple[int | None, int]], new: list[str]) -> None:
    """Remember which files of a working copy are those at the URL: what was fetched now or before, or uploaded."""
    before = noted(path)
    here = {name: stamp(path / name) for name in found}
    with suppress(OSError):
        note(path, {name: own for name, own in here.items() if name in new or own in (found[name], before.get(name))})
        remove_unused(_working_copies())


class Mirror:
    """Uploads changed files of a study's working copy: at the start, at the end, and every few seconds in between.

    The study does not wait for uploads. The copy at the URL can always be resumed: the journal and the table of trials
    are read when they agree, and uploaded after the files that they refer to. A study that was continued elsewhere is
    not overwritten. The first failure is printed, and the next upload tries again. `failed` says why the last upload
    failed.
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
        self._thread.submit(self._note)
        self._thread.shutdown()

    def started(self, trial: int) -> None:
        """A trial starts. The journal and the table agree now, so an upload may start if none is running."""
        if self._upload.done() and time.monotonic() >= self._next:
            self._next = time.monotonic() + EVERY
            self._upload = self._thread.submit(self._sync, self._tables())

    def reported(self, trial: int, report: Report) -> None:
        """A trial has reported one or more rungs."""

    def ended(self, row: Row) -> None:
        """A trial has ended."""

    def _tables(self) -> dict[str, bytes]:
        paths = [self._folder.path / name for name in TABLES]
        return {path.name: path.read_bytes() for path in paths if path.is_file()}

    def _sync(self, tables: dict[str, bytes]) -> None:
        try:
            store = Store(self.url)
            ours, theirs = tables.get(JOURNAL, b""), store.read(JOURNAL)
            _expect_one_way(ours, theirs, self.url, self._folder.path)
            if not _goes_on_from(ours, theirs):
                self._warn(f"{self.url} was changed by another process: new files are kept only in {self._folder.path}")
                return
            if self._sent is None:
                self._sent = self._begin(store)
            for name, state in {**self._stamps(), **tables}.items():  # the tables come after the files that they name
                if self._sent.get(name) != state:
                    store.write(name, tables[name] if name in tables else (self._folder.path / name).read_bytes())
                    self._sent[name] = state
            self.failed = None
        except Exception as error:  # storage libraries may raise anything
            self.failed = reason(error)
            self._warn(f"the study goes on without its copy at {self.url}: {self.failed}")

    def _note(self) -> None:
        """Remember which files are at the URL as they are here."""
        sent = self._sent or {}
        same = {name: own for name, own in self._stamps().items() if sent.get(name) == own}
        same |= {name: stamp(self._folder.path / name) for name, own in self._tables().items() if sent.get(name) == own}
        with suppress(OSError):
            note(self._folder.path, same)
            remove_unused(_working_copies())

    def _begin(self, store: Store) -> dict[str, object]:
        """Make the folders at the URL, and return the state of each file that is already there and up to date."""
        for part in ("", *FOLDERS):
            if not (self._folder.path / part).is_file():
                store.make(part)
        there = store.files()
        same = {name: stamp for name, stamp in self._stamps().items() if _is_there(there.get(name), stamp)}
        return {**same, **{name: store.read(name) for name in TABLES}}

    def _stamps(self) -> dict[str, Stamp]:
        """The stamp of each file, except the tables."""
        here = self._folder.path
        names = [path.relative_to(here).as_posix() for part in ("", *FOLDERS) for path in (here / part).glob("*")]
        paths = {name: here / name for name in names if _is_ours(name) and name not in TABLES}
        return {name: stamp(path) for name, path in paths.items() if path.is_file()}

    def _warn(self, text: str) -> None:
        if not self._warned:
            self._console.print(text, style="yellow", markup=False, highlight=False, soft_wrap=True)
        self._warned = True


def _working_copies() -> Path:
    return platformdirs.user_cache_path("concept-study")


def _is_ours(name: str) -> bool:
    """Whether a relative path is one of the study's own files: not hidden, and not in W&B's or Ray's folders."""
    *folders, file = name.split("/")
    return not file.startswith(".") and (not folders or "/".join(folders) in FOLDERS)


def _is_new(there: tuple[int | None, int], here: Path) -> bool:
    """Whether to fetch a file although the journal at the URL is not newer. A trial's files never change."""
    if not here.is_file():
        return True
    written, size = there
    if here.parent.name in FOLDERS:
        return size != here.stat().st_size
    if here.name in TABLES:
        return not _is_whole(here.name, here.read_bytes())
    return written is None or written > here.stat().st_mtime_ns


def _is_there(there: tuple[int | None, int] | None, here: Stamp) -> bool:
    """Whether a file need not be uploaded: the URL has a later one."""
    return there is not None and (there[0] or 0) >= here[0]


def _is_whole(name: str, content: bytes) -> bool:
    """Whether one of the tables can be read, as far as can be told soon."""
    if name == TRIALS:
        return content[:4] == content[-4:] == b"PAR1"
    try:
        _expect_lines(content, "")
    except InputError:
        return False
    return True


def _goes_on_from(journal: bytes, other: bytes) -> bool:
    """Whether a journal begins with all complete lines of another."""
    return journal.startswith(other[: other.rfind(b"\n") + 1])


def _expect_one_way(ours: bytes, theirs: bytes, url: str, path: Path) -> None:
    """Raise InputError if neither journal begins with the other, because two drivers worked at once."""
    if not (_goes_on_from(ours, theirs) or _goes_on_from(theirs, ours)):
        expected = f"one to continue the other (remove {path} to use the URL's, or rename it to keep both)"
        raise InputError(f"{url} and its working copy {path} have different trials, expected {expected}")


def _expect_lines(journal: bytes, url: str) -> None:
    """Raise InputError if a journal at a URL is damaged, before it is fetched."""
    try:
        for line in journal[: journal.rfind(b"\n") + 1].splitlines():
            json.loads(line)
    except ValueError as error:
        expected = "an Optuna journal (remove it there and here, then `study resume` makes a new one)"
        raise InputError(f"{url}/{JOURNAL}: damaged: {error}, expected {expected}") from None
