"""What was stopped, when, and what would have become of it, read back from the figures."""

from typing import Any

import numpy as np
import pytest

from analysis import stopping_plots
from analysis.audit import audit, exempted_table, unknown, whole
from study.record.folder import StudyFolder


@pytest.fixture
def ended(hue: StudyFolder) -> Any:
    return whole(hue)


def test_whole_trials_have_their_score_at_the_end(hue: StudyFolder, ended: Any) -> None:
    final = hue.final().groupby("trial").isolation.mean()
    assert set(ended.trial) == set(hue.trials().trial[(hue.trials().state == "complete") | hue.trials().audited])
    assert ended.value.to_numpy() == pytest.approx(final[ended.trial].to_numpy())


def test_endings_draw_a_dot_a_trial_and_the_best(hue: StudyFolder, ended: Any) -> None:
    (axis,) = stopping_plots.endings(hue, ended).axes
    assert sum(len(dots.get_offsets()) for dots in axis.collections) == len(ended)  # type: ignore[arg-type, misc]
    assert axis.lines[0].get_xdata()[0] == hue.best()["isolation.mean"].item()
    assert axis.get_yticklabels()[0].get_text() == f"{(hue.trials().state == 'complete').sum()} complete"


def test_early_and_late_scores_are_those_of_the_rungs(hue: StudyFolder, ended: Any) -> None:
    (axis,) = stopping_plots.early_and_late(hue, ended, 150).axes
    rows = hue.replicas()[(hue.replicas().step == 150) & hue.replicas().trial.isin(ended.trial[~ended.audited])]
    early = rows.groupby("trial").isolation.mean().to_numpy()
    assert np.sort(np.asarray(axis.collections[0].get_offsets())[:, 0]) == pytest.approx(np.sort(early))


def test_the_steps_that_were_taken_are_the_area(hue: StudyFolder) -> None:
    (axis,) = stopping_plots.steps_taken(hue).axes
    (_, going) = axis.collections
    stopped = hue.trials()[(hue.trials().state == "stopped") & ~hue.trials().audited]
    x, y = going.get_paths()[0].vertices.T
    area = abs(np.sum((x[1:] - x[:-1]) * (y[1:] + y[:-1])) / 2)
    assert area == pytest.approx(stopped.steps.sum())


def test_the_table_and_the_unknown_tell_of_spared_trials(hue: StudyFolder, ended: Any) -> None:
    found = audit(hue)
    table = exempted_table(hue, ended)
    assert len(table) == min(5, found.exempted)
    assert table.index[0] == f"trial {ended[ended.audited].sort_values('value').trial.iloc[-1]}"
    assert f"{found.exempted} exempted trials cannot exclude it" in unknown(found)
