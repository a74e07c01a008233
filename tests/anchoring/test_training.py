"""Each replica of the colour experiment sees, computes and measures the same, alone and among others."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from torch.testing import assert_close

from anchoring.dopesheet import Dopesheet
from anchoring.labels import Label
from anchoring.terms import Unitarity
from anchoring.training import Training, rung_steps, train
from excolor.experiment import experiment
from excolor.models import ModelConfig
from tests.excolor.twin import torch_twin


def test_a_replica_is_the_same_alone_and_among_many(short: Any) -> None:
    """Seed 7's model, trained alone and among 64: the same weights to float32 rounding."""
    alone, alone_rungs = train(experiment, short, [7], rungs=2)
    among, among_rungs = train(experiment, short, range(64), rungs=2)
    for a, b in zip(alone.parameters(), among.parameters(), strict=True):
        assert_close(a[0], b[7], rtol=1e-4, atol=1e-5)
        assert not torch.allclose(a[0], b[8], atol=1e-2)  # while another seed's are others
    for one, other in zip(alone_rungs, among_rungs, strict=True):
        assert one.metrics["isolation"][0].item() == pytest.approx(other.metrics["isolation"][7].item(), abs=1e-4)


def test_the_replicated_step_is_that_of_ordinary_pytorch(short: Any) -> None:
    """Ten steps of one replica, by a plain model, plain losses and a plain Adam."""
    training = Training(experiment, short, [3], rungs=1)
    twin = torch_twin(training.model, 0)
    adam = torch.optim.Adam(twin.parameters())
    segment = next(training.segments())
    table = short.schedule.table()
    for step in range(10):
        x, *labels = (part[step, 0] for part in segment.batch)
        named = dict(zip(short.labels, labels, strict=True))
        z = twin[0](x)
        loss = (twin[1](z) - x).square().mean()
        unit = z / z.norm(dim=1, keepdim=True)
        cosines = unit @ unit.T
        cosines = cosines.masked_fill((cosines - 1).abs() < 1e-5, 0)
        loss += table["separate"][step] * cosines.pow(10).sum(1).mean()
        loss += table["norm"][step] * (z.norm(dim=1) - 1).square().mean()
        for name, label, losses in (
            ("planar", "vibrant", z[:, 2:].square().sum(1)),
            ("norm-v", "vibrant", (z.norm(dim=1) - 1).square()),
            ("polar", "red", (z - torch.tensor([1.0, 0, 0, 0])).square().sum(1)),
        ):
            loss += table[name][step] * (losses * named[label]).sum() / (named[label].sum() + 1e-8)
        adam.param_groups[0]["lr"] = table["lr"][step]
        adam.zero_grad()
        loss.backward()
        adam.step()
    training.advance(replace(segment, batch=[part[:10] for part in segment.batch]))
    ours = torch_twin(training.model, 0)
    for a, b in zip(ours.parameters(), twin.parameters(), strict=True):
        assert_close(a, b, rtol=1e-4, atol=1e-6)


def test_a_diverged_replica_leaves_the_others_alone(short: Any) -> None:
    healthy, _ = train(experiment, short, [0, 2], rungs=2)

    class Break(Callback):
        def on_train_start(self, trainer: Any, training: Any) -> None:
            with torch.no_grad():
                training.model.stacked.encoder[0].weight[1] = torch.inf

    broken, rungs = train(experiment, short, [0, 1, 2], rungs=2, callbacks=[Break()])
    assert rungs[-1].diverged.tolist() == [False, True, False]
    for a, b in zip(healthy.parameters(), broken.parameters(), strict=True):
        assert_close(a, b[[0, 2]], rtol=1e-4, atol=1e-5)
    assert broken.finite().tolist() == [True, False, True]


def test_a_replica_that_is_infinite_where_it_does_not_show_has_diverged(short: Any) -> None:
    """A sigmoid hides an infinite bias."""

    class Break(Callback):
        def on_train_batch_end(self, trainer: Any, training: Any, outputs: Any, segment: Any, batch_idx: Any) -> None:
            with torch.no_grad():
                training.model.stacked.decoder[2].bias[1] = torch.inf

    _, rungs = train(experiment, short, [0, 1], rungs=2, callbacks=[Break()])
    assert rungs[0].diverged.tolist() == [False, True]
    assert rungs[0].metrics["isolation"][1] == 0


def test_a_learning_rate_beyond_reason_is_recorded_as_diverged(short: Any) -> None:
    wild = short.model_copy(update={"schedule": Dopesheet.parse([["STEP", "lr"], ["0", "1e38"], ["20", "1e38"]])})
    _, rungs = train(experiment, wild, [0, 1], rungs=1)
    assert rungs[-1].diverged.tolist() == [True, True]
    assert rungs[-1].metrics["isolation"].tolist() == [0, 0]


def test_training_touches_no_global_random_state(short: Any) -> None:
    torch.manual_seed(5)
    np.random.seed(5)
    expected = torch.rand(1).item(), np.random.rand()
    torch.manual_seed(5)
    np.random.seed(5)
    train(experiment, short, [0], rungs=1)
    assert (torch.rand(1).item(), np.random.rand()) == expected


def test_rungs_do_not_change_the_training(short: Any) -> None:
    few, _ = train(experiment, short, [0, 1], rungs=1)
    many, rungs = train(experiment, short, [0, 1], rungs=7)
    assert len(rungs) == 7
    for a, b in zip(few.parameters(), many.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize(("steps", "rungs"), [(2001, 10), (7, 10), (1, 3), (100, 1)])
def test_rungs_are_even_and_end_at_the_end(steps: Any, rungs: Any) -> None:
    at = rung_steps(steps, rungs)
    assert at[-1] == steps
    assert len(at) == min(steps, rungs)
    gaps = np.diff([0, *at])
    assert gaps.min() >= 1
    assert gaps.max() - gaps.min() <= 1


def test_lightnings_checkpoints_hold_the_replicas_of_each_segment(short: Any, tmp_path: Path) -> None:
    checkpoints = ModelCheckpoint(tmp_path, filename="{step}", every_n_train_steps=1, save_top_k=-1)
    model, rungs = train(experiment, short, [0, 1], rungs=3, callbacks=[checkpoints], enable_checkpointing=True)
    files = sorted(tmp_path.glob("*.ckpt"), key=lambda path: path.stat().st_mtime_ns)
    assert len(files) == len(rungs) == 3
    training = Training(experiment, short, [0, 1], rungs=3)
    state = torch.load(files[-1], weights_only=False)["state_dict"]
    training.load_state_dict(state)
    natural = {f"model.{name}" for name, _ in ModelConfig().make().named_parameters()}
    assert set(state) == {"moments", "labelled"} | natural
    for a, b in zip(model.parameters(), training.model.parameters(), strict=True):
        assert torch.equal(a, b)
    assert training.moments.abs().sum() > 0


def test_callbacks_see_phases_and_actions_and_can_retarget(subspace_ablation: Any) -> None:
    rows = [
        ["STEP", "PHASE", "ACTION", "lr"],
        ["0", "A", "", "0.01"],
        ["5", "", "save, look", "0.01"],
        ["12", "B", "", "0.01"],
    ]
    setting = subspace_ablation.model_copy(update={"regularizers": {}, "schedule": Dopesheet.parse(rows)})
    seen = []

    class Watch(Callback):
        def on_train_batch_start(self, trainer: Any, training: Any, segment: Any, batch_idx: Any) -> None:
            seen.append((segment.start, segment.phase, segment.actions))
            if segment.actions:
                training.retarget("lr", 0.02, 4, now=segment.start)
                seen.append(training._table["lr"][5:10].tolist())

    train(experiment, setting, [0], rungs=2, callbacks=[Watch()])
    starts = [entry for entry in seen if isinstance(entry, tuple)]
    assert starts == [(0, "A", ()), (5, "A", ("save", "look")), (6, "A", ())]
    assert len(setting.schedule) == 13
    moved = next(entry for entry in seen if isinstance(entry, list))
    assert moved[0] == pytest.approx(0.01)
    assert moved[-1] == pytest.approx(0.02)
    assert moved == sorted(moved)  # type: ignore[comparison-overlap]


def test_labelled_samples_are_counted(short: Any) -> None:
    labels = {"any": Label(of="desaturation", power=1e-9), "unused": Label(of="vibrancy")}
    term = Unitarity(labels={"any": 1.0})
    setting = short.model_copy(update={"labels": labels, "regularizers": {"norm": term}})
    soft = setting.model_copy(update={"labels": {"any": Label(of="desaturation", power=1e-9, scale=0.25, soft=True)}})
    _, rungs = train(experiment, setting, [0, 1], rungs=2)
    whole = rungs[-1].steps * short.data.batch
    assert rungs[-1].metrics["labelled"].tolist() == pytest.approx([whole, whole], rel=0.05)
    assert rungs[0].metrics["labelled"][0] < rungs[1].metrics["labelled"][0]
    _, softly = train(experiment, soft, [0, 1], rungs=1)
    assert softly[-1].metrics["labelled"].tolist() == pytest.approx([whole / 4] * 2, rel=0.05)


@pytest.mark.live
def test_the_papers_distribution_is_reproduced(load: Any, spaces: Path) -> None:
    """vibrancy_r2 of the paper's hue deletion: mean 0.825, sd 0.053 over 60 seeds; 102 +- 10 labelled samples.

    With 24 seeds the standard error of the mean is 0.011, of the two means' difference 0.013: three of those are
    allowed. `study train search_spaces/hue-deletion.toml --seeds 60` is held to 0.02.
    """
    _, rungs = train(experiment, load(spaces / "hue-deletion.toml"), range(24), rungs=1, compiled=True)
    metrics = rungs[-1].metrics
    assert metrics["vibrancy_r2"].mean().item() == pytest.approx(0.825, abs=0.04)
    assert 0.03 < metrics["vibrancy_r2"].std().item() < 0.09
    assert metrics["labelled"].mean().item() == pytest.approx(102, abs=3 * 10 / 24**0.5)
    assert rungs[-1].steps * 64 == 96_064
