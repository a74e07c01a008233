"""Submitting a study to a cluster that is reached by its job API only: the code, the space and the command travel."""

from __future__ import annotations

import asyncio
import shlex
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from ray.job_submission import JobSubmissionClient

from excolor import InputError
from study.cluster import knock
from study.space import Space

PROJECT = Path(__file__).parent.parent
PARTS = ("excolor", "study", "analysis", "search_spaces")


def submit(
    space: Space, address: str, options: list[str], say: Callable[[str], None], log: Callable[[str], None]
) -> int:
    """Run a study there with these options of `study run`, hear what it prints, and return its exit code.

    Raises InputError if the cluster's job API cannot be reached.
    """
    knock(address, "http://", "expected the address of a Ray dashboard that runs")
    try:
        client = JobSubmissionClient(address)
    except (ConnectionError, RuntimeError) as error:
        if "ray[default]" in str(error):
            raise InputError("study submit: found no ray[default], expected the extra hue-study[cluster]") from None
        raise InputError(f"--address: found {address}: {str(error).strip().splitlines()[0]}") from None
    with tempfile.TemporaryDirectory() as folder:
        for part in PARTS:
            shutil.copytree(PROJECT / part, Path(folder, part), ignore=shutil.ignore_patterns("__pycache__"))
        there = Path(folder, "submitted")
        there.mkdir()
        for file in (space.file, Path(space.template["schedule"]["file"])):
            shutil.copy(file, there)
        command = ["python", "-m", "study", "run", f"submitted/{space.file.name}", "--address", "auto", *options]
        job = client.submit_job(entrypoint=shlex.join(command), runtime_env={"working_dir": folder})
    say(f"submitted: `ray job stop --address {address} {job}` stops it, and `ray job logs` shows what it prints")
    asyncio.run(_follow(client, job, log))
    details = client.get_job_info(job)
    return 0 if details.status == "SUCCEEDED" else details.driver_exit_code or 1


async def _follow(client: JobSubmissionClient, job: str, log: Callable[[str], None]) -> None:
    async for lines in client.tail_job_logs(job):
        log(lines)
