import io
from typing import Any

import pytest
from rich.console import Console

from study.experiment import Metric
from study.search.goal import Goal
from study.search.plan import Plan
from study.watch.live import StudyView
from study.watch.screen import Screen


def row(trial: Any, state: Any, isolation: Any) -> Any:
    return {
        "trial": trial,
        "state": state,
        "reason": "no memory",
        "value": isolation,
        "feasible": True,
        "isolation.mean": isolation,
        "isolation.sd": 0.01,
        "param.peak": 0.012345,
    }


@pytest.mark.parametrize("terminal", [True, False])
def test_the_view_tells_how_far_it_is_and_what_is_best(terminal: Any) -> None:
    text = io.StringIO()
    with StudyView(
        Screen(file=text, width=100, force_terminal=terminal, _environ={"TERM": "xterm"}),
        "my study",
        Plan(trials=5),
        Goal({"isolation": Metric("the objective", diverged=0.0)}),
    ) as view:
        for trial in range(5):
            view.started(trial)
        view.ended(row(0, "complete", 0.5))
        view.ended(row(1, "stopped", 0.9))  # not a result: it was not trained to the end
        view.ended(row(2, "complete", 0.7))
        view.ended(row(3, "failed", 0.0))
        if terminal:
            frame = io.StringIO()
            Console(file=frame, width=100).print(view._render())
            for part in ("4/5 trials", "1 running", "2 complete", "1 stopped early", "left", "trial 2", "peak 0.0123"):
                assert part in frame.getvalue()
            assert "0.700 ± 0.010" in frame.getvalue()
    said = text.getvalue()
    assert "4/5 trials: 2 complete, 1 stopped early, 1 failed in 0:00:0" in said
    assert "trial 3 failed: no memory" in said
    if not terminal:
        assert said.splitlines()[0] == "my study"
        assert "3/5 trials: isolation 0.700 ± 0.010 over its replicas, trial 2" in said
        assert "\x1b" not in said
