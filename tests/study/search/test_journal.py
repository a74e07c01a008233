"""The driver's journal knows which trials wait, without looking at all of them."""

from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import create_autospec

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from optuna.storages import JournalStorage
from optuna.trial import TrialState

from study import private
from study.search import journal

ACTS = some.lists(some.sampled_from(["ask", "enqueue", "fail", "requeue"]), min_size=1, max_size=25)


@settings(max_examples=40)
@given(ACTS)
def test_what_waits_is_asked_for_first_whatever_came_before(acts: list[str]) -> None:
    with TemporaryDirectory() as folder:
        mine = journal.search(Path(folder), optuna.samplers.RandomSampler(seed=0), ["maximize"])
        assert isinstance(private.storage(mine), journal.DriversStorage)
        for act in acts:
            running = [trial for trial in mine.get_trials(deepcopy=False) if trial.state is TrialState.RUNNING]
            if act == "enqueue":
                mine.enqueue_trial({"rate": 0.5})
            elif act == "ask":
                waits = [trial.number for trial in mine.get_trials(deepcopy=False) if trial.state is TrialState.WAITING]
                expected = waits[0] if waits else len(mine.get_trials(deepcopy=False))
                assert mine.ask().number == expected
            elif running:
                state = TrialState.FAIL if act == "fail" else TrialState.WAITING
                private.set_state(mine, running[0], state)
            waiting = [trial.number for trial in mine.trials if trial.state is TrialState.WAITING]
            assert [trial.number for trial in mine.get_trials(states=(TrialState.WAITING,))] == waiting


def test_a_journal_that_is_opened_anew_knows_who_waits(tmp_path: Path) -> None:
    first = journal.search(tmp_path, optuna.samplers.RandomSampler(seed=0), ["maximize"])
    first.ask()
    first.enqueue_trial({"rate": 0.5})
    again = journal.search(tmp_path, optuna.samplers.RandomSampler(seed=0), ["maximize"])
    assert [again.ask().number, again.ask().number] == [1, 2]


def test_once_nothing_waits_an_ask_looks_at_no_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = journal.search(tmp_path, optuna.samplers.RandomSampler(seed=0), ["maximize"])
    all_trials = create_autospec(JournalStorage.get_all_trials, side_effect=JournalStorage.get_all_trials)
    monkeypatch.setattr(JournalStorage, "get_all_trials", all_trials)
    for _ in range(3):
        mine.ask()
    assert all_trials.call_count == 1
    mine.enqueue_trial({"rate": 0.5})
    mine.ask()
    mine.ask()
    assert all_trials.call_count == 3
