import pytest

from analysis import tables
from study.evidence.ranking import ranking
from study.record.folder import StudyFolder
from study.search.goal import Goal


def test_the_table_has_every_metric_and_parameter(hue: StudyFolder) -> None:
    table = tables.best(hue, 2)
    measured = {name.removesuffix(".mean") for name in hue.trials() if name.endswith(".mean")}  # type: ignore[attr-defined]
    assert list(table.columns) == [f"trial {trial}" for trial in hue.best(2).trial]
    assert set(table.index) >= {*measured, *hue.space.distributions}
    assert measured <= set(hue.metrics)


def test_the_ranking_is_the_rankings(hue: StudyFolder) -> None:
    ranked = ranking(hue.confirmation(), hue)
    table = tables.ranking(ranked, hue, "hue-deletion")
    assert table.columns[0] == "mean"
    assert table["mean"].iloc[0].startswith(f"{ranked['mean'][0]:.3f} [{ranked['mean.low'][0]:.3f}")
    assert table["failed"].iloc[0].startswith(f"{ranked.failures[0]:.0%} [")
    reference = table.loc[table.index.str.startswith("hue-deletion")].iloc[0]
    assert reference["beats reference"] == "-"
    for name, row in zip(table.index, ranked.itertuples(), strict=True):
        assert name.endswith("(tied)") == (row.tied and row.Index > 0)  # type: ignore[arg-type]


def test_the_first_column_is_what_settings_are_ranked_by(hue: StudyFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    firsts = {}
    for aggregate in ("mean", "p10", "min", "lcb"):
        monkeypatch.setitem(hue.__dict__, "goal", Goal(hue.metrics, aggregate=aggregate))
        ranked = ranking(hue.confirmation(), hue)
        table = tables.ranking(ranked, hue)
        firsts[aggregate] = table.columns[0]
        assert table.iloc[0, 0].startswith(f"{ranked['value'][0]:.3f}")  # type: ignore[arg-type]
        assert table.iloc[:, 0].str[:5].astype(float).is_monotonic_decreasing
    expected = {"mean": "mean", "p10": "10th percentile", "min": "worst seed", "lcb": "lower bound of the mean"}
    assert firsts == expected


def test_tooltips_tell_a_trials_setting(hue: StudyFolder) -> None:
    texts = tables.tooltips(hue.trials(), hue, ["peak", "separate.power"])
    row = hue.trials().iloc[3]
    assert texts[3].splitlines()[0].startswith(f"trial {row.trial}: isolation {row['isolation.mean']:.3f}")
    assert f"utility {row['utility.mean']:.3f}, hue_blindness {row['hue_blindness.mean']:.3f}" in texts[3]
    assert texts[3].splitlines()[2] == f"separate.power = {row['param.separate.power']}"
