"""A study's folder as people read it: tables, settings, models and the search. Reading it executes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optuna
import pandas as pd
from pydantic import TypeAdapter, ValidationError

from anchoring.errors import InputError, first_problem
from study import registry
from study.experiment import Document, Experiment, Metric
from study.record.trial_state import TrialState
from study.record.untrusted import read_frame, read_manifest
from study.record.weights import load_weights
from study.registry import Source
from study.search import journal
from study.search.goal import Goal
from study.space.ranges import within
from study.space.space import Space

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class StudyFolder:
    """The folder of one study, to be read. `study.load` makes it."""

    path: Path
    given: Source | None = None  # the experiment, if its user named a file

    @property
    def name(self) -> str:
        return self.path.name

    def manifest(self) -> dict[str, Any]:
        """What the study was asked, by what code, and where it ran."""
        return read_manifest(self.path / "manifest.json")

    @cached_property
    def source(self) -> Source:
        """Where its experiment comes from: the file that its user named, or what is installed under its name.

        Studies of version 0.1 name none, and are of the default one.
        """
        if self.given:
            return self.given
        return registry.named((self.manifest().get("experiment") or {}).get("name", registry.DEFAULT))

    @property
    def experiment(self) -> Experiment:
        """Its experiment. Raises InputError if that is not here."""
        try:
            return self.source.load()
        except InputError as error:
            raise InputError(f"{self.path}: {error}") from None

    @cached_property
    def metrics(self) -> dict[str, Metric]:
        """The metrics that its experiment declares. Studies of version 0.1 ask the experiment, others the manifest."""
        if (declared := self.manifest().get("metrics")) is None:
            _ = self.experiment  # says that it is not here
            return self.space.metrics()
        try:
            return TypeAdapter(dict[str, Metric]).validate_python(declared)
        except ValidationError as error:
            raise InputError(f"{self.path / 'manifest.json'}: metrics.{first_problem(error)}") from None

    @cached_property
    def space(self) -> Space:
        """The search space as it was run."""
        return Space.read(self.path / "study.toml", self.manifest()["steps"], self.source)

    @cached_property
    def goal(self) -> Goal:
        """What the study is after."""
        manifest = self.manifest()
        return Goal(self.metrics, tuple(manifest["objectives"]), manifest["aggregate"], tuple(manifest["constraints"]))

    # Tables

    def trials(self) -> pd.DataFrame:
        """A row per trial: trial, state, steps, seconds, diverged, reason, param.*, <metric>.mean/.sd/.p10/.min."""
        path = self.path / "trials.parquet"
        if not path.is_file():
            return pd.DataFrame({"trial": [], "state": []})
        return read_frame(path, ("trial", "state", "steps", "seconds", "audited", "reason", "value", "feasible"))

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

    def final(self, trial: int | None = None) -> pd.DataFrame:
        """The rows of `replicas` at the last rung that each trial, or just one, reached."""
        replicas = self.replicas()
        if trial is not None:
            replicas = replicas[replicas.trial == trial]
        return replicas[replicas.step == replicas.groupby("trial").step.transform("max")]

    def confirmation(self) -> pd.DataFrame:
        """A row per confirmed setting and held-out seed: setting, trial, seed, step, diverged and every metric."""
        return self._held_out("confirmation.parquet")

    def leave_one_out(self) -> pd.DataFrame:
        """As `confirmation`, of the best setting, and of it without each of its terms; empty if not measured."""
        return self._held_out("leave-one-out.parquet")

    def _held_out(self, name: str) -> pd.DataFrame:
        path, columns = self.path / name, ("setting", "trial", "seed")
        if not path.is_file():
            return pd.DataFrame({column: [] for column in columns})
        rows = read_frame(path, columns)
        if "format" not in self.manifest() and self.source.here:  # of version 0.1
            rows["setting"] = rows.setting.replace(getattr(self.experiment, "renamed", {}))
        return rows

    # Answers

    def best(self, n: int = 1) -> pd.DataFrame:
        """The search's favourites: the n complete trials with the best value of the first objective, best first.

        Only trials that keep the constraints count. The values are those that the search chose by, and so flatter
        what they were chosen for: `answer` is what held on seeds that no search saw.
        """
        trials = self.trials()
        if "value" not in trials:
            return trials.head(0)
        answers = trials[(trials.state == TrialState.COMPLETE) & trials.feasible]
        return answers.sort_values("value", ascending=self.goal.directions[0] == "minimize", kind="stable").head(n)

    def answer(self) -> pd.Series:
        """The study's answer: the best confirmed trial, as its row of `study.evidence.ranking.ranking`.

        It is best on held-out seeds, so its figures are not flattered by the search, as those of `best` are; and it
        need not be the trial that `best` names.

        Raises:
            InputError: if no trial was confirmed.
        """
        from study.evidence.ranking import ranking

        rows = self.confirmation()
        ranked = ranking(rows, self) if len(rows) else rows
        trials = ranked[ranked.trial.notna()]
        if trials.empty:
            raise InputError(f"{self.path}: found no confirmed trial, expected one (`study confirm {self.path}`)")
        return trials.iloc[0]

    def front(self) -> pd.DataFrame:
        """The trials of the Pareto front, by Optuna's account: no other complete one is better in every objective."""
        numbers = [trial.number for trial in self.optuna().best_trials]
        return self.trials()[self.trials().trial.isin(numbers)].sort_values("value")

    @property
    def references(self) -> list[str]:
        """The names of the settings that its experiment compares with, the usual one first; empty if it is not here."""
        return [Path(file).stem for file in reference_files(self.space)] if self.source.here else []

    # One trial

    def row(self, trial: int) -> pd.DataFrame:
        """A trial's row of `trials`. Raises InputError if there is no such trial."""
        trials = self.trials()
        row = trials[trials.trial == trial]
        if row.empty:
            known = f"one of 0 to {trials.trial.max()}" if len(trials) else "one of a study that has trials"
            raise InputError(f"{self.path}: found no trial {trial}, expected {known}")
        return row

    def parameters(self, trial: int) -> dict[str, Any]:
        """A trial's parameters, by name. Raises InputError if one is not in its range."""
        row = self.row(trial)
        values = {name: row[f"param.{name}"].item() for name in self.space.distributions if f"param.{name}" in row}
        for name, distribution in self.space.distributions.items():
            if name not in values or not within(values[name], distribution):
                found = repr(values[name]) if name in values else "none"
                raise InputError(f"{self.path}: trial {trial}: {name}: found {found}, expected one of {distribution}")
        return values

    def document(self, trial: int) -> Document:
        """A trial's setting as plain data. Raises InputError if there is no such trial."""
        return self.space.document(self.parameters(trial))

    def setting(self, trial: int) -> Any:
        """A trial's setting. Raises InputError if there is no such trial."""
        return self.space.setting(self.parameters(trial))

    def seeds(self) -> list[int]:
        """The seed of each replica of every trial."""
        return self.manifest()["replica_seeds"]

    def model_path(self, trial: int) -> Path:
        """The file of a trial's trained replicas, if it was completed."""
        return self.path / "models" / f"{trial:05d}.safetensors"

    def model(self, trial: int) -> nn.Module:
        """A complete trial's trained replicas. Raises InputError if it left none."""
        path = self.model_path(trial)
        if not path.is_file():
            raise InputError(f"{self.path}: found no model of trial {trial}, expected a complete trial")
        experiment, setting, seeds = self.experiment, self.setting(trial), self.seeds()
        return load_weights(path, lambda: experiment.model(setting, seeds), getattr(experiment, "upgraded", None))

    def optuna(self) -> optuna.Study:
        """The search as Optuna's own Study. Raises InputError if its journal is not in the folder, as of a published
        study, which is read by `trials` alone."""
        return journal.read(self.path)


def reference_files(space: Space) -> Sequence[Path]:
    """The fixed settings that a space's experiment compares its studies with. Raises InputError if it is not here."""
    experiment, setting = space.experiment, space.setting(next(space.corners()))
    with space.source.located(str(space.file)):
        return [Path(file) for file in experiment.references(setting)]


def recorded(metrics: dict[str, Metric]) -> dict[str, Any]:
    """Declared metrics as a manifest has them."""
    return {name: asdict(metric) for name, metric in metrics.items()}
