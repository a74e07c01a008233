"""Studies on a cluster of machines that come and go, for real: nodes in network namespaces, behind a token."""

import asyncio
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from ray.job_submission import JobStatus

import anchoring
import excolor
import study
from anchoring import InputError
from study.cluster.connect import check_reachable, join
from study.cluster.submission import PORTS, follow, submit
from study.search.plan import Plan
from study.space.space import Space
from tests.study.cluster.network import CAN, Network

PROJECT = Path(__file__).parents[3]
STUDY = [sys.executable, "-m", "study"]

apart = pytest.mark.skipif(not CAN, reason="needs root and iproute2, to make network namespaces")


def wait_for(condition: Any, process: Any, seconds: Any = 400) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None
        assert time.monotonic() < end
        time.sleep(0.1)


@pytest.fixture
def network() -> Iterator[Any]:
    with Network() as made:
        yield made


@apart
@pytest.mark.slow
def test_a_study_outlives_a_node_and_uses_one_that_joins(network: Any, spaces: Path, tmp_path: Path) -> None:
    """The workers see neither the study's folder nor our code, one has no compiler, and both are given their own cache."""
    out, log = tmp_path / "runs", tmp_path / "log"
    out.mkdir()
    hidden = [out, *(Path(package.__file__).parent for package in (anchoring, excolor, study))]  # type: ignore[arg-type]

    def worker(name: Any, **environment: Any) -> None:
        network.node(
            name, "--num-cpus=1", hide=hidden, XDG_CACHE_HOME=str(network.folder / f"{name}-cache"), **environment
        )

    def trials_on(name: Any) -> Any:
        return {int(path.name) for path in network.folder.glob(f"{name}/session_2*/artifacts/*/*/working_dirs/*")}

    def compiled_on(name: Any) -> Any:
        return list(network.folder.glob(f"{name}-cache/concept-study/native/*.so"))

    def ended() -> Any:
        return len(list((out / "apart" / "replicas.parquet").glob("*.parquet")))

    network.node("head", "--num-cpus=0", "--include-dashboard=false")
    worker("one")
    worker("two", CXX="no-such-compiler")
    arguments = [
        "run",
        spaces / "hue.toml",
        "--name",
        "apart",
        "--out",
        out,
        "--address",
        "10.77.0.1:6379",
        "--compile",
    ]
    # a trial takes longer than a worker to start: Tune gives a waiting trial to the first worker that is free
    arguments += ["--trials", 24, "--seeds", 7, "--steps", 2000, "--scheduler", "none", "--confirm", 0]
    driver = network.popen("head", [*STUDY, *arguments], log)
    try:
        wait_for(lambda: ended() >= 4 and trials_on("two") and compiled_on("one"), driver)
        network.kill("one")
        before = ended()
        worker("three")
        wait_for(lambda: ended() >= before + 3 and compiled_on("three"), driver)
        assert driver.wait(timeout=600) == 0, log.read_text()
    finally:
        driver.kill()
        driver.wait()
    folder = study.load(out / "apart")
    assert folder.trials().trial.tolist() == list(range(24))
    assert set(folder.trials().state) == {"complete"}
    assert sorted(set(folder.replicas().trial)) == list(range(24))
    assert all(trial.state.is_finished() for trial in folder.optuna().trials)
    assert folder.manifest()["cluster"] == {"address": "10.77.0.1:6379", "nodes": 2, "cpus": 2}
    for name, compiled in {"one": True, "two": False, "three": True}.items():
        assert trials_on(name)
        assert bool(compiled_on(name)) == compiled
    assert "Traceback" not in log.read_text()


@apart
@pytest.mark.slow
def test_nobody_gets_in_without_the_token(network: Any, spaces: Path, tmp_path: Path) -> None:
    network.node("head", "--num-cpus=1", "--include-dashboard=false")
    arguments = ["run", spaces / "hue.toml", "--name", "x", "--out", tmp_path, "--address", "10.77.0.1:6379"]
    for wrong in ({"RAY_AUTH_TOKEN": "f" * 64}, {"RAY_AUTH_MODE": "disabled"}):
        log = tmp_path / "log"
        assert network.popen("head", [*STUDY, *arguments], log, **wrong).wait(timeout=300) == 2
        assert len(log.read_text().splitlines()) == 1
        assert "--address: found 10.77.0.1:6379: Failed to connect" in log.read_text()
        assert "expected the cluster's token" in log.read_text()
        assert not (tmp_path / "x").exists()


def test_an_address_where_nobody_is(
    command: Callable[..., subprocess.CompletedProcess[str]], spaces: Path, tmp_path: Path
) -> None:
    with socket.socket() as nobody:  # bound, and so nobody else's, but it does not listen
        nobody.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{nobody.getsockname()[1]}"
        done = command("run", spaces / "hue.toml", "--name", "x", "--out", tmp_path, "--address", address)
    assert done.returncode == 2
    assert f"--address: nothing listens at {address}" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_a_client_is_told_of_submit() -> None:
    with pytest.raises(InputError, match=r"elsewhere: `study submit`"):
        join("ray://127.0.0.1:10001")


@pytest.mark.parametrize("address", ["http://127.0.0.1:{}", "http://127.0.0.1:{}/", "http://[::1]:{}", "127.0.0.1"])
def test_what_is_no_job_api_is_told_in_one_line(address: Any, spaces: Path) -> None:
    """A server that says no to everything, on IPv4 only."""
    with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        found = address.format(server.server_port)
        with pytest.raises(InputError, match=r"^--address: ") as error:
            submit(Space.read(spaces / "hue.toml"), found, [], print, print)
        server.shutdown()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("address", "port"), [("http://localhost", 80), ("https://localhost/", 443)])
def test_schemes_have_ports(address: Any, port: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []

    def refuse(where: Any, timeout: Any) -> None:
        tried.append(where)
        raise ConnectionRefusedError

    monkeypatch.setattr(socket, "create_connection", refuse)
    with pytest.raises(InputError, match=r"^--address: "):
        check_reachable(address, PORTS, "expected one")
    assert tried == [("localhost", port)]


@pytest.mark.parametrize("address", ["host", "host:", "host:x", "host:99999", "http://host:1", ":6379", "[", ""])
def test_an_address_of_a_ray_has_a_port(address: Any) -> None:
    with pytest.raises(InputError, match="expected host:port"):
        check_reachable(address, {"": None}, "expected host:port")


def test_a_log_whose_connection_is_lost_is_heard_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that loses its connection twice, while the job goes on."""
    monkeypatch.setattr("study.cluster.submission.AGAIN", 0)
    states = [JobStatus.RUNNING, JobStatus.RUNNING, JobStatus.SUCCEEDED]
    logs = ["one ", "one two ", "one two three"]

    class Client:
        async def tail_job_logs(self, job: str) -> Any:
            yield logs[0][:3]
            yield logs.pop(0)[3:]
            if logs:
                raise RuntimeError("closed unexpectedly")

        def get_job_status(self, job: Any) -> Any:
            return states.pop(0)

    logged: list[str] = []
    with ThreadPoolExecutor() as apart:  # from the event loop of the tests' browser
        apart.submit(asyncio.run, follow(Client(), "job", logged.append)).result()  # type: ignore[arg-type]
    assert "".join(logged) == "one two three"
    assert states == []


@pytest.mark.slow
def test_a_ray_of_our_own_is_behind_a_token_whatever_the_environment_says() -> None:
    ask = "from ray._raylet import get_authentication_mode as mode; from study.cluster.connect import cluster\n"
    ask += "with cluster(1):\n    print(mode())"
    environment = {**os.environ, "RAY_AUTH_MODE": "disabled"}
    done = subprocess.run([sys.executable, "-c", ask], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1"]  # AuthenticationMode.TOKEN


@pytest.mark.live
def test_a_worker_has_imported_what_trials_need_before_it_gets_one() -> None:
    ask = """
import ray
from study.cluster.connect import cluster

def imported():
    import sys
    return [name for name in ("torch", "study.search.worker", "excolor.experiment", "this") if name in sys.modules]

for preload in ((), ("excolor.experiment",)):
    with cluster(1, preload=preload):
        print(ray.get(ray.remote(imported).remote()))
"""
    done = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True)
    ours, with_the_experiment = done.stdout.splitlines()
    assert ours == "['torch', 'study.search.worker']"
    assert with_the_experiment == "['torch', 'study.search.worker', 'excolor.experiment']"


def test_at_once() -> None:
    assert Plan(cpus=3).at_once == 3
    assert Plan(cpus=3, address="auto").at_once == 3
    assert Plan(address="auto").at_once is None
    assert Plan().at_once == Plan().workers


@apart
@pytest.mark.slow
def test_a_submitted_study_comes_back(
    network: Any, spaces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a job API behind a token, to a file:// URL, that being storage which head and client share."""
    pytest.importorskip("opentelemetry.exporter.prometheus", reason="needs ray[default], of the extra cluster")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    network.node("head", "--num-cpus=2", "--include-dashboard=true", XDG_CACHE_HOME=str(network.folder / "cache"))
    log, url = tmp_path / "log", (tmp_path / "bucket").as_uri()
    submit = [*STUDY, "submit", spaces / "hue.toml", "--address", "http://127.0.0.1:8265", "--out", url]
    options = ["--name", "sent", "--trials", 4, "--seeds", 2, "--steps", 60, "--confirm", 0]
    assert network.popen("head", [*submit, *options], log).wait(timeout=500) == 0, log.read_text()
    assert "4/4 trials" in log.read_text()
    assert len(study.load(f"{url}/sent").trials()) == 4
    assert network.popen("head", [*submit, *options[:-1], "none"], log).wait(timeout=300) == 2
    assert "--confirm" in log.read_text()


@apart
@pytest.mark.slow
def test_the_slurm_script_runs(network: Any, spaces: Path, tmp_path: Path) -> None:
    """With two namespaces for nodes, and for `srun` a script that runs its command in the other one."""
    network.host("head")
    network.host("other")
    srun = tmp_path / "srun"
    flags = "--nodes=1 --ntasks=1 --cpus-per-task=1 --exclude=head"
    srun.write_text(
        f'#!/bin/sh\n[ "$1 $2 $3 $4" = "{flags}" ] || exit 1\nshift 4\n'
        f'exec ip netns exec {network.hosts["other"]} "$@"\n'
    )
    srun.chmod(0o755)
    slurm = {"SLURM_CPUS_PER_TASK": "1", "SLURM_NNODES": "2", "SLURMD_NODENAME": "head"}
    slurm |= {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    slurm |= {"RAY_TMPDIR": str(network.folder / "ray"), "RAY_AUTH_TOKEN_PATH": "", "PYTHONPATH": str(PROJECT)}
    log = tmp_path / "log"
    options = ["--name", "job", "--trials", 8, "--seeds", 2, "--steps", 60, "--confirm", 0, "--out", tmp_path]
    script = ["bash", "clusters/slurm.sh", spaces / "hue.toml", *options]
    assert network.popen("head", script, log, cwd=PROJECT, **slurm).wait(timeout=500) == 0, log.read_text()
    assert len(study.load(tmp_path / "job").trials()) == 8
    assert "10.77.0.1:6379" in (tmp_path / "job" / "manifest.json").read_text()


def test_the_experiment_can_be_imported_where_only_its_package_is(tmp_path: Path) -> None:
    """A node to which a checkout's packages were sent has no folders beside them."""
    shutil.copytree(PROJECT / "excolor", tmp_path / "excolor")
    script = "import excolor.experiment; print(excolor.experiment.__file__)"
    environment = os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{PROJECT}"}
    done = subprocess.run(
        [sys.executable, "-P", "-c", script], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith(str(tmp_path))
