"""A state of CMA-ES in a journal is arrays, or it is refused: Optuna would unpickle it."""

import contextlib
import pickle
import shutil
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.samplers import CmaEsSampler
from optuna.trial import FrozenTrial, TrialState, create_trial

import study
from anchoring import InputError
from study.record.folder import StudyFolder
from study.record.recovery import reconcile
from study.record.untrusted import expect_plain_state
from study.search.run import run
from tests.study.record.payload import Payload

PLANE: dict[str, BaseDistribution] = {name: FloatDistribution(0, 1) for name in "xy"}


def state(pickled: bytes) -> FrozenTrial:
    """A trial that keeps a state of CMA-ES."""
    attributes = {"cma:optimizer:0": pickled.hex()}
    return create_trial(value=0.5, params=dict.fromkeys(PLANE, 0.5), distributions=PLANE, system_attrs=attributes)


def test_a_state_of_cmaes_unpickled_would_run(canary: Any) -> None:
    search = optuna.create_study(sampler=CmaEsSampler(n_startup_trials=1))
    search.add_trial(state(pickle.dumps(Payload(canary))))
    with contextlib.suppress(AttributeError):  # what comes out is no optimizer
        search.ask(PLANE)
    assert canary.exists()


def test_a_state_of_cmaes_is_arrays() -> None:
    search = optuna.create_study(sampler=CmaEsSampler(seed=0, n_startup_trials=1))
    for _ in range(20):
        trial = search.ask(PLANE)
        search.tell(trial, sum(trial.params.values()))
    assert any("cma:optimizer:0" in trial.system_attrs for trial in search.trials)
    for frozen in search.trials:
        expect_plain_state(frozen, Path("optuna.journal"))


@pytest.mark.parametrize("keep", [None, 40, 3], ids=["whole", "cut", "too little"])
def test_a_state_of_cmaes_that_is_more_than_arrays_is_refused(copied: Any, canary: Any, keep: Any) -> None:
    folder = study.load(copied)
    folder.optuna().add_trial(state(pickle.dumps(Payload(canary))[:keep]))
    with pytest.raises(InputError, match=r"optuna\.journal: trial 14: the state of CMA-ES .*expected arrays"):
        run(folder.plan().but(sampler="cmaes"), folder, [])
    assert not canary.exists()


def test_a_state_of_cmaes_that_a_kill_cut_short_is_a_failed_trial(copied: Any) -> None:
    """Optuna writes it in parts, and nothing else is known of a trial that has not ended."""
    folder = study.load(copied)
    search = folder.optuna()
    trial = search.ask()
    search._storage.set_trial_system_attr(trial._trial_id, "cma:optimizer:0", "8004")
    reconcile(search, folder)
    assert search.trials[trial.number].state == TrialState.FAIL


@pytest.fixture
def copied(hue: StudyFolder, tmp_path: Path) -> Any:
    shutil.copytree(hue.path, tmp_path / "hue", symlinks=True)
    return tmp_path / "hue"
