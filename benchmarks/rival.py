"""JAX as a rival. It is installed in an environment of its own, since this project does not depend on it."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

import numpy as np

from excolor.setting import ColorSetting

HERE = Path(__file__).parent
ENVIRONMENT = HERE.parent / ".venv-jax"
REQUIREMENT = "jax==0.10.2"


@contextmanager
def jax_rate(name: str, setting: ColorSetting) -> Iterator[Callable[[int], float] | None]:
    """A function from a number of replicas to the replica-steps per second of one training, or None without JAX.

    JAX runs in another process, on the cores of this one, and waits there between trainings.
    """
    python = _installed()
    if python is None:
        yield None
        return
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "setting.npz"
        np.savez(file, **_arrays(setting))
        command = [str(python), str(HERE / "jax_step.py"), str(file), name]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            questions, answers = cast(IO[str], process.stdin), cast(IO[str], process.stdout)

            def rate(replicas: int) -> float:
                print(replicas, file=questions, flush=True)
                return json.loads(answers.readline())["replica_steps_per_second"]

            yield rate


def _installed() -> Path | None:
    """The environment's Python, or None if the environment cannot be made. It is made if it is missing."""
    python = ENVIRONMENT / "bin" / "python"
    try:
        if not python.exists():
            subprocess.run([sys.executable, "-m", "venv", ENVIRONMENT], check=True)
        if subprocess.run([python, "-c", "import jax"], capture_output=True, check=False).returncode:
            pip = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check")
            subprocess.run([python, *pip, REQUIREMENT], check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"JAX is left out: {error}", file=sys.stderr)
        return None
    return python


def _arrays(setting: ColorSetting) -> dict[str, Any]:
    """Arrays for `jax_step.trainer`: colours [3, N], their distribution, the labels' probabilities, the schedule."""
    data, cube, table = setting.data.samples(), setting.data.make(), setting.schedule.table()
    weights = setting.weights_in_training(table)
    return {
        "colors": cube.colors.T.numpy(),
        "cumulative": cube.weights.double().cumsum(0).float().numpy(),
        "lr": table["lr"],
        **{f"label.{name}": label.probability(data.attributes[label.of]) for name, label in setting.labels.items()},
        **{f"weight.{name}": weights[:, i] for i, name in enumerate(setting.trained)},
    }
