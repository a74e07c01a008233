"""The storage at a URL, by one of PyArrow's file systems or, for other URLs, one of fsspec's.

To keep studies in another kind of storage, install or write an fsspec file system for it. Nothing changes here.
"""

from __future__ import annotations

import re

import fsspec
import pyarrow as pa
from pyarrow.fs import FileSelector, FileSystem, FileType, FSSpecHandler, PyFileSystem

from anchoring.errors import InputError, reason

CONTAINER_FIRST = r"(abfss?|wasbs?)://[^:/@]+@[^@]+"  # Azure's URLs: container@account


class Store:
    """The folder at a URL. Paths are relative to it. Methods raise OSError if the storage fails."""

    def __init__(self, url: str):
        """Raise InputError if the URL may contain a password, or neither PyArrow nor fsspec supports it."""
        expect_no_secret(url)
        try:
            self._storage, self._root = FileSystem.from_uri(url)
        except pa.ArrowInvalid:
            try:
                storage, self._root = fsspec.core.url_to_fs(url)
            except (ImportError, ValueError) as error:
                raise InputError(
                    f"{url}: {reason(error)}, expected a URL that PyArrow or fsspec supports (--out)"
                ) from None
            self._storage = PyFileSystem(FSSpecHandler(storage))

    def make(self, folder: str = "") -> None:
        """Make a folder, unless it exists."""
        self._storage.create_dir(f"{self._root}/{folder}".rstrip("/"))

    def folders(self) -> set[str]:
        """The names of the folders in this one, without those further down."""
        found = self._storage.get_file_info(FileSelector(self._root))
        return {info.base_name for info in found if info.type == FileType.Directory}

    def files(self) -> dict[str, tuple[int | None, int]]:
        """The modification time in nanoseconds and the size of each file, by path. A storage may not know the time."""
        found = self._storage.get_file_info(FileSelector(self._root, recursive=True, allow_not_found=True))
        files = [info for info in found if info.type == FileType.File]
        return {info.path.removeprefix(f"{self._root}/"): (info.mtime_ns, info.size) for info in files}

    def read(self, path: str) -> bytes:
        """A file's content; empty if there is no such file."""
        try:
            with self._storage.open_input_stream(f"{self._root}/{path}") as file:
                return file.readall()
        except FileNotFoundError:
            return b""

    def write(self, path: str, content: bytes) -> None:
        """Write a file. An existing one is overwritten."""
        with self._storage.open_output_stream(f"{self._root}/{path}") as file:
            file.write(content)


def expect_no_secret(url: str) -> None:
    """Raise InputError if a URL may contain a password, because it has an @ or a ?. The message does not repeat it."""
    if "?" in url or ("@" in url and not re.fullmatch(CONTAINER_FIRST, url)):
        raise InputError("--out: found a password or options (@ or ?) in the URL, expected them in the environment")
