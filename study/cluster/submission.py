"""Submitting a study to a cluster by its job API: the code, the space and the command are sent to it."""

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
AGAIN = 2  # seconds to wait before asking for a log again, after its connection was lost


def submit(
    space: Space, address: str, options: list[str], say: Callable[[str], None], log: Callable[[str], None]
) -> int:
    """Run `study run` as a job on a cluster, follow what it prints, and return its exit code.

    Args:
        space: the search space, which is sent to the cluster with its experiment.
        address: the URL of the cluster's Ray dashboard.
        options: the options of `study run`.
        say: called with a line about the job.
        log: called with what the job prints, part by part.

    Raises:
        InputError: if the job API cannot be reached, or refuses the job.
        OSError: if the cluster stops answering while the job runs.
    """
    address = address.rstrip("/")
    check_reachable(address, PORTS, "expected the address of a running Ray dashboard, such as http://host:8265")
    with tempfile.TemporaryDirectory() as folder:
        command = ["python", "-m", "study", "run", *pack(space, Path(folder)), "--address", "auto", *options]
        try:
            client = JobSubmissionClient(address)
            job = client.submit_job(entrypoint=shlex.join(command), runtime_env={"working_dir": folder})
        except (RuntimeError, OSError, ValueError) as error:  # requests' errors are OSErrors
            if "ray[default]" in str(error):
                raise InputError(
                    "study submit: found no ray[default], expected it (install concept-study[cluster])"
                ) from None
            raise InputError(f"--address: found {address}: {reason(error)}") from None
    say(f"submitted as {job} (to stop it: `ray job stop --address {address} {job}`)")
    try:
        asyncio.run(follow(client, job, log))
        details = client.get_job_info(job)
    except (RuntimeError, OSError) as error:
        goes_on = f"the job may still run (`ray job logs --address {address} --follow {job}`)"
        raise OSError(f"{address} stopped answering ({reason(error)}); {goes_on}") from None
    return 0 if details.status == "SUCCEEDED" else details.driver_exit_code or 1


def pack(space: Space, folder: Path) -> list[str]:
    """Copy what a job needs into its folder: our code, the space, and the experiment with its entry point.

    Returns the arguments of `study run` that name the space and its experiment.
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
    metadata = folder / "submitted_experiment.dist-info"  # where Python looks for entry points
    metadata.mkdir()
    version = source.version or "0"
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: submitted-experiment\nVersion: {version}\n")
    (metadata / "entry_points.txt").write_text(f"[{GROUP}]\n{name} = {source.target}\n")
    return [f"submitted/{space.file.name}"]


def _beside_us() -> list[Path]:
    """The packages of installed experiments that lie beside ours: notebooks of analysis/ may import them."""
    return [package for name in names() for package in named(name).packages() if package.parent == PROJECT]


async def follow(client: JobSubmissionClient, job: str, log: Callable[[str], None]) -> None:
    """Pass what a job prints to `log` until the job ends. If the connection is lost, connect again, and repeat nothing.

    Raises RuntimeError or OSError if the cluster does not say whether the job has ended.
    """
    from aiohttp import ClientError  # installed with the extra `cluster`

    logged = 0
    while True:
        sent = 0
        try:
            async for text in client.tail_job_logs(job):  # starts at the beginning of the log
                log(text[max(logged - sent, 0) :])
                sent += len(text)
                logged = max(logged, sent)
        except (RuntimeError, OSError, ClientError):
            pass
        if client.get_job_status(job).is_terminal():
            return
        await asyncio.sleep(AGAIN)
