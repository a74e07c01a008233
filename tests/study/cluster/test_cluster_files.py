"""The files for a cluster from nothing: right by their own tools' checks, with authentication on."""

import os
import shutil
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

from study import __version__

CLUSTERS = Path(__file__).parents[3] / "clusters"
IMAGE = f"REGISTRY/concept-study:{__version__.partition('.dev')[0]}"


def read(name: Any) -> Any:
    return yaml.safe_load((CLUSTERS / name).read_text())


def test_ray_takes_the_launchers_file() -> None:
    config = prepare_config(read("aws.yaml"))
    validate_config(config)
    assert config["docker"]["image"] == IMAGE
    starts = [*config["head_start_ray_commands"], *config["worker_start_ray_commands"]]
    assert [start.startswith("RAY_AUTH_MODE=token ") for start in starts if "ray start" in start] == [True, True]
    assert config["file_mounts"] == {"/home/ray/.ray/auth_token": "~/.ray/auth_token"}


def test_kuberay_has_what_it_requires() -> None:
    job = read("kuberay.yaml")
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    cluster = job["spec"]["rayClusterSpec"]
    assert cluster["rayVersion"] == version("ray")
    assert cluster["authOptions"] == {"mode": "token"}
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        assert all(isinstance(value, str) for value in group["rayStartParams"].values())
        (container,) = group["template"]["spec"]["containers"]
        assert container["image"] == IMAGE
    assert f"rayproject/ray:{version('ray')}-" in (CLUSTERS / "Dockerfile").read_text()


@pytest.mark.parametrize("nodes", [1, 4])
def test_the_slurm_script_starts_a_worker_on_each_other_node(nodes: Any, tmp_path: Path) -> None:
    """With scripts for srun, ray and study that say what they were asked."""
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "activate").touch()
    for name in ("srun", "ray", "study", "hostname"):
        (tmp_path / name).write_text(f'#!/bin/sh\necho 10.0.0.1\necho {name} "$*" >> {tmp_path}/log\n')
        (tmp_path / name).chmod(0o755)
    with (tmp_path / "study").open("a") as file:  # the script kills the workers when the study ends
        file.write(f'[ "$SLURM_NNODES" = 1 ] || until grep -q "^srun" {tmp_path}/log; do sleep 0.1; done\n')
    slurm = {"SLURM_NNODES": str(nodes), "SLURM_CPUS_PER_TASK": "16", "SLURMD_NODENAME": "node-1"}
    environment = {**os.environ, **slurm, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    script = ["bash", CLUSTERS / "slurm.sh", "a space.toml"]
    subprocess.run(script, env=environment, cwd=tmp_path, timeout=60, check=False)  # type: ignore[arg-type]
    log = (tmp_path / "log").read_text().splitlines()
    assert "study run a space.toml --address 10.0.0.1:6379" in log
    flags = "--nodes=3 --ntasks=3 --cpus-per-task=16 --exclude=node-1"
    workers = [f"srun {flags} ray start --address=10.0.0.1:6379 --num-cpus=16 --block"]
    assert [line for line in log if line.startswith("srun")] == (workers if nodes == 4 else [])


@pytest.mark.parametrize("check", [["bash", "-n"], ["shellcheck", "--exclude=SC1091"]], ids=lambda check: check[0])
def test_the_slurm_script_is_sound(check: Any) -> None:
    if not shutil.which(check[0]):
        pytest.skip(f"needs {check[0]}")
    done = subprocess.run([*check, CLUSTERS / "slurm.sh"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "RAY_AUTH_MODE=token" in (CLUSTERS / "slurm.sh").read_text()
