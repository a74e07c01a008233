"""What a study asks of an experiment. Any object with the attributes of `Experiment` is one: nothing is inherited."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure
    from torch import Tensor, nn

    from anchoring.dopesheet import Dopesheet

Document = dict[str, Any]
"""A setting as plain data: the tables of its TOML file, with the CSV as `"schedule": {"file": path, "rows": cells}`."""


@dataclass(frozen=True)
class Metric:
    """What a metric means, and how a study uses it.

    Args:
        meaning: one line for the reader of a table.
        ideal: the value of a perfect model. None if no value is perfect, as for a count.
        higher_is_better: False if smaller values are better.
        diverged: the value that a diverged replica gets, usually that of a useless model. None leaves diverged
            replicas out; such a metric cannot be the first objective.
        failure: a replica with a worse value has failed. Confirmations report the share of failed replicas.
        not_an_objective: why a study must not optimize this metric; empty if it may.
        examined: True if only `Experiment.examine` measures it, at confirmation.

    Examples:
        >>> accuracy = Metric("share of held-out samples that are classified correctly", diverged=0.1, failure=0.8)
        >>> accuracy.ideal, accuracy.higher_is_better
        (1.0, True)

        In an `anchoring.AnchoredExperiment`, it decorates the method that computes the metric:

        >>> class Mine:
        ...     @Metric("mean of the answers", ideal=None)
        ...     def mean(self, intact, ablated, setting): ...
        >>> Mine.mean.metric.meaning
        'mean of the answers'
    """

    meaning: str
    ideal: float | None = 1.0
    higher_is_better: bool = True
    diverged: float | None = None
    failure: float | None = None
    not_an_objective: str = ""
    examined: bool = False

    def __call__(self, method: Callable[..., Any]) -> Any:
        method.metric = self  # type: ignore[attr-defined]
        return method


@dataclass(frozen=True)
class Section:
    """A part of the report that an experiment writes. The report shows words, table and figure in this order.

    Args:
        title: the heading.
        words: Markdown.
        table: shown below the words.
        figure: shown below the table.
        name: the figure's file name, without suffix, for `study report --figures`.
        description: what the figure shows, for readers who cannot see it.

    Examples:
        >>> section = Section("What the model confuses", words="It takes **3** for **8** most often.")
        >>> section.figure is None
        True
    """

    title: str
    words: str = ""
    table: pd.DataFrame | None = None
    figure: Figure | None = None
    name: str = ""
    description: str = ""


class Setting(Protocol):
    """Everything that determines a training, except its seed. `Experiment.setting` makes it from a document.

    Two attributes are optional:

    - `concept`: what the setting isolates. Settings of different concepts are not compared.
    - `trained`: the regularizers that act in training, as a mapping by name. `study confirm --leave-one-out` retrains
      the setting without each of them.
    """

    @property
    def title(self) -> str:
        """One line that says what is trained."""

    @property
    def schedule(self) -> Dopesheet:
        """How the learning rate and the weights move over training. Its length is the number of training steps."""


class Rung(Protocol):
    """What the replicas of a trial measured at one step of training. R is the number of replicas."""

    @property
    def step(self) -> int:
        """The training steps done so far."""

    @property
    def steps(self) -> int:
        """The training steps of the whole trial. At the last rung, `step == steps`."""

    @property
    def metrics(self) -> Mapping[str, Tensor]:
        """Every declared metric that is not `examined`, by name: [R] numbers each."""

    @property
    def diverged(self) -> Tensor:
        """Which replicas have diverged: [R] booleans."""


OnRung = Callable[[Rung, "nn.Module"], None]
"""What `Experiment.train` calls at each rung, with the measurements and the replicas as they are at that step.

It raises an exception, SystemExit included, to end a training early. `train` must not catch it.
"""


@runtime_checkable
class Experiment(Protocol):
    """A model, its data, its metrics, and how to train it.

    The process that a user starts calls `setting`, `metrics` and `references`. Before the first trial it also trains
    two replicas for a few steps, so that an experiment that cannot work fails at once. Trials run in Ray's worker
    processes. Each worker has one CPU and loads the experiment itself (an instance is never pickled), then calls
    `setting`, `metrics` and `train` for one trial after another.

    Raise InputError for what a user can mend in a setting; commands print it as one line. Any other exception is
    reported with the file and line of the experiment that it came from. Either makes a trial in a worker *failed*, and
    the study goes on.

    `anchoring.AnchoredExperiment` needs only a model, data and metrics. An experiment that does not build on it is
    free in how it trains. It may also have these attributes:

    - `examine(model, setting, seeds)`: measures metrics that are too slow for every rung, [R] each by name. Called for
      `study confirm --examine` in a worker, with the module that `train` returned.
    - `sections(model, setting, replica)`: returns `Section`s for the report. Called in the report's process. `model`
      holds the replicas of the trial that the report is about; `replica` is the index of the median one.
    - `step_kinds(setting)`: names the kinds of native code that a training of the setting runs. Without it,
      `compiled` is always False.
    - `apart(number, *, init, data, labels)`: makes a seed whose initial weights, samples and labels are those of three
      seeds; it is equal to `number`. For `study vary`.
    - `cannot_compile()`: says why there can be no native code on this machine; empty if there can.
    - `spaces`: the folder of search spaces that come with the experiment.
    - `renamed`: new names of fixed settings that version 0.1 called otherwise, by the old names.
    - `upgraded(weights)`: converts weights that an earlier version stored to the names and shapes of `model`.

    Examples:
        Points roll down a bowl, one for each seed. The setting is how steep the bowl is.

        >>> from types import SimpleNamespace as Namespace
        >>> import torch
        >>> from anchoring.dopesheet import Dopesheet
        >>> from anchoring.errors import InputError
        >>> class Points(torch.nn.Module):
        ...     def __init__(self, seeds):
        ...         super().__init__()
        ...         starts = [torch.randn(2, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
        ...         self.at = torch.nn.Parameter(torch.stack(starts))  # [R, 2]
        >>> class RollDown:
        ...     name = "bowl"
        ...
        ...     def setting(self, document, file):
        ...         if not isinstance(steepness := document.get("steepness"), float):
        ...             raise InputError(f"{file}: steepness: found {steepness!r}, expected a number such as 0.5")
        ...         schedule = Dopesheet.parse(document["schedule"]["rows"], document["schedule"]["file"])
        ...         return Namespace(title=document["title"], schedule=schedule, steepness=steepness)
        ...
        ...     def metrics(self, setting):
        ...         return {"depth": Metric("1 at the bottom of the bowl, 0 far from it", diverged=0.0)}
        ...
        ...     def train(self, setting, seeds, *, rungs, compiled, on_rung):
        ...         points, rates = self.model(setting, seeds), setting.schedule.table()["lr"]
        ...         steps = len(rates)
        ...         ends = [steps * (rung + 1) // rungs for rung in range(rungs)]
        ...         for step in range(1, steps + 1):
        ...             points.at.data -= float(rates[step - 1]) * setting.steepness * points.at.data
        ...             if step in ends:
        ...                 depth = 1 / (1 + points.at.detach().norm(dim=1))
        ...                 rung = Namespace(step=step, steps=steps, metrics={"depth": depth}, diverged=depth.isnan())
        ...                 on_rung(rung, points)
        ...         return points
        ...
        ...     def model(self, setting, seeds):
        ...         return Points(seeds)
        ...
        ...     def references(self, setting):
        ...         return []
        >>> experiment = RollDown()
        >>> isinstance(experiment, Experiment)
        True
        >>> rows = [["STEP", "lr"], ["0", "0.1"], ["99", "0.1"]]
        >>> document = {"title": "Roll", "schedule": {"file": "roll.csv", "rows": rows}, "steepness": 0.5}
        >>> setting = experiment.setting(document, "roll.toml")
        >>> on_rung = lambda rung, model: print(rung.step, rung.metrics["depth"].round(decimals=1))
        >>> _ = experiment.train(setting, [0, 1, 2], rungs=2, compiled=False, on_rung=on_rung)
        50 tensor([...])
        100 tensor([1., 1., 1.])
    """

    @property
    def name(self) -> str:
        """What search spaces and studies call the experiment; an attribute will do."""

    def setting(self, document: Document, file: str | Path) -> Any:
        """Check a document and return the `Setting` that it describes.

        Called for points of the space when it is read, then for every trial in its worker, and for every trial that
        someone looks at later.

        Args:
            document: the setting's TOML as plain data. All ranges are replaced by values, and `experiment` is left out.
            file: the TOML file, to name in errors.

        Raises:
            InputError: if the document describes no setting. The message starts with `file` and the key: "mine.toml:
                labels.much.scale: found 'many', expected a number".
        """

    def metrics(self, setting: Any) -> Mapping[str, Metric]:
        """Declare the metrics that a training of the setting measures.

        Called before a study starts and at every rung, so it must be fast. Settings of one space should have the same
        metrics: the tables have a column for each.

        Returns:
            Metrics by name. A study optimizes the first unless its user chooses another.
        """

    def train(self, setting: Any, seeds: Sequence[int], *, rungs: int, compiled: bool, on_rung: OnRung) -> nn.Module:
        """Train one replica for each seed, and measure them at each rung.

        The same setting and seeds must give the same numbers, whatever ran in the process before. A replica must not
        depend on the others: if one diverges, the others train on.

        Args:
            setting: what `setting` returned.
            seeds: one for each of the R replicas.
            rungs: how many times to call `on_rung`, at steps evenly apart. The last call is at the end of training.
            compiled: True if native code may be used. Ignore it without `step_kinds`.
            on_rung: called with a `Rung` and the replicas. Let through whatever it raises: that ends the training.

        Returns:
            The replicas as one module. The first axis of every parameter is R. The weights are stored for a
            complete trial.
        """

    def model(self, setting: Any, seeds: Sequence[int]) -> nn.Module:
        """Return untrained replicas to load stored weights into.

        Called wherever a trained model is read: by reports and by `StudyFolder.model`.

        Returns:
            A module whose state dict has the names and shapes of the one that `train` returns.
        """

    def references(self, setting: Any) -> Sequence[Path]:
        """Name fixed settings to compare a study's best settings with.

        Called by `study confirm` and by reports. Any setting of the study's space may be passed.

        Returns:
            TOML files, the most usual reference first. May be empty.
        """
