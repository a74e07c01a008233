"""The options of a study: one object, which the command line, the Python functions and the manifest share."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import wraps
from typing import Annotated, Any, Literal, Self, TypeVar, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from anchoring.errors import InputError, first_problem
from study import surroundings

F = TypeVar("F", bound=Callable[..., Any])

Aggregate = Literal["mean", "p10", "min", "lcb"]
SamplerName = Literal["tpe", "gp", "cmaes", "random", "qmc"]
Tracked = Literal["study", "trials", "off"]
SchedulerName = Literal["asha", "hyperband", "median", "none"]

DEFAULT_TRIALS = 60

ROUNDS_APART = 1000
"""Distance between the seeds of two rounds of promotion: a round has fewer."""

HELD_OUT = 64
"""Seeds on which a study is confirmed."""

SEEDS_APART = 100_000
"""Distance between the replica seeds of studies with neighbouring `seed`s. A search uses the first half of them, its
confirmation the third quarter, and what is trained in between the last."""

MOST_HELD_OUT = SEEDS_APART // 4

FIRST_HEAT = 4
"""Seeds that a trial begins a race with, at least: with fewer, a paired test finds nothing but gross differences."""

MAY_CHANGE = (
    *("trials", "minutes", "cpus", "address", "limit", "memory"),
    *("promote", "confirm", "report", "wandb", "tensorboard"),
)
"""Options that may differ when a study is continued: they say how much is run and where, not what is searched."""

TRAINED_ONCE = ("seeds", "seed", "steps", "rungs", "compiled")
"""Options that matter to a fixed setting, which is trained without a search."""


SURVEY: dict[str, Any] = {"trials": 64, "seeds": 4, "promote": ("16:16", "4:64")}
"""Defaults of a survey where they differ from those of a search."""

ALWAYS_SURVEYED: dict[str, Any] = {"sampler": "qmc", "scheduler": "none"}
"""Options that a survey does not have: its settings are fixed beforehand, and none is stopped."""

ARMS: dict[str, Any] = {"trials": 1, "confirm": 0, "rungs": 1}
"""What arms are, as a plan: one setting, which is trained here, and its arms on the same seeds."""

OF_ARMS = (
    *("seeds", "cpus", "address", "seed", "steps", "objectives", "aggregate", "constraints", "compiled", "limit"),
    *("memory",),
)
"""Options of arms."""

SURVEYED = (
    *("trials", "seeds", "promote", "cpus", "address", "seed", "steps", "rungs", "objectives", "aggregate"),
    *("constraints", "margin", "report", "compiled", "limit", "memory", "wandb", "tensorboard"),
)
"""Options of a survey."""


def _option(description: str, by_default: str = "", **bounds: Any) -> Any:
    """A field of a plan: what its option means, its default in words if None does not say it, and its bounds."""
    return Field(description=description, json_schema_extra={"by_default": by_default}, **bounds)


class Plan(BaseModel):
    """What a person asks of a study, besides its space.

    Its fields are the options of `study run` and the keyword arguments of `study.run`.

    Raises:
        InputError: if an option is unknown or not in its range.

    Example:
        >>> Plan(minutes=5, seeds=32).trials is None
        True
        >>> Plan(seeds=0)
        Traceback (most recent call last):
        ...
        anchoring.errors.InputError: --seeds: found 0, expected greater than or equal to 1
    """

    model_config = ConfigDict(frozen=True)

    trials: Annotated[int | None, _option("Settings to try in all.", "60, unless minutes are given", ge=1)] = None
    minutes: Annotated[
        float | None, _option("How long to search; trials that run then are trained to the end.", ge=0.01, lt=1_000_000)
    ] = None
    seeds: Annotated[int, _option("Replicas, each with its own seed, that train together.", ge=1, le=50_000)] = 16
    cpus: Annotated[int, _option("Trials at a time, one CPU each; 0 is every CPU, of all nodes.", ge=0)] = 0
    address: Annotated[
        str | None,
        _option(
            "Run on the Ray cluster that this machine is a node of: auto, or its head's host:port.",
            "a Ray of its own on this machine",
        ),
    ] = None
    seed: Annotated[int, _option("Fixes everything that is random.", ge=0, le=40_000)] = 0
    steps: Annotated[
        int | None, _option("Stretch or shrink the schedule to this many steps.", "its own", ge=1, le=10_000_000)
    ] = None
    rungs: Annotated[int, _option("How often replicas are measured and may be stopped.", ge=1, le=1000)] = 10
    objectives: Annotated[
        tuple[str, ...],
        _option("The metric to search for; several make a Pareto front.", "the first that the experiment declares"),
    ] = ()
    aggregate: Annotated[
        Aggregate, _option("A trial's value, over its replicas; lcb: the mean's lower confidence bound.")
    ] = "mean"
    constraints: Annotated[
        tuple[str, ...],
        _option(
            "What an answer must keep; there may be several. 'utility >= 0.99' bounds the mean, 'p10 utility >= 0.99' "
            "the 10th percentile, 'every utility >= 0.99' each replica, and 'relative utility >= -0.01 of REFERENCE' "
            "the mean difference from a fixed setting on the same seeds."
        ),
    ] = ()
    margin: Annotated[
        float, _option("How far an answer stays from each constraint's bound, in bands of seed noise.", ge=0, le=1000)
    ] = 0.0
    sampler: Annotated[SamplerName, _option("What proposes settings.")] = "tpe"
    scheduler: Annotated[
        SchedulerName | None, _option("What stops hopeless trials early.", "none in a race, else asha")
    ] = None
    race: Annotated[
        bool | None,
        _option(
            "Begin each trial with few seeds, and double them while a paired test does not put it behind the best.",
            "where there is one objective's mean and 8 seeds or more, and no scheduler is named",
        ),
    ] = None
    audit: Annotated[
        float, _option("Share of the trials to be stopped that run on, to see what was lost.", ge=0, le=1)
    ] = 0.0
    promote: Annotated[
        tuple[str, ...],
        _option(
            "TOP:SEEDS trains the best TOP again on fresh seeds. There may be several rounds. Each chooses by all "
            "seeds so far, and the last is the confirmation, in place of --confirm."
        ),
    ] = ()
    confirm: Annotated[
        int, _option(f"How many of the best to train again on {HELD_OUT} held-out seeds; 0 skips it.", ge=0)
    ] = 3
    report: Annotated[bool, _option("Write a report at the end; `study report` does so later, too.")] = True
    compiled: Annotated[bool | None, _option("Native training steps.", "where they pay")] = None
    limit: Annotated[float, _option("Minutes a trial may take before it is ended, as failed.", ge=0.01)] = 60.0
    memory: Annotated[float | None, _option("GiB a worker may allocate.", "its share of the machine's", ge=0.1)] = None
    wandb: Annotated[
        Tracked,
        _option(
            "What has a W&B run: the study, each of its trials as well, or nothing (off). Offline; WANDB_MODE=online "
            "sends them."
        ),
    ] = "study"
    tensorboard: Annotated[bool, _option("Write each trial's curves into the study's folder tensorboard/.")] = False

    def __init__(self, **options: Any) -> None:
        _expect_known(options, self.__class__.model_fields)
        if options.get("trials") is None and options.get("minutes") is None:
            options["trials"] = DEFAULT_TRIALS
        try:
            super().__init__(**options)
        except ValidationError as error:
            raise InputError(f"--{first_problem(error)}") from None
        tops = [top for top, _ in self.rounds]
        if tops != sorted(tops, reverse=True):
            found = ", ".join(self.promote)
            raise InputError(f"--promote: found {found}, expected each round to take at most as many as the one before")
        if self.margin and self.seeds < 2:
            raise InputError(f"--margin: found {self.margin:g} with 1 seed, expected --seeds 2 or more, to know a band")
        if self.race and (found := self._no_race()):
            raise InputError(f"--race: found {found}")

    def _no_race(self) -> str:
        """What the plan asks for that trials cannot race for, and what is expected in its place."""
        if len(self.objectives) > 1:
            return f"{len(self.objectives)} objectives, expected one, by which trials are compared"
        if self.aggregate != "mean":
            return f"--aggregate {self.aggregate}, expected mean, which a paired test compares"
        if self.audit:
            return "--audit, which exempts trials from stopping, expected one of the two"
        if self.seeds < 2 * FIRST_HEAT:
            return f"--seeds {self.seeds}, expected {2 * FIRST_HEAT} or more, to begin with {FIRST_HEAT}"
        return ""

    @classmethod
    def of_manifest(cls, manifest: Mapping[str, Any], where: str) -> Self:
        """The plan that a study was started, or last continued, with."""
        known = {key: value for key, value in manifest.items() if key in cls.model_fields}
        if known.get("trials") is None and known.get("minutes") is None:
            raise InputError(f"{where}: found neither trials nor minutes, expected one of them")
        try:
            return cls(**known)
        except InputError as error:
            raise InputError(f"{where}: {str(error).removeprefix('--')}") from None

    def but(self, **options: Any) -> Self:
        """The plan with other options. None keeps what the plan has.

        Example:
            >>> Plan(trials=20).but(trials=40, cpus=None).trials
            40
        """
        return type(self)(**dict(self) | {name: value for name, value in options.items() if value is not None})

    @property
    def rounds(self) -> list[tuple[int, int]]:
        """The rounds after the search, the last being the confirmation: how many of the best, on how many seeds."""
        if self.promote:
            return [_round(text) for text in self.promote]
        return [(self.confirm, HELD_OUT)] if self.confirm else []

    @property
    def replica_seeds(self) -> list[int]:
        """Every trial's replicas have these seeds, so that trials differ by their settings alone."""
        return [self.seed * SEEDS_APART + replica for replica in range(self.seeds)]

    @property
    def races(self) -> bool:
        """Whether trials race: if asked for, and by default if they can and no scheduler is named."""
        return self.scheduler is None and not self._no_race() if self.race is None else self.race

    @property
    def stopped_by(self) -> SchedulerName:
        """The scheduler. By default a race has none, and other searches have ASHA.

        Example:
            >>> Plan(seeds=16).stopped_by, Plan(seeds=4).stopped_by
            ('none', 'asha')
        """
        return self.scheduler or ("none" if self.races else "asha")

    @property
    def heats(self) -> list[list[int]]:
        """`replica_seeds` in the parts that a trial is trained on, one after another. Only a race has several.

        Examples:
            >>> [len(heat) for heat in Plan(race=True, seeds=16).heats]
            [4, 4, 8]
        """
        ends = [self.seeds]
        while self.races and ends[0] >= 2 * FIRST_HEAT:
            ends.insert(0, ends[0] // 2)
        return [self.replica_seeds[start:end] for start, end in zip([0, *ends], ends, strict=False)]

    def held_out_seeds(self, n: int) -> list[int]:
        """Seeds that no search ever sees."""
        return [self.seed * SEEDS_APART + SEEDS_APART // 2 + replica for replica in range(n)]

    def round_seeds(self, number: int, n: int) -> list[int]:
        """Seeds of a round of promotion before the last, which no search and no confirmation sees."""
        start = self.seed * SEEDS_APART + MOST_HELD_OUT + SEEDS_APART // 2 + ROUNDS_APART * number
        return list(range(start, start + n))

    @property
    def workers(self) -> int:
        """Trials at a time on this machine."""
        return self.cpus or surroundings.cpus()

    @property
    def at_once(self) -> int | None:
        """Trials at a time; None: as many as a cluster has CPUs for, which may change."""
        return self.cpus or None if self.address else self.workers


def _round(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d{1,6}):(\d{1,6})", text)
    top, seeds = map(int, match.groups()) if match else (0, 0)
    if not (top and 2 <= seeds < ROUNDS_APART):
        raise InputError(
            f"--promote: found {text!r}, expected TOP:SEEDS, such as 16:8, with 2 to {ROUNDS_APART - 1} seeds"
        )
    return top, seeds


def _expect_known(options: Iterable[str], known: Collection[str]) -> None:
    """Raise InputError unless all options are known."""
    for name in options:
        if name not in known:
            raise InputError(f"--{name}: unknown option, expected one of {', '.join(known)}")


def parameters(
    names: Iterable[str] = Plan.model_fields, as_before: bool = False, **defaults: Any
) -> list[inspect.Parameter]:
    """Options of a plan as keyword arguments of a function, with their types, help and defaults.

    `as_before` makes None the default of all, for a study that goes on with the plan that it has. `defaults` are others
    than the plan's own.
    """
    fields = {name: Plan.model_fields[name] for name in names}
    return [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=None if as_before else defaults.get(name, field.default),
            annotation=Annotated[field.annotation | None if as_before else field.annotation, field],  # type: ignore[operator]
        )
        for name, field in fields.items()
    ]


def with_options(more: Sequence[inspect.Parameter]) -> Callable[[F], F]:
    """Show `more` in the signature of a function that takes them as `**options`: in its help and in completion."""

    def shown(function: F) -> F:
        signature = inspect.signature(function, eval_str=True)
        own = signature.parameters.values()
        first = [p for p in own if p.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]
        last = [p for p in own if p.kind is inspect.Parameter.KEYWORD_ONLY]
        positional, known = [p.name for p in first], [p.name for p in (*more, *last)]

        @wraps(function)
        def checked(*arguments: Any, **options: Any) -> Any:
            _expect_known([name for name in options if name not in positional], known)
            return function(*arguments, **options)

        checked.__signature__ = signature.replace(parameters=[*first, *more, *last])  # type: ignore[attr-defined]
        return cast(F, checked)

    return shown
