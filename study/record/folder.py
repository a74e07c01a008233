"""Reading a study's folder: tables, settings, models and the search. Nothing in it is executed."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from contextlib import suppress
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
from study.registry import Source
from study.search import journal
from study.search.goal import Goal
from study.search.plan import Plan
from study.space.ranges import described, within
from study.space.space import Space

if TYPE_CHECKING:
    from torch import nn

ARMS, VARIED, PRIOR = "arms.parquet", "varied.parquet", "prior.parquet"
"""The rows of a study's arms, of replicas whose seeds' parts were varied apart, and of trials that it learns from."""

PATH, TRIED = "path.parquet", "path-tried.parquet"
"""The rows of the settings on a path between two settings, and of all that were tried to find it."""


@dataclass(frozen=True)
class StudyFolder:
    """The folder of one study, to be read. `study.load` makes it.

    Args:
        path: the folder.
        given: the experiment, if the user named its file.

    Examples:
        >>> import study
        >>> folder = study.load("analysis/published/deletion")
        >>> best = folder.best().trial.item()
        >>> folder.row(best)[["state", "steps", "value"]].round(4)
                state  steps   value
        341  complete   1501  0.9435
        >>> folder.answer().setting  # the best on held-out seeds is another trial
        'trial 332'
        >>> folder.setting(best).labels["vibrant"].scale == folder.parameters(best)["labels.vibrant.scale"]
        True
        >>> len(folder.model(best)) == len(folder.seeds())
        True
    """

    path: Path
    given: Source | None = None

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def quoted(self) -> str:
        """The folder as a shell takes it, for commands to be pasted."""
        return shlex.quote(str(self.path))

    def manifest(self) -> dict[str, Any]:
        """The options of the study, the versions of its code, and where it ran."""
        return read_manifest(self.path / "manifest.json")

    @cached_property
    def source(self) -> Source:
        """Where the experiment comes from: the user's file, or the installed experiment that the manifest names.

        Studies of version 0.1 name no experiment; they have the default one.
        """
        if self.given:
            return self.given
        return registry.named((self.manifest().get("experiment") or {}).get("name", registry.DEFAULT))

    @property
    def experiment(self) -> Experiment:
        """The study's experiment. Raises InputError if it is not available."""
        try:
            return self.source.load()
        except InputError as error:
            raise InputError(f"{self.path}: {error}") from None

    @cached_property
    def metrics(self) -> dict[str, Metric]:
        """The metrics that the experiment declares, by name. The manifest has them since version 0.2."""
        if (declared := self.manifest().get("metrics")) is None:
            _ = self.experiment  # raises InputError if it is not available
            return self.space.metrics()
        try:
            return TypeAdapter(dict[str, Metric]).validate_python(declared)
        except ValidationError as error:
            raise InputError(f"{self.path / 'manifest.json'}: metrics.{first_problem(error)}") from None

    @cached_property
    def space(self) -> Space:
        """The search space as it was run. Its settings were checked then."""
        return Space.parse(self.path / "study.toml", self.manifest()["steps"], self.source)

    @cached_property
    def goal(self) -> Goal:
        """The study's objectives and constraints."""
        manifest = self.manifest()
        objectives, constraints = tuple(manifest["objectives"]), tuple(manifest["constraints"])
        goal = Goal(self.metrics, objectives, manifest["aggregate"], constraints, manifest.get("margin", 0.0))
        return goal.beside(self._held_out("references.parquet"))

    def plan(self) -> Plan:
        """What the study was asked when it was started, or last continued."""
        return Plan.of_manifest(self.manifest(), f"{self.path}: manifest.json")

    def _repr_html_(self) -> str:
        """The study in a notebook: a small table of how far it is, what is best, and where it is."""
        from study.evidence.ranking import mean_in_words

        trials = self.trials()
        counts = {state.shown: int((trials.state == state).sum()) for state in TrialState}
        states = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
        facts = {
            "study": str(self.path),
            "space": self.manifest()["space"],
            "trials": f"{len(trials)}: {states}" if states else "0",
            "found by the search": "",
            "answer": "not confirmed yet",
        }
        with suppress(InputError):  # of a study that is damaged, or whose experiment is not here
            name = self.goal.objectives[0]
            for _, row in self.best().iterrows():
                facts["found by the search"] = f"trial {row.trial}, {name} {row[f'{name}.mean']:.3f}"
            if self.confirmation().trial.notna().any():
                top = self.answer()
                facts["answer"] = (
                    f"{top.setting}, {name} {mean_in_words(top)}, worst seed {top['min']:.3f}, on held-out seeds"
                )
        return pd.Series(facts).to_frame().to_html(header=False)

    # Tables

    def trials(self) -> pd.DataFrame:
        """A row for each trial that has ended.

        Columns: trial, state, steps, seconds, audited, diverged, reason, value, feasible, `param.<name>` for each
        parameter, `dose.<property>` and `centroid.<property>` for each column of the dopesheet but the learning rate
        (`study.space.doses`), `margin.<constraint>`, and `<metric>.mean`, `.sd`, `.p10` and `.min` over the replicas.
        """
        path = self.path / "trials.parquet"
        if not path.is_file():
            return pd.DataFrame({"trial": [], "state": []})
        return read_frame(path, ("trial", "state", "steps", "seconds", "audited", "reason", "value", "feasible"))

    def replicas(self) -> pd.DataFrame:
        """A row for each trial, seed and rung. Columns: trial, seed, step, diverged and every metric."""
        path, columns = self.path / "replicas.parquet", ("trial", "seed", "step", "diverged")
        if path.is_dir() and not any(path.glob("*.parquet")):  # all trials failed
            return pd.DataFrame(dict.fromkeys(columns, pd.Series(dtype=int)))
        try:
            return read_frame(path, columns)
        except InputError:
            for part in sorted(path.glob("*.parquet")):
                read_frame(part, columns)  # raises an error that names the damaged file
            raise

    def final(self, trial: int | None = None) -> pd.DataFrame:
        """The rows of `replicas` at the last rung that each trial reached.

        Args:
            trial: return only the rows of this trial.
        """
        replicas = self.replicas()
        if trial is not None:
            replicas = replicas[replicas.trial == trial]
        return replicas[replicas.step == replicas.groupby("trial").step.transform("max")]

    def confirmation(self) -> pd.DataFrame:
        """A row for each confirmed setting and held-out seed. Empty if nothing is confirmed.

        Columns: setting, trial, seed, step, diverged and every metric. A fixed setting has no trial.
        """
        return self._held_out("confirmation.parquet")

    def rounds(self) -> pd.DataFrame:
        """A row for each setting and seed of each round of promotion before the confirmation. Empty if there was none.

        The columns are those of `confirmation`, and `round`, from 1 on.
        """
        parts = [self.round(1).assign(round=1)]
        while len(parts[-1]):
            parts.append(self.round(number := len(parts) + 1).assign(round=number))
        return pd.concat(parts[:-1] or parts, ignore_index=True)

    def round(self, number: int) -> pd.DataFrame:
        """The rows of one of `rounds`, without its number. Empty if there is no such round."""
        return self._held_out(f"round-{number}.parquet")

    def leave_one_out(self) -> pd.DataFrame:
        """The best setting as it is, and without each of its regularizers, on held-out seeds. Empty if not measured.

        The columns are those of `confirmation`. `study.evidence.ranking.worths` compares the settings.
        """
        return self._held_out("leave-one-out.parquet")

    def arms(self) -> pd.DataFrame:
        """A row for each arm and seed, the setting as it is (`reference`) first. Empty if the study has no arms.

        The columns are those of `confirmation`. `study.evidence.verdicts.verdicts` judges the arms.
        """
        return self._held_out(ARMS)

    def varied(self) -> pd.DataFrame:
        """A row for each combination of the seeds of initial weights, samples and labels. Empty if none were varied.

        Columns: init, data and labels, the seeds; step, diverged and every metric.
        `study.evidence.components.components` says which of them matter.
        """
        path = self.path / VARIED
        columns = ("init", "data", "labels")
        return read_frame(path, columns) if path.is_file() else pd.DataFrame({name: [] for name in columns})

    def path_settings(self) -> pd.DataFrame:
        """A row for each setting on a path and held-out seed, in the path's order. Empty if the study has no path.

        The columns are those of `confirmation`. `setting` is the change that led to the setting.
        `study.evidence.paths.gains` says what each change bought.
        """
        return self._held_out(PATH)

    def path_tried(self) -> pd.DataFrame:
        """A row for each change that was tried in each round of finding a path, and seed. Empty if there was no choice.

        The columns are those of `confirmation`, and `round`, from 1 on.
        """
        return self._held_out(TRIED)

    def prior(self) -> pd.DataFrame:
        """The trials of other studies that this one learns from: a column for each parameter, and `score`."""
        path = self.path / PRIOR
        return read_frame(path, ("score",)) if path.is_file() else pd.DataFrame({"score": []})

    def _held_out(self, name: str) -> pd.DataFrame:
        path, columns = self.path / name, ("setting", "trial", "seed")
        if not path.is_file():
            return pd.DataFrame({column: [] for column in columns})
        rows = read_frame(path, columns)
        with suppress(InputError):  # a damaged manifest does not keep a table from being read
            if "format" not in self.manifest() and self.source.here:  # version 0.1
                rows["setting"] = rows.setting.replace(getattr(self.experiment, "renamed", {}))
        return rows

    # Answers

    def best(self, n: int = 1) -> pd.DataFrame:
        """The n trials that the search found best, as rows of `trials`, the best first.

        Only complete trials that keep the constraints count. Their values are optimistic, because the search chose them
        by these values. `answer` is the best trial on seeds that no search saw.
        """
        complete = self.complete()
        if complete.empty:
            return complete
        answers = complete[complete.feasible]
        return answers.sort_values("value", ascending=self.goal.sign < 0, kind="stable").head(n)

    def complete(self) -> pd.DataFrame:
        """The trials that were trained to the end, as rows of `trials`, whether or not they keep the constraints."""
        trials = self.trials()
        return trials[trials.state == TrialState.COMPLETE] if "value" in trials else trials.head(0)

    def answer(self) -> pd.Series:
        """The study's answer: the trial that is best on held-out seeds.

        It need not be the trial that `best` returns.

        Returns:
            Its row of `study.evidence.ranking.ranking`.

        Raises:
            InputError: if no trial was confirmed.
        """
        from study.evidence.ranking import ranking

        rows = self.confirmation()
        ranked = ranking(rows, self) if len(rows) else rows
        trials = ranked[ranked.trial.notna()]
        if trials.empty:
            raise InputError(f"{self.path}: found no confirmed trial, expected one (`study confirm {self.quoted}`)")
        return trials.iloc[0]

    def front(self) -> pd.DataFrame:
        """The trials on the Pareto front: no other complete trial is better in every objective."""
        numbers = [trial.number for trial in self.optuna().best_trials]
        trials = self.trials()
        return trials[trials.trial.isin(numbers)].sort_values("value")

    @property
    def references(self) -> list[str]:
        """The names of the experiment's reference settings, the usual one first.

        The manifest has them since version 0.3. An older study has none without its experiment.
        """
        if (recorded := self.manifest().get("references")) is not None:
            return recorded
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
        """A trial's parameters, by name. Raises InputError if there is no such trial, or a value is out of range."""
        row = self.row(trial)
        cells = row.iloc[0].to_dict()  # plain values
        values = {name: cells[f"param.{name}"] for name in self.space.distributions if f"param.{name}" in row}
        values = {name: value for name, value in values.items() if not pd.isna(value)}
        for name, distribution in self.space.distributions.items():
            if name not in values or not within(values[name], distribution):
                found = repr(values[name]) if name in values else "none"
                expected = described(distribution)
                raise InputError(f"{self.path}: trial {trial}: {name}: found {found}, expected {expected}")
        return values

    def document(self, trial: int) -> Document:
        """A trial's setting as plain data, without ranges. Raises InputError if there is no such trial."""
        return self.space.document(self.parameters(trial))

    def setting(self, trial: int) -> Any:
        """A trial's setting. Raises InputError if there is no such trial, or the experiment is not available."""
        return self.space.setting(self.parameters(trial))

    def seeds(self) -> list[int]:
        """The seeds of a trial's replicas. They are the same for all trials."""
        return self.manifest()["replica_seeds"]

    def model_path(self, trial: int) -> Path:
        """The file with the weights of a trial's replicas. Only complete trials have one."""
        return self.path / "models" / f"{trial:05d}.safetensors"

    def model(self, trial: int) -> nn.Module:
        """A complete trial's trained replicas, as `Experiment.model` makes them.

        Raises:
            InputError: if there is no such file, it is damaged, or the experiment is not available.
        """
        from study.record.weights import load_weights  # imports PyTorch, which takes a second

        path = self.model_path(trial)
        if not path.is_file():
            raise InputError(f"{self.path}: found no model of trial {trial}, expected a complete trial")
        experiment, setting, seeds = self.experiment, self.setting(trial), self.seeds()
        return load_weights(path, lambda: experiment.model(setting, seeds), getattr(experiment, "upgraded", None))

    def optuna(self) -> optuna.Study:
        """The search as an `optuna.Study`. Raises InputError if the folder has no journal; published studies have
        none."""
        return journal.read(self.path)


def reference_files(space: Space) -> Sequence[Path]:
    """The files of the reference settings that an experiment names for a space. Raises InputError if there is none."""
    experiment, setting = space.experiment, space.setting(next(space.corners()))
    with space.source.located(str(space.file)):
        return [Path(file) for file in experiment.references(setting)]


def recorded(metrics: dict[str, Metric]) -> dict[str, Any]:
    """Declared metrics as a manifest stores them."""
    return {name: asdict(metric) for name, metric in metrics.items()}
