"""What is in the offline W&B run of a real study."""

import json
import struct
from collections.abc import Iterator

from wandb.proto import wandb_internal_pb2

BLOCK, HEADER = 32768, 7


def records(folder) -> Iterator[wandb_internal_pb2.Record]:
    """The run's records, out of W&B's file: a LevelDB log, which is 7 bytes of its own and chunks in 32 KiB blocks."""
    (path,) = folder.path.glob("wandb/offline-run-*/run-*.wandb")
    data, at, parts = path.read_bytes(), HEADER, b""
    assert data.startswith(b":W&B")
    while at < len(data):
        left = BLOCK - at % BLOCK
        if left < HEADER:
            at += left
            continue
        _, length, kind = struct.unpack_from("<IHB", data, at)
        parts += data[at + HEADER : at + HEADER + length]
        at += HEADER + length
        if kind in (1, 4):  # a whole record, or the last part of one
            yield wandb_internal_pb2.Record.FromString(parts)
            parts = b""


def test_every_trial_is_logged_with_the_best_so_far(hue):
    history = [
        {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in record.history.item}
        for record in records(hue)
        if record.HasField("history")
    ]
    logged = [entry for entry in history if "trial" in entry]
    assert sorted(entry["trial"] for entry in logged) == list(range(14))
    assert logged[-1]["best"] == hue.best()["isolation.mean"].item()
    best = [entry["best"] for entry in logged if "best" in entry]  # from the first complete trial on
    assert best == sorted(best)
    assert any("table" in key for entry in history for key in entry)
