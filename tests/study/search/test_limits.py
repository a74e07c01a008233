"""Whom a study waits for: a worker of its own that still starts, or others that have the cluster's CPUs."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
import pytest
from ray.tune.search import Searcher

from study.search.searcher import OptunaSearch

RESERVES = """
import sys, time
import ray
from ray.util.placement_group import placement_group
ray.init(address=sys.argv[1], log_to_driver=False, configure_logging=False)
ray.get(placement_group([{"CPU": 1}]).ready())
print("reserved", flush=True)
sys.stdin.read()
"""

ASKS = f"""
import subprocess, sys
import ray
from ray.util.placement_group import placement_group
from study.search.limits import has_a_cpu
address = ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, configure_logging=False).address_info["gcs_address"]
print("nobody", has_a_cpu())
others = [
    subprocess.Popen([sys.executable, "-c", {RESERVES!r}, address], stdin=-1, stdout=-1, text=True) for _ in range(2)
]
print("others", *(other.stdout.readline().strip() for other in others))
mine = placement_group([{{"CPU": 1}}])
print("waiting", mine.wait(2), has_a_cpu())
others[0].communicate()
print("mine", mine.wait(60), has_a_cpu())
others[1].communicate()
"""


@pytest.mark.live
def test_a_study_that_waits_for_its_own_worker_is_not_told_from_one_by_others(tmp_path: Path) -> None:
    script = tmp_path / "asks.py"
    script.write_text(ASKS)
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}
    done = subprocess.run(
        [sys.executable, script], check=False, cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.stdout.splitlines() == [
        "nobody False",
        "others reserved reserved",
        "waiting False False",
        "mine True True",
    ], done.stderr


def test_the_first_trial_runs_although_the_minutes_went_by_before_a_worker_started() -> None:
    trials, nothing, space = optuna.create_study(), SimpleNamespace(), SimpleNamespace(distributions={})
    search = OptunaSearch(trials, space, nothing, nothing, lambda: True)  # type: ignore[arg-type]
    assert search.suggest("first")["trial"] == 0
    assert search.suggest("second") == Searcher.FINISHED
    waiting: Any = optuna.trial.create_trial(state=optuna.trial.TrialState.WAITING)
    trials.add_trial(waiting)
    assert search.suggest("interrupted")["trial"] == 1
    assert search.suggest("last") == Searcher.FINISHED
