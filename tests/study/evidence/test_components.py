"""What seed noise is made of: known variances are found again, and seeds with parts of others are what they say."""

import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import study
from anchoring import InputError
from anchoring.replicas import Draws, Replicas
from anchoring.sampling import Apart
from excolor.experiment import experiment
from study.evidence.components import FAILED, REST, _variances, components, design, factors_of
from study.experiment import Metric
from study.search.goal import Goal
from study.space.space import Space
from tests.conftest import SPACES
from tests.study.conftest import EXPERIMENTS


@pytest.mark.parametrize("sds", [(2.0, 1.0, 0.5), (0.0, 1.0, 3.0), (2.0, 1.0, 0.5, 0.5)])
def test_known_variances_are_found_again(sds: tuple[float, ...]) -> None:
    rng, *_ = np.random.default_rng(0).spawn(1)
    factors, found = len(sds) - 1, []
    for _ in range(400):
        shape = (9,) * factors
        cube = rng.normal(0, sds[-1], shape)
        for axis, sd in enumerate(sds[:-1]):
            cube = cube + rng.normal(0, sd, 9).reshape([-1 if axis == other else 1 for other in range(factors)])
        found.append(_variances(cube))
    assert np.mean(found, axis=0) == pytest.approx(np.square(sds), rel=0.12, abs=0.3)  # estimates are cut at 0


def varied(levels: int, value: Any) -> pd.DataFrame:
    table = pd.DataFrame(design(factors_of("init,data+labels"), levels, 100))
    return table.assign(diverged=False, depth=value(table))


GOAL = Goal({"depth": Metric("how deep", diverged=0.0, failure=0.5), "same": Metric("always the same", diverged=0.0)})


def test_failures_follow_what_they_follow() -> None:
    rows = varied(12, lambda table: np.where(table.data % 4 == 0, 0.2, 0.9) + 1e-3 * (table.init - 105))
    found = components(rows.assign(same=1.0), factors_of("init,data+labels"), GOAL).set_index(["metric", "factor"])
    assert set(found.index.get_level_values("metric")) == {"depth", FAILED}
    for metric in ("depth", FAILED):
        assert found.share[metric, "data+labels"] > 0.99
        assert found.share[metric].sum() == pytest.approx(1)
    assert (found.low <= found.share + 1e-9).all()
    assert (found.share <= found.high + 1e-9).all()


def test_what_only_combinations_decide_is_called_that() -> None:
    rows = varied(16, lambda table: np.random.default_rng(0).random(len(table)))
    found = components(rows, factors_of("init,data+labels"), GOAL).set_index(["metric", "factor"])
    assert found.share["depth", REST] > 0.9


@pytest.mark.parametrize(
    "text", ["init", "init,data", "init+data+labels", "init,data,labels,init", "init,seed,labels", ""]
)
def test_each_part_is_named_once(text: str) -> None:
    with pytest.raises(InputError, match="--vary: found"):
        factors_of(text)


def test_a_seed_apart_has_the_weights_samples_and_labels_of_three_seeds() -> None:
    setting = Space.read(SPACES / "subspace-ablation.toml").setting()
    seed: Any = experiment.apart(7, init=1, data=2, labels=3)
    assert pickle.loads(pickle.dumps(seed)) == 7
    assert vars(pickle.loads(pickle.dumps(seed))) == {"init": 1, "data": 2, "labels": 3}

    def made(seed: int) -> tuple[Any, list[torch.Tensor]]:
        weights = experiment.model(setting, [seed]).state_dict()
        drawn = Draws(experiment.data(setting), setting.labels, [seed], 64).next(100)
        return weights, drawn

    weights, drawn = made(seed)
    own = {number: made(number) for number in (1, 2, 3)}
    labels = len(setting.labels)
    for name, value in weights.items():
        assert torch.equal(value, own[1][0][name])
    assert all(torch.equal(a, b) for a, b in zip(drawn[:-labels], own[2][1][:-labels], strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(drawn[-labels:], own[2][1][-labels:], strict=True))
    _, other = made(Apart(8, init=1, data=2, labels=4))
    assert not torch.equal(drawn[-1], other[-1])
    whole, same = made(2), made(Apart(9, init=2, data=2, labels=2))
    assert all(torch.equal(a, b) for a, b in zip(whole[1], same[1], strict=True))
    assert isinstance(experiment.model(setting, [seed]), Replicas)


def test_native_and_eager_draws_of_seeds_apart_are_the_same() -> None:
    setting = Space.read(SPACES / "subspace-ablation.toml").setting()
    for seeds in ([Apart(0, 1, 2, 2), Apart(1, 2, 1, 1)], [Apart(0, 1, 2, 3), 4]):
        eager, native = (
            Draws(experiment.data(setting), setting.labels, seeds, 32, compiled).next(4) for compiled in (False, True)
        )
        assert all(torch.equal(a, b) for a, b in zip(eager, native, strict=True))


@pytest.mark.live
def test_parts_of_seeds_are_varied_and_reported(command: Callable[..., Any], tmp_path: Path) -> None:
    setting = SPACES / "subspace-ablation.toml"
    asked = ("--vary", "init,data+labels", "--levels", 3, "--seeds", 2, "--steps", 60, "--cpus", 1)
    done = command("vary", setting, *asked, "--out", tmp_path, "--name", "parts")
    assert done.returncode == 0, done.stderr
    folder = study.load(tmp_path / "parts")
    rows = folder.varied()
    assert len(rows) == 9
    assert (rows.data == rows.labels).all()
    alike, final = rows[rows.init == rows.data], folder.final(0)
    same = dict(zip(alike.init, alike.isolation, strict=True))
    assert [same[seed] for seed in final.seed] == pytest.approx(final.isolation.tolist(), abs=1e-4)
    assert "Seed noise of parts, 3 x 3 combinations" in done.stdout
    assert "follows" in (folder.path / "variance.html").read_text()


def test_what_cannot_be_varied(workplace: Path, say: Any) -> None:
    shutil.copytree(EXPERIMENTS, workplace, dirs_exist_ok=True)
    own = ("bowl-slow.toml", "--experiment", "bowl.py")
    for arguments, said in (
        (("--vary", "init"), "--vary: found 'init', expected init, data, labels"),
        (("--levels", "100"), "--levels: found 100, expected 2 to 21 for 3 factors"),
        ((), "experiment bowl has no method `apart`"),
    ):
        output, code = say("vary", *own, *arguments)
        assert (code, said in output, output.count("\n")) == (2, True, 1)
    assert not (workplace / "runs").exists()
