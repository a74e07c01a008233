"""The study as a Weights & Biases run: offline in the study's folder, unless WANDB_MODE says otherwise."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Any

import pandas as pd
from rich.console import Console

from anchoring.errors import reason
from study.record.folder import StudyFolder
from study.record.tables import metric_means
from study.record.trial_state import TrialState
from study.record.writer import plain_name
from study.search.plan import Tracked
from study.search.trial import Report, Row
from study.watch.summary import importances

if TYPE_CHECKING:
    from wandb import Run

"""What gets a W&B run: only the study, or each of its trials as well."""

ONE_RUN = ("WANDB_RUN_ID", "WANDB_RESUME", "WANDB_SWEEP_ID", "WANDB_SWEEP_PARAM_PATH")  # for a process with one run

MODELS = 3  # trials whose models are logged as an artifact, the best ones


class Tracker:
    """Logs each trial when it ends, with the best value so far. At the end, it logs the results of the study: the table
    of trials, the importance of parameters, the confirmation, the report and the best models.

    A study neither waits for W&B nor depends on it. W&B runs in a thread of its own and never prompts. If it fails, the
    tracker prints one line and logs nothing more.
    """

    def __init__(self, folder: StudyFolder, console: Console, tracked: Tracked = "study"):
        self._manifest = folder.manifest()
        # W&B's thread needs an absolute path: Ray's start changes the working directory meanwhile
        self._folder = replace(folder, path=folder.path.absolute())
        self._files = f"{folder.path}/wandb/offline-run-*"
        self._console = console
        self._of_trials = tracked == "trials"
        best = folder.best()
        self._best: float | None = best.value.item() if len(best) else None
        self._mode = "disabled" if tracked == "off" else os.environ.get("WANDB_MODE", "offline")
        self._begun = False
        self._run: Run | None = None
        self._runs: dict[int, Run] = {}  # the runs of running trials
        self._thread = ThreadPoolExecutor(1, "wandb")

    def __enter__(self) -> Tracker:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self._later(self._finish, 0 if error is None else 1)
        self._thread.shutdown()

    def started(self, trial: int) -> None:
        """A trial starts, or starts again because its worker died."""
        self._later(self._begin_anew, trial)

    def reported(self, trial: int, report: Report) -> None:
        """A trial has reported one or more rungs."""
        if self._of_trials and report.heats <= 1:  # W&B takes a step once: that of the first heat of seeds
            self._later(self._log_rung, trial, report)

    def ended(self, row: Row) -> None:
        """A trial has ended."""
        if (
            row["state"] == TrialState.COMPLETE
            and row["feasible"]
            and self._folder.goal.better(row["value"], self._best)
        ):
            self._best = row["value"]
        self._later(self._log_trial, row, self._best)

    def _later(self, act: Callable[..., None], *arguments: object) -> None:
        """Act on W&B's own thread. It begins with the first trial, so that W&B's import does not delay that."""
        if not self._begun and self._mode != "disabled":
            self._thread.submit(self._or_without, self._begin)
        self._begun = True
        self._thread.submit(self._or_without, act, *arguments)

    # On W&B's own thread

    def _begin(self) -> None:
        for name in ONE_RUN:
            os.environ.pop(name, None)
        import wandb

        if self._mode != "offline" and not wandb.login(prompt=False, verify=False):
            self._mode = "offline"
            self._say(f"W&B stays offline: not logged in (`wandb login`, then `wandb sync {self._files}`)")
        self._run = self._start(name=self._folder.name, job_type="study", config=self._manifest)

    def _start(self, **what: Any) -> Run:
        import wandb

        return wandb.init(
            mode=self._mode,  # type: ignore[arg-type]
            project=os.environ.get("WANDB_PROJECT", self._folder.source.name),
            group=self._folder.name,
            id=secrets.token_hex(4),
            resume="never",
            dir=self._folder.path,
            reinit="create_new",
            settings=wandb.Settings(
                silent=True,
                console="off",
                finish_timeout=120,
                finish_timeout_raises=True,
                disable_git=True,
                disable_code=True,
                x_disable_stats=True,
                x_disable_meta=True,  # the manifest has it, and a trial's run starts ten times faster
                x_save_requirements=False,
            ),
            **what,
        )

    def _begin_anew(self, trial: int) -> None:
        if run := self._runs.pop(trial, None):
            run.finish(exit_code=1)

    def _log_rung(self, trial: int, report: Report) -> None:
        for _, rows in report.replicas.groupby("step") if self._run else ():  # a trial that failed has none
            self._run_of(trial).log(metric_means(rows), step=int(rows["step"].iloc[0]))

    def _log_trial(self, row: Row, best: float | None) -> None:
        if not self._run:
            return
        figures = {key: value for key, value in row.items() if isinstance(value, int | float)}
        self._run.log(figures | ({} if best is None else {"best": best}))
        if self._of_trials:
            run = self._run_of(row["trial"])
            run.config.update({k.removeprefix("param."): v for k, v in row.items() if k.startswith("param.")})  # type: ignore[no-untyped-call]
            run.summary.update({key: value for key, value in row.items() if not key.startswith("param.")})
            del self._runs[row["trial"]]
            run.finish(exit_code=int(row["state"] in (TrialState.DIVERGED, TrialState.FAILED)))

    def _run_of(self, trial: int) -> Run:
        if trial not in self._runs:
            self._runs[trial] = self._start(name=f"trial {trial}", job_type="trial")
        return self._runs[trial]

    def _finish(self, exit_code: int) -> None:
        if not self._run:
            return
        for run in self._runs.values():  # of interrupted trials
            run.finish(exit_code=1)
        self._run.log({"table": _table(self._folder.trials())})
        if exit_code == 0:
            self._log_answer(self._run)
        self._run.finish(exit_code=exit_code)

    def _log_answer(self, run: Run) -> None:
        import wandb

        folder = self._folder
        weights = pd.DataFrame(importances(folder).items(), columns=["parameter", "importance"])
        if len(weights):
            chart = wandb.plot.bar(_table(weights), "parameter", "importance", title="Importance (PED-ANOVA)")
            run.log({"importance": chart})
        if len(confirmation := folder.confirmation()):
            run.log({"confirmation": _table(confirmation.drop(columns="trial"))})  # the column `setting` names trials
        best = folder.best(MODELS).trial.tolist()
        settings = {str(trial): folder.parameters(trial) for trial in best}
        name = f"{plain_name(folder.name)}-models"
        models = wandb.Artifact(name, "model", "The best trials' replicas", metadata=settings)
        for trial in best:
            models.add_file(str(folder.model_path(trial)), policy="immutable", skip_cache=True)
        run.log_artifact(models)
        if (page := folder.path / "report.html").is_file():
            run.log({"report": wandb.Html(page.read_text(encoding="utf-8"), inject=False)})

    def _or_without(self, act: Callable[..., None], *arguments: object) -> None:
        try:
            act(*arguments)
        except Exception as error:
            self._run = None
            self._say(f"the study goes on without W&B: {reason(error)}")

    def _say(self, text: str) -> None:
        self._console.print(text, style="yellow", markup=False, highlight=False, soft_wrap=True)


def _table(frame: pd.DataFrame) -> Any:
    import wandb

    return wandb.Table(dataframe=frame)
