"""The event files of a real study, read back."""

import struct
from collections.abc import Iterator
from typing import Any

import pytest
from tensorboardX.crc32c import crc32c
from tensorboardX.proto.event_pb2 import Event
from tensorboardX.proto.plugin_hparams_pb2 import HParamsPluginData

from study.record.tables import metric_means


def events(path: Any) -> Iterator[Any]:
    """A file of TFRecords: length, its masked checksum, the event, its masked checksum."""
    data, at = path.read_bytes(), 0
    while at < len(data):
        (length,) = struct.unpack_from("<Q", data, at)
        for part, start in ((data[at : at + 8], at + 8), (data[at + 12 : at + 12 + length], at + 12 + length)):
            value = crc32c(part)
            masked = ((value >> 15 | value << 17) + 0xA282EAD8) & 0xFFFFFFFF
            assert struct.unpack_from("<I", data, start) == (masked,)
        yield Event.FromString(data[at + 12 : at + 12 + length])
        at += length + 16


def test_each_trial_has_its_curves_and_its_parameters(live: Any) -> None:
    folder, _ = live
    assert sorted(path.name for path in (folder.path / "tensorboard").iterdir()) == [f"{n:05d}" for n in range(24)]
    for trial in range(24):
        (path,) = (folder.path / "tensorboard" / f"{trial:05d}").iterdir()
        curves: dict[str, Any] = {}
        parameters: dict[str, Any] = {}
        for event in events(path):
            for value in event.summary.value:
                if value.HasField("metadata"):
                    plugin = HParamsPluginData.FromString(value.metadata.plugin_data.content)
                    parameters |= plugin.session_start_info.hparams
                else:
                    curves.setdefault(event.step, {})[value.tag] = value.simple_value
        rungs = folder.replicas()[folder.replicas().trial == trial].groupby("step")
        assert list(curves) == list(rungs.groups)
        for step, rows in rungs:
            assert curves[step] == pytest.approx(metric_means(rows), rel=1e-6, nan_ok=True)
        params = {name: getattr(value, value.WhichOneof("kind")) for name, value in parameters.items()}
        assert params == pytest.approx(folder.parameters(trial))
