"""Submitting a study to a cluster that is reached by its job API only: the code, the space and the command travel."""

from __future__ import annotations

import asyncio
import shlex
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from ray.job_submission import JobSubmissionClient

from anchoring.errors import InputError, reason
from study.cluster.connect import check_reachable
from study.registry import DEFAULT, GROUP, named, names
from study.space.space import Space

PROJECT = Path(__file__).parents[2]
PARTS = ("anchoring", "study", "analysis", "search_spaces")
PORTS = {"http": 80, "https": 443}
AGAIN = 2  # seconds, until a log whose connection was lost is asked for again


def submit(
    space: Space, address: str, options: list[str], say: Callable[[str], None], log: Callable[[str], None]
) -> int:
    """Run a study there with these options of `study run`, hear what it prints, and return its exit code.

    Raises InputError if the cluster's job API cannot be reached or refuses, OSError if it answers no more later on.
    """
    address = address.rstrip("/")
    check_reachable(address, PORTS, "expected the address of a Ray dashboard that runs, such as http://host:8265")
    with tempfile.TemporaryDirectory() as folder:
        command = ["python", "-m", "study", "run", *pack(space, Path(folder)), "--address", "auto", *options]
        try:
            client = JobSubmissionClient(address)
            job = client.submit_job(entrypoint=shlex.join(command), runtime_env={"working_dir": folder})
        except (RuntimeError, OSError, ValueError) as error:  # requests' errors are OSErrors
            if "ray[default]" in str(error):
                raise InputError(
                    "study submit: found no ray[default], expected the extra concept-study[cluster]"
                ) from None
            raise InputError(f"--address: found {address}: {reason(error)}") from None
    say(f"submitted: `ray job stop --address {address} {job}` stops it, and `ray job logs` shows what it prints")
    try:
        asyncio.run(follow(client, job, log))
        details = client.get_job_info(job)
    except (RuntimeError, OSError) as error:
        goes_on = f"the job goes on: `ray job logs --address {address} --follow {job}`"
        raise OSError(f"{address} answers no more ({reason(error)}); {goes_on}") from None
    return 0 if details.status == "SUCCEEDED" else details.driver_exit_code or 1


def pack(space: Space, folder: Path) -> list[str]:
    """Copy into a job's folder what it needs: our code, the space, and its experiment, which is found there, too.

    Returns what `study run` is to be told of the space and its experiment.
    """
    source = space.source
    paths = {PROJECT / part for part in PARTS} | {*source.packages(), *_beside_us()}
    for path in (path for path in paths if path.exists()):
        if path.is_dir():
            shutil.copytree(path, folder / path.name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(path, folder)
    there = folder / "submitted"
    there.mkdir()
    for file in (space.file, Path(space.template["schedule"]["file"])):
        shutil.copy(file, there)
    if source.file:
        file = there / Path(source.file).name
        file.write_text(source.text, encoding="utf-8")
        return [f"submitted/{space.file.name}", "--experiment", f"submitted/{file.name}"]
    name = space.template.get("experiment", DEFAULT)
    metadata = folder / "submitted_experiment.dist-info"  # by which Python finds the entry point
    metadata.mkdir()
    version = source.version or "0"
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: submitted-experiment\nVersion: {version}\n")
    (metadata / "entry_points.txt").write_text(f"[{GROUP}]\n{name} = {source.target}\n")
    return [f"submitted/{space.file.name}"]


def _beside_us() -> list[Path]:
    """The packages of installed experiments that lie beside ours, which the report's notebooks may show."""
    return [package for name in names() for package in named(name).packages() if package.parent == PROJECT]


async def follow(client: JobSubmissionClient, job: str, log: Callable[[str], None]) -> None:
    """Hear what a job prints until it ends, each part once, whenever the connection is lost.

    Raises RuntimeError or OSError if the cluster does not say whether it has ended.
    """
    from aiohttp import ClientError  # of the extra cluster, as all of the client that works

    logged = 0
    while True:
        sent = 0
        try:
            async for text in client.tail_job_logs(job):  # from the log's beginning
                log(text[max(logged - sent, 0) :])
                sent += len(text)
                logged = max(logged, sent)
        except (RuntimeError, OSError, ClientError):
            pass
        if client.get_job_status(job).is_terminal():
            return
        await asyncio.sleep(AGAIN)
