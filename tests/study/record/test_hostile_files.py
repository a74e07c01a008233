"""Files that are not what they should be are one located line, and nothing waits, allocates or obeys."""

import json
import os
import pickle
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import safetensors.torch
import torch

import study
from anchoring import InputError
from study import cli


def header(text: str, size: int | None = None, data: bytes = b"") -> bytes:
    """A safetensors file: the header's length, the header, the data."""
    return (len(text) if size is None else size).to_bytes(8, "little") + text.encode() + data


WEIGHT = '{"encoder.layers.0.weight": {"dtype": "F32", "shape": %s, "data_offsets": %s}}'
MODELS = {
    "nothing": b"",
    "a pickle": pickle.dumps({"weight": 1}),
    "a header of 2^63 bytes": header("{}", 2**63),
    "no JSON": header("{" * 1000),
    "a huge shape": header(WEIGHT % ("[4, 3, 1000000000000]", "[0, 4]"), data=b"1234"),
    "a shape that overflows": header(WEIGHT % ("[4294967296, 4294967296, 2]", "[0, 4]"), data=b"1234"),
    "offsets beyond the file": header(WEIGHT % ("[1]", "[0, 4000000000]"), data=b"1234"),
    "offsets backwards": header(WEIGHT % ("[1]", "[4, 0]"), data=b"1234"),
    "too little": safetensors.torch.save({"encoder.layers.0.weight": torch.zeros(4, 3, 16)}),
    "another model of that size": safetensors.torch.save({"weight": torch.zeros(4 * 263)}),
}


@pytest.mark.parametrize("content", MODELS.values(), ids=MODELS.keys())
def test_models_that_are_none(copied: Any, content: Any) -> None:
    folder = study.load(copied)
    best = folder.best().trial.item()
    (copied / "models" / f"{best:05d}.safetensors").write_bytes(content)
    with pytest.raises(InputError, match=rf"models/{best:05d}\.safetensors: (not a safetensors|found)"):
        folder.model(best)


def test_a_model_larger_than_its_file_is_not_made(copied: Any) -> None:
    toml = copied / "study.toml"
    toml.write_text(toml.read_text().replace("bottleneck = 4", "bottleneck = 4\nhidden = 100_000_000\ndepth = 100"))
    folder = study.load(copied)
    with pytest.raises(InputError, match=r"expected a model of 1,052 weights"):
        folder.model(folder.best().trial.item())


MANIFESTS = {
    "a list": lambda m: [m],
    "no seeds": lambda m: {**m, "replica_seeds": []},
    "seeds of text": lambda m: {**m, "replica_seeds": ["0", "1"]},
    "a million seeds": lambda m: {**m, "replica_seeds": list(range(1_000_000))},
    "an objective for objectives": lambda m: {**m, "objectives": "isolation"},
    "steps of text": lambda m: {**m, "steps": "300"},
    "a table for a machine": lambda m: {**m, "machine": ["cpu"]},
    "no time": lambda m: {key: value for key, value in m.items() if key != "started"},
    "nothing": lambda m: None,
}  # fmt: skip


@pytest.mark.parametrize("change", MANIFESTS.values(), ids=MANIFESTS.keys())
def test_manifests_of_wrong_types(copied: Any, change: Any) -> None:
    path = copied / "manifest.json"
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    with pytest.raises(InputError, match=r"manifest\.json: .*expected"):
        _ = study.load(copied).seeds()


@pytest.mark.parametrize("key", ["sampler", "cpus", "rungs", "trials"])
def test_a_plan_of_wrong_types(copied: Any, key: Any) -> None:
    path = copied / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), key: "__import__('os')"}))
    with pytest.raises(InputError, match=rf"manifest\.json: {key}: found"):
        study.load(copied).plan()


def test_parameters_out_of_their_ranges(copied: Any) -> None:
    table = pq.read_table(copied / "trials.parquet")
    place = table.column_names.index("param.peak")
    evil = pa.array(["\x1b]0;evil\x07__import__('os')"] * len(table))
    pq.write_table(table.set_column(place, "param.peak", evil), copied / "trials.parquet")
    with pytest.raises(InputError, match=r"trial 0: peak: found .\\x1b\]0;evil"):
        study.load(copied).document(0)


def test_terminals_show_codes_and_do_not_obey_them(
    copied: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    table = pq.read_table(copied / "trials.parquet")
    place = table.column_names.index("reason")
    pq.write_table(
        table.set_column(place, "reason", pa.array(["\x1b]0;evil\x07\x1b[2J[red]x[/red]\u202e"] * len(table))),
        copied / "trials.parquet",
    )
    monkeypatch.setattr("sys.argv", ["study", "show", str(copied), "0"])
    with pytest.raises(SystemExit):
        cli.main()
    said = capsys.readouterr().out
    assert "\x1b" not in said
    assert "\u202e" not in said
    assert r"\x1b]0;evil\x1b[2J[red]x[/red]\u202e" in said.replace("\n", "")


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" + bytes(100) + b"PAR1", pickle.dumps([1])])
def test_tables_that_are_none(copied: Any, content: Any) -> None:
    (copied / "trials.parquet").write_bytes(content)
    with pytest.raises(InputError, match=r"trials\.parquet: damaged"):
        _ = study.load(copied).trials()


def test_a_table_without_columns(copied: Any) -> None:
    pq.write_table(pa.table({"trial": [0]}), copied / "trials.parquet")
    with pytest.raises(InputError, match=r"trials\.parquet: found no column state"):
        _ = study.load(copied).trials()


def test_no_file_is_waited_for(copied: Any) -> None:
    """A pipe in the place of a file would be read for ever."""
    (copied / "optuna.journal").unlink()
    os.mkfifo(copied / "optuna.journal")
    with pytest.raises(InputError, match="neither file nor folder"):
        study.load(copied)
