"""How the rows of replicas are summarised."""

import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as some
from hypothesis.extra.numpy import arrays

from study.record.tables import summarise

NUMBERS = some.floats(-1e6, 1e6, width=32) | some.just(float("nan"))
REAL = some.sampled_from([np.float32, np.float64]).flatmap(lambda kind: arrays(kind, (17,), elements=NUMBERS))
COLUMNS = REAL | arrays(np.int64, (17,), elements=some.integers(-1000, 1000))


@given(COLUMNS, some.integers(1, 17))
def test_statistics_are_those_of_pandas_to_the_last_bit(column: np.ndarray, rows: int) -> None:
    found = summarise(pd.DataFrame({"seed": range(rows), "metric": column[:rows]}))
    values = pd.Series(column[:rows]).dropna()
    expected = [values.mean(), values.std(), values.quantile(0.1), values.min()]
    np.testing.assert_array_equal([*found.values()], np.array(expected, dtype=float))
    assert [*found] == ["metric.mean", "metric.sd", "metric.p10", "metric.min"]
