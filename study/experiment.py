"""What an experiment is: what a study trains, measures and shows. Any object that has these attributes is one."""

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
"""A setting as plain data: the TOML's tables, with `schedule` as `{"file": name, "rows": cells}`."""


@dataclass(frozen=True)
class Metric:
    """What a metric means, and how it counts. Declared once, by `Experiment.metrics`.

    Args:
        meaning: one line, for a reader of a table.
        ideal: the value of a perfect model; None if no value is perfect, as of a count.
        higher_is_better: the direction.
        diverged: what a diverged replica counts as, usually the value of a useless model; None: it is left out, and
            the metric cannot be the first objective.
        failure: a replica worse than this has failed.
        not_an_objective: why nobody should choose by it, if so.
        examined: it is measured by `examine` alone, at confirmation.
    """

    meaning: str
    ideal: float | None = 1.0
    higher_is_better: bool = True
    diverged: float | None = None
    failure: float | None = None
    not_an_objective: str = ""
    examined: bool = False


@dataclass(frozen=True)
class Section:
    """A part of the report that an experiment writes: words in Markdown, a table, a figure with its description."""

    title: str
    words: str = ""
    table: pd.DataFrame | None = None
    figure: Figure | None = None
    name: str = ""  # of the figure's file
    description: str = ""  # of the figure, for who cannot see it


class Setting(Protocol):
    """Everything that fixes one training but the seed.

    A setting may also have `concept`, what it isolates: settings of different concepts are not compared; and `trained`,
    the terms of its document's `regularizers` that act in training, by name, each of which can be left out.
    """

    @property
    def title(self) -> str: ...

    @property
    def schedule(self) -> Dopesheet: ...


class Rung(Protocol):
    """What replicas measured after `step` of `steps` training steps: every metric, and who has diverged, [R] each."""

    @property
    def step(self) -> int: ...

    @property
    def steps(self) -> int: ...

    @property
    def metrics(self) -> Mapping[str, Tensor]: ...

    @property
    def diverged(self) -> Tensor: ...


OnRung = Callable[[Rung, "nn.Module"], None]
"""Called at each rung with what was measured and the replicas as they are then; what it raises ends the training."""


@runtime_checkable
class Experiment(Protocol):
    """A model, data, labels, metrics and what isolation means for them.

    An experiment may also have these:

    - `examine(model, setting, seeds)`: dearer metrics, [R] each, at confirmation.
    - `sections(model, setting, replica)`: `Section`s of the report on a trained model, of which one replica is typical.
    - `step_kinds(setting)`: the kinds of native code that its training runs, by name; without it nothing is compiled.
    - `cannot_compile()`: why native code cannot be made here, or nothing.
    - `spaces`: the folder of search spaces that come with it.
    - `renamed`: what version 0.1 called fixed settings that studies compare with, to what they are called now.
    - `upgraded(weights)`: weights that an earlier version stored, as `model` names and shapes them now.
    """

    name: str

    def setting(self, document: Document, file: str | Path) -> Any:
        """The `Setting` that a document without ranges describes. Raises InputError, naming file and key, if none."""

    def metrics(self, setting: Any) -> Mapping[str, Metric]:
        """The metrics that a setting's trainings measure. The first is what a study searches for by default."""

    def train(self, setting: Any, seeds: Sequence[int], *, rungs: int, compiled: bool, on_rung: OnRung) -> nn.Module:
        """Train one replica for each seed, and return them as one module, whose parameters have an axis of replicas."""

    def model(self, setting: Any, seeds: Sequence[int]) -> nn.Module:
        """Untrained replicas, to load stored weights into."""

    def references(self, setting: Any) -> Sequence[Path]:
        """Files of fixed settings to compare a study's best with, the usual one first."""
