"""Documents and schedules that are wrong are one located line."""

from typing import Any

import pytest

from anchoring import InputError
from tests.anchoring.blobs import DOCUMENT, changed

ANCHOR = DOCUMENT["regularizers"]["anchor"]
WRONG = [
    ({"regularizers": {"a": {"term": "Foo"}}}, "s.toml: regularizers.a.term: found 'Foo', expected one of Align, "),
    (
        {"regularizers": {"a": {}}},
        "s.toml: regularizers.a.term: found nothing, expected one of Align, Anchor, AngularAnchor",
    ),
    ({"regularizers": {"a": {"term": ["Anchor"]}}}, "s.toml: regularizers.a.term: found ['Anchor'], expected one of"),
    ({"regularizers": {"a": "Anchor"}}, "s.toml: regularizers.a: found 'Anchor', expected a table"),
    ({"regularizers": 3}, "s.toml: regularizers: found 3, expected a table of terms"),
    ({"regularizers": {"a": {"term": "Anchor"}}}, "s.toml: regularizers.a.point: found nothing, expected a value"),
    (
        {"regularizers": {"a": {"term": "Sparse", "layer": ["encoder"]}}},
        "s.toml: regularizers.a.layer: unknown key, expected one of layers, labels, when",
    ),
    ({"regularizers": {"a!": {"term": "Sparse"}}}, "s.toml: regularizers: found 'a!', expected a name"),
    ({"labels": {"": {"of": "zero"}}}, "s.toml: labels: found '', expected a name"),
    (
        {"regularizers": {"a": {"term": "Sparse", "layers": ["decoder"]}}},
        "s.toml: regularizers.a.layers: found 'decoder', expected one of input, encoder.0, encoder.1, encoder.2, encoder, head",
    ),
    (
        {"regularizers": {"a": {**ANCHOR, "point": [1, 0]}}},
        "s.toml: regularizers.a.point: found 2 coordinates, expected 4",
    ),
    (
        {"regularizers": {"a": {"term": "Separate", "power": 2.5}}},
        "s.toml: regularizers.a.power: found 2.5, expected a whole number",
    ),
    (
        {"regularizers": {"a": {"term": "Separate", "power": "10"}}},
        "s.toml: regularizers.a.power: found '10', expected a valid number",
    ),
    (
        {"regularizers": {"a": {**ANCHOR, "labels": {"one": 1.0}}}},
        "s.toml: regularizers.a.labels: found 'one', expected one of zero",
    ),
    (
        {"regularizers": {"a": {"term": "Sparse", "when": "both"}}},
        "s.toml: regularizers.a.when: found 'both', expected 'training'",
    ),
    ({"labels": {}}, "s.toml: regularizers.anchor.labels: found 'zero', but there are none"),
    ({"labels": {"zero": {"of": "redness"}}}, "s.toml: labels.zero.of: found 'redness', expected one of zero"),
    (
        {"labels": {"zero": {"of": "zero", "scale": 2}}},
        "s.toml: labels.zero.scale: found 2, expected less than or equal",
    ),
    (
        {"labels": {"zero": {"of": "zero", "scal": 1}}},
        "s.toml: labels.zero.scal: unknown key, expected one of of, power",
    ),
    ({"model": {"widht": 3}}, "s.toml: model.widht: unknown key, expected one of width"),
    ({"optional": {"widht": 3}}, "s.toml: optional.widht: unknown key, expected one of width"),
    ({"model": {"width": 0}}, "s.toml: model.width: found 0, expected greater than 0"),
    ({"model": {"width": 13}, "regularizers": {}}, "s.toml: model.width: found 13, expected luck"),
    (
        {"modle": {}},
        "s.toml: modle: unknown key, expected one of title, schedule, data, labels, regularizers, ablation",
    ),
    ({"data": {"cube": "rgb"}}, "s.toml: data.cube: unknown key, expected one of batch"),
    ({"ablation": {"dims": [0, 9]}}, "s.toml: ablation.dims: found [0, 9], expected distinct dimensions from 0 to 3"),
    ({"ablation": {"dims": []}}, "s.toml: ablation.dims: found [], expected at least 1"),
    ({"ablation": {"dims": "all"}}, "s.toml: ablation.dims: found 'all', expected a list"),
    (
        {"ablation": {"kind": "erase"}},
        "s.toml: ablation.kind: found 'erase', expected one of ablate, prune, suppress, ",
    ),
    ({"ablation": {"kind": 1}}, "s.toml: ablation.kind: found 1, expected one of ablate, prune, suppress, repel, "),
    ({"ablation": []}, "s.toml: ablation: found [], expected a table"),
    ({"ablation": {"layer": "bottleneck"}}, "s.toml: ablation.layer: found 'bottleneck', expected one of input, "),
    (
        {"ablation": {"layer": "head", "dims": [0]}},
        "s.toml: ablation.layer: found 'head', for which the model's `around` names no weights, "
        "expected one of encoder, or kind 'suppress'",
    ),
    ({"ablation": {"direction": [1, 0]}}, "s.toml: ablation.direction: unknown key, expected one of layer, dims"),
    (
        {"ablation": {"kind": "suppress", "direction": [1, 0]}},
        "s.toml: ablation.direction: found 2 coordinates, expected 4",
    ),
    ({"schedule": "s.csv"}, "s.toml: schedule: found 's.csv', expected a dopesheet"),
]


@pytest.mark.parametrize(("tables", "message"), WRONG, ids=range(len(WRONG)))
def test_a_bad_document_is_one_located_line(tables: Any, message: Any) -> None:
    with pytest.raises(InputError) as error:
        changed(**tables)
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 300


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([["STEP", "anchor"], ["0", "1"]], "s.csv: found no column lr"),
        (
            [["STEP", "lr", "ankor"], ["0", "1", "1"]],
            "s.csv: row 1, column ankor: found no such term, expected one of lr, a",
        ),
        ([["STEP", "lr"], ["0", "-1"]], "s.csv: column lr: found -1.0, expected 0 or more"),
        ([["STEP", "lr"], ["x", "1"]], "s.csv: row 2, column STEP: found 'x'"),
    ],
)
def test_a_bad_schedule_is_one_located_line(rows: Any, message: Any) -> None:
    with pytest.raises(InputError) as error:
        changed(schedule={"file": "s.csv", "rows": rows})
    assert message in str(error.value)
    assert "\n" not in str(error.value)
