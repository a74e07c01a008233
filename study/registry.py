"""Finding experiments: among the entry points of installed packages, or in a file that the user names.

Nothing else is ever imported. A search space and a study's folder hold only a name to look up among the entry points.
"""

from __future__ import annotations

import hashlib
import inspect
import linecache
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from anchoring.errors import FailedError, InputError, reason
from study.experiment import Experiment
from study.surroundings import expanded

GROUP, DEFAULT = "study.experiments", "default"
GIVEN = "STUDY_EXPERIMENT"  # passes --experiment on to the kernel that executes a report
LARGEST = 1_000_000  # bytes of an experiment's file
NOT_SENT = {*sys.stdlib_module_names, "torch", "lightning", "numpy", "pydantic", "typing_extensions"}


@dataclass(frozen=True)
class Source:
    """Where an experiment comes from. Workers receive this instead of the experiment, and `load` it.

    An installed experiment has `target`, its "module:attribute". One in a user's file has `text`, the file's content.
    With neither, only the experiment's name is known: it is not available here.
    """

    name: str
    target: str = ""
    file: str = ""
    text: str = field(default="", repr=False)
    digest: str = ""  # SHA-256 of the file, or of the package's sources
    version: str = ""

    @property
    def here(self) -> bool:
        """Whether the experiment can be loaded."""
        return bool(self.target or self.text)

    def load(self) -> Experiment:
        """The experiment. Raises InputError if it is not available, or if its file does not define exactly one."""
        if not self.here:
            known = ", ".join(names()) or "none"
            raise InputError(
                f"experiment {self.name!r} is not installed, expected one of {known}, or --experiment FILE.py"
            )
        return _installed(self.target, self.name) if self.target else _only(_module(self.file, self.text), self.file)

    def packages(self) -> list[Path]:
        """The packages that a cluster's workers need to load it: its own, and those of its base classes."""
        modules = [kind.__module__ for kind in type(self.load()).__mro__]
        modules += [self.target.partition(":")[0]] if self.target else []
        tops = {module.partition(".")[0] for module in modules} - NOT_SENT - {_module_name(self.text)}
        return sorted(path for top in tops if (path := _package(top)))

    @property
    def modules(self) -> list[str]:
        """The module that loading it imports. The one that a user's file makes is in no place to import from."""
        return [self.target.partition(":")[0]] if self.target else []

    @property
    def record(self) -> dict[str, str | None]:
        """The experiment's entry in a manifest."""
        file = Path(self.file).name or None
        return {"name": self.name, "file": file, "digest": self.digest, "version": self.version}

    def where(self, error: BaseException) -> str:
        """The file and line in the experiment's own code where an error arose; empty if it arose elsewhere."""
        roots = [str(path) for path in self.packages()] if self.target else []
        for frame in reversed(traceback.extract_tb(error.__traceback__)):
            if self.file and frame.filename == self.file:
                return f"{self.file}, line {frame.lineno}"
            for root in roots:
                if Path(frame.filename).is_relative_to(root):
                    file = Path(frame.filename).relative_to(Path(root).parent)
                    return f"{file}, line {frame.lineno}"
        return ""

    def describe(self, error: Exception) -> str:
        """An exception's type and message, after its file and line if the experiment is a user's file."""
        where = self.where(error) if self.file else ""
        return f"{where}: {type(error).__name__}: {error}" if where else f"{type(error).__name__}: {error}"

    @contextmanager
    def located(self, doing: str) -> Iterator[None]:
        """Turn an exception of the experiment's own code into an InputError that says what was done, and where."""
        try:
            yield
        except (InputError, FailedError):
            raise
        except Exception as error:
            if not (where := self.where(error) or self.file):
                raise
            raise InputError(f"{doing}: {where}: {type(error).__name__}: {reason(error)}") from error


def find(name: str | None = None, given: Source | None = None) -> Source:
    """The given experiment; without one, the installed experiment of this name; without a name, the default.

    It is not imported until it is loaded. Raises InputError if there is no such experiment, or if the given one has
    another name.
    """
    if given is None:
        return _by_name(name or DEFAULT)
    if name is not None and name != given.name:
        where = given.file or "the study"
        raise InputError(f"experiment: found {name!r}, expected {given.name!r}, the name of the experiment in {where}")
    return given


def given(experiment: str | Path | Source | None) -> Source | None:
    """The experiment in the user's file. In a report's kernel, the file defaults to that given to `study report`."""
    experiment = experiment or os.environ.get(GIVEN)
    return from_file(experiment) if isinstance(experiment, str | Path) else experiment


def named(name: str) -> Source:
    """The installed experiment of this name. If there is none, a source that holds only the name."""
    return _by_name(name) if name in _known() else Source(name)


def names() -> list[str]:
    """The names of the installed experiments."""
    return sorted(name for name in _known() if name != DEFAULT)


def shipped(experiment: Experiment | None = None) -> list[Path]:
    """The folders of search spaces that come with an experiment, by default with every installed one."""
    experiments = [named(name).load() for name in names()] if experiment is None else [experiment]
    return [Path(folder) for each in experiments if (folder := getattr(each, "spaces", None))]


def renamed() -> dict[str, str]:
    """The names that fixed settings of installed experiments have now, by those that they had."""
    return {old: now for name in names() for old, now in getattr(named(name).load(), "renamed", {}).items()}


def from_file(file: str | Path) -> Source:
    """The experiment in a file that the user names. The file is executed.

    Raises InputError if the file cannot be executed, or does not define exactly one instance of an `Experiment`.
    """
    path = expanded(file)
    try:
        if not path.is_file() or path.stat().st_size > LARGEST:
            problem = f"larger than {LARGEST:,} bytes" if path.is_file() else "no such file"
            raise InputError(f"--experiment: {path}: {problem}, expected a Python file that defines an experiment")
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise InputError(f"--experiment: {path}: {reason(error)}, expected a Python file") from None
    module = _module(str(path), text)
    experiment = _only(module, str(path))
    return Source(experiment.name, "", str(path), text, _sha(text.encode()), _version(module))


@cache
def _known() -> dict[str, EntryPoint]:
    """The entry points of experiments, by name. If two share a name, the first on Python's path counts."""
    found: dict[str, EntryPoint] = {}
    for point in entry_points(group=GROUP):
        found.setdefault(point.name, point)
    return found


@cache
def _by_name(name: str) -> Source:
    if name not in _known():
        known = ", ".join(names()) or "an installed experiment"
        raise InputError(f"experiment: {name!r} is not installed, expected one of {known}, or --experiment FILE.py")
    point = _known()[name]
    named = (other for other, same in _known().items() if same.value == point.value and other != DEFAULT)
    package = _package(point.value.partition(":")[0].partition(".")[0])
    version = point.dist.version if point.dist else ""
    return Source(next(named, name), point.value, "", "", _sha_of(package), version)


@cache
def _installed(target: str, name: str) -> Experiment:
    module, _, attribute = target.partition(":")
    try:
        experiment = getattr(import_module(module), attribute)
    except Exception as error:  # a third-party package may raise anything
        raise InputError(f"experiment {target}: cannot be imported: {type(error).__name__}: {reason(error)}") from error
    if not _is_experiment(experiment):
        raise InputError(f"experiment {target}: found {experiment!r}, expected a study.experiment.Experiment")
    if name not in (DEFAULT, experiment.name):
        found = f"found {experiment.name!r} as the name of {target}"
        raise InputError(f"experiment: {found}, expected {name!r}, its name in [project.entry-points]")
    return experiment


def _module_name(text: str) -> str:
    return f"study_experiment_{_sha(text.encode())[:16]}"


def _module(file: str, text: str) -> ModuleType:
    """The module that a file's text defines. It is executed once, under a name that contains the text's digest."""
    name = _module_name(text)
    if name in sys.modules:
        return sys.modules[name]
    module = ModuleType(name)
    module.__file__ = str(Path(file).absolute())
    linecache.cache[file] = (
        len(text),
        None,
        text.splitlines(keepends=True),
        file,
    )  # workers lack the file
    sys.modules[name] = module
    try:
        exec(compile(text, file, "exec", dont_inherit=True), vars(module))
    except SyntaxError as error:
        del sys.modules[name]
        raise InputError(f"{file}, line {error.lineno}: SyntaxError: {error.msg}") from None
    except Exception as error:  # the user's own code
        del sys.modules[name]
        where = Source("", "", file).where(error) or file
        raise InputError(f"{where}: {type(error).__name__}: {reason(error)}") from error
    return module


def _only(module: ModuleType, file: str) -> Experiment:
    """The only experiment that a module defines."""
    found = {id(value): (name, value) for name, value in vars(module).items() if _is_experiment(value)}
    if len(found) != 1:
        several = ", ".join(name for name, _ in found.values())
        expected = "expected exactly one instance of a class with the attributes of study.experiment.Experiment"
        raise InputError(f"{file}: found {f'{len(found)} experiments: {several}' if found else 'none'}, {expected}")
    ((_, experiment),) = found.values()
    return experiment


def _is_experiment(value: Any) -> bool:
    return not inspect.isclass(value) and isinstance(value, Experiment) and isinstance(value.name, str)


def _version(module: ModuleType) -> str:
    version = getattr(module, "__version__", "")
    return version if isinstance(version, str) else ""


def _package(name: str) -> Path | None:
    """The folder, or the file, of a top-level package."""
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).resolve()
    return path.parent if path.name == "__init__.py" else path


def _sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _sha_of(package: Path | None) -> str:
    """The digest of a package's Python sources and their file names."""
    if package is None:
        return ""
    files = sorted(package.rglob("*.py")) if package.is_dir() else [package]
    parts = (f"{file.relative_to(package.parent).as_posix()}\0".encode() + file.read_bytes() for file in files)
    return _sha(b"\0".join(parts))
