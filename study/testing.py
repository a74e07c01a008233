"""Tests that every experiment should pass. Inherit them in a test file, and name your experiment and a space of it:

    from study.testing import ExperimentConformance

    class TestMine(ExperimentConformance):
        experiment = "experiment.py"
        space = "mine.toml"

`pytest` runs them. They train a few replicas for a few steps, and run a small study.
"""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from anchoring.errors import InputError
from study.experiment import Experiment, Metric, Rung
from study.metrics import metrics_of
from study.record.loading import load
from study.space.space import Space
from study.watch.status import status

ReferencePoint = tuple[str, Mapping[str, Any], Mapping[str, float]]
"""The name of an answer that needs no training, its measured metrics, and the values that they should have."""


class ExperimentConformance:
    """Tests of what a study relies on, for one experiment.

    Attributes:
        experiment: the file that defines it. None if it is installed; the space then names it.
        space: a search space or a fixed setting of the experiment.
        steps: the tests shorten the space's schedule to this many steps.
        tolerance: how far apart weights may be that should be equal, absolutely and relatively: those of a replica
            trained alone and among others, and those of native and eager steps.
    """

    experiment: str | Path | None = None
    space: str | Path
    steps: int = 60
    tolerance: float = 1e-3

    def reference_points(self) -> Iterable[ReferencePoint]:
        """Override this: name answers whose metrics are known, such as a perfect one, an untouched model or a constant.

        They show that a metric scores an answer badly if it does only part of what the metric measures.

        Returns:
            Reference points. One must have the objective's ideal, and one its value for a useless model.
        """
        return ()

    # What the tests share

    @pytest.fixture(autouse=True)
    def _one_thread(self) -> Iterator[None]:
        """Use one thread, as a study's workers do, so that results are the same to the last bit."""
        before = torch.get_num_threads()
        torch.set_num_threads(1)
        yield
        torch.set_num_threads(before)

    @pytest.fixture
    def short(self) -> Space:
        return Space.read(self.space, self.steps, self.experiment)

    @pytest.fixture
    def setting(self, short: Space) -> Any:
        return short.setting(next(short.corners()))

    @pytest.fixture
    def subject(self, short: Space) -> Experiment:
        return short.source.load()

    @pytest.fixture
    def declared(self, subject: Experiment, setting: Any) -> Mapping[str, Metric]:
        return metrics_of(subject, setting)

    # The tests

    def test_the_same_seeds_give_the_same_numbers(self, subject: Experiment, setting: Any) -> None:
        (first, rungs), (second, again) = _train(subject, setting, [0, 5]), _train(subject, setting, [0, 5])
        assert all(torch.equal(a, b) for a, b in _pairs(first, second))
        assert all(
            np.array_equal(rungs[-1].metrics[name], again[-1].metrics[name], equal_nan=True)
            for name in rungs[-1].metrics
        )

    def test_different_seeds_give_different_replicas(self, subject: Experiment, setting: Any) -> None:
        model, _ = _train(subject, setting, [0, 5])
        assert any(not torch.equal(tensor[0], tensor[1]) for tensor in model.parameters())

    def test_a_replica_is_the_same_alone_and_among_others(self, subject: Experiment, setting: Any) -> None:
        alone, own = _train(subject, setting, [5])
        among, rungs = _train(subject, setting, [0, 5, 2])
        assert all(self._close(a[0], b[1]) for a, b in _pairs(alone, among))
        for name, metric in own[-1].metrics.items():
            assert np.allclose(metric[0], rungs[-1].metrics[name][1], rtol=1e-2, atol=1e-2, equal_nan=True), name

    def test_training_leaves_global_random_numbers_alone(self, subject: Experiment, setting: Any) -> None:
        torch.manual_seed(5)
        np.random.seed(5)
        expected = torch.rand(1).item(), np.random.rand()
        torch.manual_seed(5)
        np.random.seed(5)
        model, _ = _train(subject, setting, [0])
        assert (torch.rand(1).item(), np.random.rand()) == expected
        torch.manual_seed(6)
        np.random.seed(6)
        again, _ = _train(subject, setting, [0])
        assert all(torch.equal(a, b) for a, b in _pairs(model, again)), "global random numbers changed the training"

    def test_what_is_measured_is_what_is_declared(
        self, subject: Experiment, setting: Any, declared: Mapping[str, Metric]
    ) -> None:
        _, rungs = _train(subject, setting, [0, 1], rungs=2)
        assert [rung.step for rung in rungs][-1] == rungs[-1].steps
        assert len(rungs) == 2
        for rung in rungs:
            assert set(rung.metrics) == {name for name, metric in declared.items() if not metric.examined}
            for name, metric in rung.metrics.items():
                assert np.asarray(metric).shape == (2,), name
                assert np.asarray(metric).dtype.kind in "fiub", name
                if declared[name].diverged is not None:
                    assert np.isfinite(np.asarray(metric)[~np.asarray(rung.diverged)]).all(), name

    def test_the_objective_has_an_ideal_and_a_value_for_a_useless_model(self, declared: Mapping[str, Metric]) -> None:
        objective = next(iter(declared.values()))
        assert objective.ideal is not None
        assert objective.diverged is not None
        assert not objective.not_an_objective
        assert (objective.ideal > objective.diverged) == objective.higher_is_better
        assert all(metric.meaning and "\n" not in metric.meaning for metric in declared.values())

    def test_reference_points(self, declared: Mapping[str, Metric]) -> None:
        points = list(self.reference_points())
        if not points:
            pytest.skip("found no reference points; override `reference_points` to name some")
        for name, measured, expected in points:
            found = {metric: float(measured[metric]) for metric in expected}
            assert found == pytest.approx(dict(expected), abs=5e-3), name
        objective, metric = next(iter(declared.items()))
        values = [float(expected[objective]) for _, _, expected in points if objective in expected]
        assert any(value == pytest.approx(metric.ideal, abs=5e-3) for value in values), "no point is perfect"
        assert any(value == pytest.approx(metric.diverged, abs=5e-3) for value in values), "no point is useless"

    def test_a_replica_that_diverges_leaves_the_others_alone(self, subject: Experiment, setting: Any) -> None:
        healthy, _ = _train(subject, setting, [0, 1, 2], rungs=2)
        broken, rungs = _train(subject, setting, [0, 1, 2], rungs=2, poisoned=1)
        assert np.asarray(rungs[-1].diverged).tolist() == [False, True, False]
        for a, b in _pairs(healthy, broken):
            assert self._close(a[[0, 2]], b[[0, 2]])

    def test_weights_go_to_a_file_and_back(self, subject: Experiment, setting: Any, tmp_path: Path) -> None:
        model, _ = _train(subject, setting, [0, 1])
        safetensors.torch.save_file(model.state_dict(), tmp_path / "model.safetensors")
        loaded = subject.model(setting, [0, 1])
        loaded.load_state_dict(safetensors.torch.load_file(tmp_path / "model.safetensors"))
        assert all(torch.equal(a, b) for a, b in _pairs(model, loaded))

    def test_an_error_in_a_document_names_file_and_key(self, short: Space) -> None:
        document = {key: value for key, value in short.document(next(short.corners())).items() if key != "experiment"}
        for where, bad in _spoilt(document):
            with pytest.raises(InputError) as caught:
                short.source.load().setting(bad, "spoilt.toml")
            message = str(caught.value)
            assert message.startswith("spoilt.toml: "), f"{where}: {message}"
            assert where.rpartition(".")[2] in message, f"{where}: {message}"

    def test_native_and_eager_steps_agree(self, subject: Experiment, setting: Any) -> None:
        if not hasattr(subject, "step_kinds"):
            pytest.skip("the experiment has no native code")
        if why_not := getattr(subject, "cannot_compile", str)():
            pytest.skip(why_not)
        native, _ = _train(subject, setting, [0, 1], compiled=True)
        eager, _ = _train(subject, setting, [0, 1])
        assert all(self._close(a, b) for a, b in _pairs(native, eager))

    def test_a_study_runs_resumes_confirms_and_reports(self, tmp_path: Path) -> None:
        space = Space.read(self.space, self.steps, self.experiment)
        if not space.distributions:
            pytest.skip("a fixed setting is not searched")
        asked = {"space": self.space, "experiment": self.experiment, "steps": self.steps, "out": tmp_path}
        command = [sys.executable, "-c", _STUDY, json.dumps(asked, default=str)]
        environment = {**os.environ, "WANDB_MODE": "disabled", "TERM": "dumb"}
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600, env=environment)
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        found = status(load(tmp_path / "small", self.experiment))
        assert found.state == "finished"
        assert sum(found.trials.values()) == 5
        assert found.confirmation is not None
        assert found.report is not None
        assert found.report.stat().st_size > 1000

    def _close(self, a: Tensor, b: Tensor) -> bool:
        return torch.allclose(a, b, rtol=self.tolerance, atol=self.tolerance, equal_nan=True)


_STUDY = """
import json, sys
import study

asked = json.loads(sys.argv[1])
space, experiment = asked.pop("space"), asked.pop("experiment")
small = {"trials": 4, "seeds": 2, "rungs": 2, "cpus": 1, "scheduler": "none", "compiled": False}
found = study.run(space, name="small", experiment=experiment, confirm=0, report=False, **asked, **small)
study.resume(found, trials=5, confirm=0)
study.confirm(found, top=1, seeds=2, cpus=1)
"""
"""A study in a process of its own, which starts and ends a Ray."""


def _train(
    experiment: Experiment,
    setting: Any,
    seeds: list[int],
    *,
    rungs: int = 1,
    compiled: bool = False,
    poisoned: int | None = None,
) -> tuple[nn.Module, list[Rung]]:
    """Trained replicas and their rungs. A `poisoned` replica has weights that are NaN after the first rung."""
    seen: list[Rung] = []

    def on_rung(rung: Rung, model: nn.Module) -> None:
        seen.append(rung)
        if poisoned is not None and len(seen) == 1:
            with torch.no_grad():
                next(model.parameters())[poisoned] = torch.nan

    return experiment.train(setting, seeds, rungs=rungs, compiled=compiled, on_rung=on_rung), seen


def _pairs(a: nn.Module, b: nn.Module) -> Iterator[tuple[Tensor, Tensor]]:
    """The parameters of both modules in pairs, [R, ...] each. Buffers are constants that all replicas share."""
    ours, theirs = dict(a.named_parameters()), dict(b.named_parameters())
    assert ours.keys() == theirs.keys()
    return ((ours[name], theirs[name]) for name in ours)


def _spoilt(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Documents with one fault each, an unknown key or a word for a number, and the key where the fault is."""

    def spoil(path: tuple[str, ...], key: str, value: Any) -> tuple[str, dict[str, Any]]:
        bad = copy.deepcopy(document)
        node = bad
        for part in path:
            node = node[part]
        node[key] = value
        return ".".join([*path, key]), bad

    def walk(node: dict[str, Any], path: tuple[str, ...]) -> Iterator[tuple[str, dict[str, Any]]]:
        for key, value in node.items():
            if isinstance(value, dict) and key not in ("schedule", "labels", "layers"):
                yield from walk(value, (*path, key))
            elif isinstance(value, int | float) and not isinstance(value, bool):
                yield spoil(path, key, "many")
        if path not in ((), ("regularizers",)):
            yield spoil(path, "nonsense", 1)

    body = {key: value for key, value in document.items() if key not in ("schedule", "title")}
    yield spoil((), "nonsense", 1)
    yield from walk(body, ())
