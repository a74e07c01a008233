"""A study on disk: what is in its folder, how it is written (atomically) and how it is read (executing nothing)."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import Any, cast

import optuna
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from optuna.storages.journal import JournalFileBackend

from anchoring import InputError, Setting
from anchoring.errors import reason
from anchoring.setting import Document
from excolor.models import ColorMLP
from study.record.untrusted import expect_own_files, read_frame, read_manifest, read_weights
from study.search.goal import Goal
from study.space.ranges import within
from study.space.space import Space

STATES = ("complete", "stopped", "diverged", "failed")
NOT_METRICS = ("trial", "seed", "step", "diverged")  # the other columns of replicas.parquet


@dataclass(frozen=True)
class StudyFolder:
    """The folder of one study. Every file is replaced whole or not at all."""

    path: Path

    @classmethod
    def create(cls, path: Path, space: Space, manifest: Mapping[str, Any]) -> StudyFolder:
        """Make the folder and write what is known before the first trial: the space as read and the manifest.

        Raises InputError if the folder exists or cannot be made.
        """
        schedule = Path(space.template["schedule"]["file"])
        files = {"study.toml": space.file.read_bytes(), schedule.name: schedule.read_bytes()}
        partial = cls(path.with_name(f".{path.name}.{os.getpid()}.partial"))
        try:
            for results in ("replicas.parquet", "models"):
                (partial.path / results).mkdir(parents=True)
            for name, content in files.items():
                partial.write(name, content)
            partial.write_manifest(manifest)
            return cls(partial.path.rename(path))
        except OSError as error:
            shutil.rmtree(partial.path, ignore_errors=True)
            raise InputError(
                f"{path}: cannot be made ({error.strerror}), expected a folder to write to (--out)"
            ) from None

    def write_manifest(self, manifest: Mapping[str, Any]) -> None:
        """Write what the study was asked and where it ran."""
        self.write("manifest.json", json.dumps(manifest, indent=2).encode() + b"\n")
        self.__dict__.pop("manifest", None)

    def add_replicas(self, trial: int, rows: pd.DataFrame) -> None:
        """Write a finished trial's part of replicas.parquet: a row per seed and rung."""
        rows = rows.assign(trial=trial)[["trial", *rows.columns]]
        self.write(f"replicas.parquet/{trial:05d}.parquet", rows.to_parquet(index=False))

    def add_model(self, trial: int, state: bytes) -> None:
        """Write a finished trial's replicas: the bytes of a safetensors file."""
        self.write(f"models/{trial:05d}.safetensors", state)

    def write_trials(self, trials: pa.Table) -> None:
        """Write trials.parquet anew: a row per trial."""
        content = pa.BufferOutputStream()
        pq.write_table(trials.sort_by("trial"), content)
        self.write("trials.parquet", content.getvalue())

    def search(self, sampler: optuna.samplers.BaseSampler, directions: Sequence[Any]) -> optuna.Study:
        """The search as Optuna's own Study, to go on with; begins the folder's journal if there is none."""
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        storage = self.journal()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return optuna.create_study(
                study_name=next(iter(optuna.get_all_study_names(storage)), self.name),  # the folder may be renamed
                storage=storage,
                directions=directions,
                sampler=sampler,
                load_if_exists=True,
            )

    def journal(self) -> optuna.storages.JournalStorage:
        """The search as Optuna stores it."""
        path = self.path.resolve() / "optuna.journal"  # its lock is a link to it
        try:
            return optuna.storages.JournalStorage(JournalFileBackend(str(path)))
        except ValueError as error:
            raise InputError(
                f"{path}: is no journal: {error}, expected Optuna's (remove it, and `study resume` makes it anew)"
            ) from None

    def write(self, name: str, content: bytes | pa.Buffer) -> Path:
        """Replace one of the folder's files, whole or not at all; return its path. Raises OSError, which names it."""
        path = self.path / name
        partial = path.with_name(f".{path.name}.partial")
        try:
            with open(partial, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            return partial.replace(path)
        except OSError as error:
            with suppress(OSError):
                partial.unlink()
            raise OSError(error.errno, error.strerror, str(path)) from None

    # What a reader asks for

    @property
    def name(self) -> str:
        return self.path.name

    @cached_property
    def manifest(self) -> dict[str, Any]:
        return read_manifest(self.path / "manifest.json")

    @property
    def trials(self) -> pd.DataFrame:
        """A row per trial: trial, state, steps, seconds, diverged, reason, param.*, <metric>.mean/.sd/.p10/.min."""
        path = self.path / "trials.parquet"
        if not path.is_file():
            return pd.DataFrame({"trial": [], "state": []})
        return read_frame(path, ("trial", "state", "steps", "seconds", "audited", "reason", "value", "feasible"))

    def trials_table(self) -> pa.Table:
        """`trials` as they are on disk, of which there may be none."""
        path = self.path / "trials.parquet"
        try:
            return pq.read_table(path) if path.is_file() else pa.table({})
        except (pa.ArrowException, OSError) as error:
            raise InputError(
                f"{path}: is no table: {reason(error)}, expected Parquet (remove it, and `study resume` makes it anew)"
            ) from None

    @property
    def replicas(self) -> pd.DataFrame:
        """A row per trial, seed and rung: trial, seed, step, diverged and every metric."""
        path, columns = self.path / "replicas.parquet", ("trial", "seed", "step", "diverged")
        if path.is_dir() and not any(path.glob("*.parquet")):  # failed trials leave none
            return pd.DataFrame(dict.fromkeys(columns, pd.Series(dtype=int)))
        try:
            return read_frame(path, columns)
        except InputError:
            for part in sorted(path.glob("*.parquet")):
                read_frame(part, columns)  # names the one
            raise

    def replicas_of(self, trial: int) -> pd.DataFrame:
        """The rows of `replicas` of one trial, of which there may be none."""
        path = self.path / "replicas.parquet" / f"{trial:05d}.parquet"
        return read_frame(path, ("seed", "step")) if path.is_file() else pd.DataFrame({"seed": [], "step": []})

    @property
    def confirmation(self) -> pd.DataFrame:
        """A row per confirmed setting and held-out seed: setting, trial, seed, step, diverged and every metric."""
        return self._held_out("confirmation.parquet")

    @property
    def leave_one_out(self) -> pd.DataFrame:
        """As `confirmation`, of the best setting, and of it without each of its terms; empty if not measured."""
        return self._held_out("leave-one-out.parquet")

    def _held_out(self, name: str) -> pd.DataFrame:
        path, columns = self.path / name, ("setting", "trial", "seed")
        return read_frame(path, columns) if path.is_file() else pd.DataFrame({column: [] for column in columns})

    def scores(self) -> dict[int, list[float]]:
        """What each trial that has ended scored at its rungs, up to where it counted as stopped."""
        if not len(trials := self.trials):
            return {}
        counted = self.replicas.merge(trials[["trial", "steps"]], on="trial")
        counted = counted[counted.step <= counted.steps]
        scores: dict[int, list[float]] = {}
        for trial, ended in counted.groupby("trial"):
            scores[cast(int, trial)] = [self.goal.score(rows) for _, rows in ended.groupby("step")]
        return scores

    def final(self, trial: int | None = None) -> pd.DataFrame:
        """The rows of `replicas` at the last rung that each trial, or just one, reached."""
        replicas = self.replicas
        if trial is not None:
            replicas = replicas[replicas.trial == trial]
        return replicas[replicas.step == replicas.groupby("trial").step.transform("max")]

    @cached_property
    def space(self) -> Space:
        """The search space as it was run."""
        return Space.read(self.path / "study.toml", self.manifest["steps"])

    @cached_property
    def goal(self) -> Goal:
        """What the study is after."""
        manifest = self.manifest
        return Goal(tuple(manifest["objectives"]), manifest["aggregate"], tuple(manifest["constraints"]))

    def best(self, n: int = 1) -> pd.DataFrame:
        """The n complete trials with the best value of the first objective, best first, that keep the constraints."""
        trials = self.trials
        if "value" not in trials:
            return trials.head(0)
        answers = trials[(trials.state == "complete") & trials.feasible]
        return answers.sort_values("value", ascending=self.goal.directions[0] == "minimize", kind="stable").head(n)

    def front(self) -> pd.DataFrame:
        """The trials of the Pareto front, by Optuna's account: no other complete one is better in every objective."""
        numbers = [trial.number for trial in self.optuna().best_trials]
        return self.trials[self.trials.trial.isin(numbers)].sort_values("value")

    def document(self, trial: int) -> Document:
        """A trial's setting as plain data. Raises InputError if there is no such trial."""
        return self.space.document(self.parameters(trial))

    def setting(self, trial: int) -> Setting:
        """A trial's setting. Raises InputError if there is no such trial."""
        return self.space.setting(self.parameters(trial))

    def parameters(self, trial: int) -> dict[str, Any]:
        """A trial's parameters, by name. Raises InputError if one is not in its range."""
        row = self.row(trial)
        values = {name: row[f"param.{name}"].item() for name in self.space.distributions if f"param.{name}" in row}
        for name, distribution in self.space.distributions.items():
            if name not in values or not within(values[name], distribution):
                found = repr(values[name]) if name in values else "none"
                raise InputError(f"{self.path}: trial {trial}: {name}: found {found}, expected one of {distribution}")
        return values

    def row(self, trial: int) -> pd.DataFrame:
        """A trial's row of `trials`. Raises InputError if there is no such trial."""
        trials = self.trials
        row = trials[trials.trial == trial]
        if row.empty:
            known = f"one of 0 to {trials.trial.max()}" if len(trials) else "one of a study that has trials"
            raise InputError(f"{self.path}: found no trial {trial}, expected {known}")
        return row

    def seeds(self) -> list[int]:
        """The seed of each replica of every trial."""
        return self.manifest["replica_seeds"]

    def model_path(self, trial: int) -> Path:
        """The file of a trial's trained replicas, if it was completed."""
        return self.path / "models" / f"{trial:05d}.safetensors"

    def model(self, trial: int) -> ColorMLP:
        """A complete trial's trained replicas. Raises InputError if it left none."""
        path = self.model_path(trial)
        if not path.is_file():
            raise InputError(f"{self.path}: found no model of trial {trial}, expected a complete trial")
        config, seeds = self.setting(trial).model, self.seeds()
        weights = read_weights(path, config, len(seeds))
        model = ColorMLP(config, seeds)
        try:
            model.load_state_dict(weights)
        except RuntimeError as error:
            raise InputError(f"{path}: holds another model: {error}, expected trial {trial}'s") from None
        return model

    def optuna(self) -> optuna.Study:
        """The search as Optuna's own Study. Raises InputError if its journal is not in the folder, as of a published
        study, which is read by `trials` alone."""
        if not (self.path / "optuna.journal").is_file():
            raise InputError(f"{self.path}: found no optuna.journal, expected a study that was run here (use `trials`)")
        if names := optuna.get_all_study_names(storage := self.journal()):
            return optuna.load_study(study_name=names[0], storage=storage)  # whatever the folder is called now
        raise InputError(f"{self.path}: found nothing in optuna.journal, expected a search (`study resume` mends it)")


def load(path: str | Path) -> StudyFolder:
    """Open a study's folder, such as `runs/hue-001`: data frames, settings, models and the Optuna study.

    A URL such as s3://bucket/prefix/hue-001 is fetched first.

    Nothing in the folder is executed or unpickled. Raises InputError if it is not a study's, or has links out of it.
    """
    if "://" in str(path):
        from study.record.mirror import fetch, locate

        out, _, name = str(path).rstrip("/").rpartition("/")
        path = locate(out) / name
        fetch(path)
    path = Path(path)
    if not (path / "manifest.json").is_file():
        raise InputError(f"{path}: found no study, expected a folder with a manifest.json in it")
    expect_own_files(path)
    return StudyFolder(path)


STATISTICS: dict[str, Callable[[pd.Series], Any]] = {
    "mean": pd.Series.mean,
    "sd": pd.Series.std,
    "p10": lambda values: values.quantile(0.1),
    "min": pd.Series.min,
}


def summarise(replicas: pd.DataFrame) -> dict[str, float]:
    """`<metric>.<statistic>` of each metric over replicas, of rows that are one trial's at one rung.

    Diverged replicas count as 0 in isolation and not at all in the other metrics. sd: NaN of one.
    """
    return {
        f"{metric}.{name}": float(statistic(replicas[metric].dropna()))
        for metric in metric_names(replicas)
        for name, statistic in STATISTICS.items()
    }


def metric_means(replicas: pd.DataFrame) -> dict[str, float]:
    """Each metric's mean over replicas that are one trial's at one rung, where there is one."""
    means = {name: float(replicas[name].mean()) for name in metric_names(replicas)}
    return {name: mean for name, mean in means.items() if not math.isnan(mean)}


def metric_names(replicas: pd.DataFrame) -> list[str]:
    """The columns of replicas.parquet that are metrics."""
    return [column for column in replicas.columns if column not in NOT_METRICS]


def new_path(out: Path, name: str, stem: str, taken: Collection[str] = ()) -> Path:
    """Where a new study goes: out/name or, without a name, the first of out/stem-001, out/stem-002, ... that is free,
    and not taken elsewhere.

    Raises InputError if the name cannot be a study's, or is one's.
    """
    if name and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name):
        raise InputError(f"--name: found {name!r}, expected letters, digits, '.', '_' and '-', and no '.' first")

    def free(path: Path) -> bool:
        return path.name not in taken and not path.exists()

    path = out / name if name else next(filter(free, (out / f"{stem}-{number:03d}" for number in count(1))))
    if not free(path):
        raise InputError(f"{path}: a study of this name exists, expected a new name (--name)")
    return path
