"""The two tiers of tests, and the golden studies that most of them read."""

import json
import re
import socket
import subprocess
import sys
from typing import Any

import pyarrow.parquet as pq
import pytest

import study
from tests.conftest import GOLDEN, NOWHERE, SECRETS

STUDIES = sorted(path.parent.name for path in GOLDEN.glob("*/manifest.json"))


def test_a_unit_test_that_starts_a_ray_fails() -> None:
    """In a process of its own, too, as `study run` would be."""
    start = "import ray; ray.init(address='local', include_dashboard=False)"
    done = subprocess.run([sys.executable, "-c", start], capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 1
    assert NOWHERE in done.stderr.splitlines()[-1]


def text_of(path: Any) -> Any:
    """What a file says, also if it is compressed."""
    if path.suffix == ".parquet":
        table = pq.read_table(path)
        return f"{table.schema.metadata}{table.to_pydict()}"
    content = path.read_bytes()
    if path.suffix == ".safetensors":  # the length of its header, the header, numbers
        content = content[8 : 8 + int.from_bytes(content[:8], "little")]
    return content.decode()


def test_golden_studies_name_no_machine_and_hold_no_secret() -> None:
    files = [path for path in GOLDEN.rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")]
    assert len(files) > 40
    said = {path: text_of(path) for path in files}
    for word in (*SECRETS.values(), socket.gethostname(), "/tmp", "/home", "/root", "/Users", str(GOLDEN.parents[1])):
        whole = re.compile(rf"(?<!\w){re.escape(word)}(?!\w)")
        assert not [path for path, text in said.items() if whole.search(text)], word
    assert not list(GOLDEN.rglob(".lock"))
    for name in STUDIES:
        manifest = json.loads(said[GOLDEN / name / "manifest.json"])
        assert manifest["machine"] == {"python": "3", "system": "Linux", "cpus": 1}
        assert not [word for word in manifest["command"] if word.startswith("/")]


def test_golden_studies_are_small() -> None:
    assert STUDIES == ["bowl", "hue", "objectives", "outcomes"]
    assert sum(path.stat().st_size for path in GOLDEN.rglob("*") if path.is_file()) < 1_000_000


@pytest.mark.parametrize("name", ["hue", "outcomes", "objectives"])
def test_golden_studies_show_what_readers_need(name: Any, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue(name)
    states = set(folder.trials().state)
    assert states >= ({"complete", "stopped", "diverged", "failed"} if name == "outcomes" else {"complete", "stopped"})
    if name == "hue":
        assert folder.trials().audited.any()
        assert len(folder.confirmation()) == 64 * 4
        assert len(folder.leave_one_out()) == 64 * 6
    assert isinstance(folder, study.StudyFolder)
