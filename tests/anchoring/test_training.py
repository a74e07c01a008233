"""Each replica of the colour experiment sees, computes and measures the same, alone and among others."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from torch import nn
from torch.testing import assert_close

from anchoring.ablation import Ablate
from anchoring.data import Data
from anchoring.dopesheet import Dopesheet, rescale
from anchoring.labels import Label
from anchoring.layers import Edited, activations
from anchoring.replicas import Draws, Replicas
from anchoring.sampling import Sampler, Stream
from anchoring.terms import Fallback, Seen, Unitarity
from anchoring.training import Training, rung_steps, train
from excolor import colors
from excolor.experiment import experiment
from excolor.models import ModelConfig
from excolor.setting import data_of


@pytest.fixture(scope="module")
def subspace_ablation(load, spaces):
    return load(spaces / "subspace-ablation.toml")


@pytest.fixture(scope="module")
def short(subspace_ablation):
    """Subspace ablation, 120 steps of it."""
    schedule = Dopesheet.parse(rescale(subspace_ablation.schedule.text, 120))
    return subspace_ablation.model_copy(update={"schedule": schedule})


def replicas_of(seeds, **config) -> Replicas:
    return Replicas(ModelConfig(**config).make, seeds)


def torch_twin(model: Replicas, replica: int) -> nn.Sequential:
    """One replica as another PyTorch model."""
    twins = []
    for name in ("encoder.0", "encoder.2", "decoder.0", "decoder.2"):
        weight, bias = (model.state_dict()[f"{name}.{which}"][replica] for which in ("weight", "bias"))
        twin = nn.Linear(*weight.T.shape)
        twin.weight.data, twin.bias.data = weight.clone(), bias.clone()
        twins.append(twin)
    a, b, c, d = twins
    return nn.Sequential(nn.Sequential(a, nn.GELU(), b), nn.Sequential(c, nn.GELU(), d, nn.Sigmoid()))


def test_a_replica_is_the_papers_model():
    model = replicas_of([0, 1, 2])
    assert sum(p[0].numel() for p in model.parameters()) == 263
    x = torch.rand(50, 3)
    for replica in range(3):
        assert_close(model(x)[replica], torch_twin(model, replica)(x), rtol=1e-4, atol=1e-6)


def test_initialisation_is_that_of_torch_linear():
    weights = replicas_of(range(500)).state_dict()["encoder.2.weight"]
    assert weights.abs().max() <= 0.25  # 1/sqrt(16)
    assert weights.std().item() == pytest.approx(0.5 / 12**0.5, rel=0.02)
    assert weights.mean().item() == pytest.approx(0, abs=2e-3)


def test_normed_bottleneck_is_on_the_sphere_and_outputs_are_colours():
    model = replicas_of([0, 1], kind="NormedColorMLP", bottleneck=5)
    layers = model.activations(torch.rand(30, 3))
    assert_close(layers["bottleneck"].norm(dim=-1), torch.ones(2, 30), rtol=1e-4, atol=1e-6)
    assert layers["encoder"].shape == (2, 30, 5)
    model.stacked.decoder[2].bias.data += 5
    assert model(torch.rand(10, 3)).max() == 1


def test_a_replica_is_the_same_alone_and_among_many(short):
    """Seed 7's model, trained alone and among 64: the same weights to float32 rounding."""
    alone, alone_rungs = train(experiment, short, [7], rungs=2)
    among, among_rungs = train(experiment, short, range(64), rungs=2)
    for a, b in zip(alone.parameters(), among.parameters(), strict=True):
        assert_close(a[0], b[7], rtol=1e-4, atol=1e-5)
        assert not torch.allclose(a[0], b[8], atol=1e-2)  # while another seed's are others
    for a, b in zip(alone_rungs, among_rungs, strict=True):
        assert a.metrics["isolation"][0].item() == pytest.approx(b.metrics["isolation"][7].item(), abs=1e-4)


def test_the_replicated_step_is_that_of_ordinary_pytorch(short):
    """Ten steps of one replica, by a plain model, plain losses and a plain Adam."""
    training = Training(experiment, short, [3], rungs=1)
    twin = torch_twin(training.model, 0)
    adam = torch.optim.Adam(twin.parameters())
    segment = next(training.segments())
    table = short.schedule.table()
    for step in range(10):
        x, *labels = (part[step, 0] for part in segment.batch)
        labels = dict(zip(short.labels, labels, strict=True))
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
            loss += table[name][step] * (losses * labels[label]).sum() / (labels[label].sum() + 1e-8)
        adam.param_groups[0]["lr"] = table["lr"][step]
        adam.zero_grad()
        loss.backward()
        adam.step()
    training.advance(replace(segment, batch=[part[:10] for part in segment.batch]))
    ours = torch_twin(training.model, 0)
    for a, b in zip(ours.parameters(), twin.parameters(), strict=True):
        assert_close(a, b, rtol=1e-4, atol=1e-6)


def test_a_diverged_replica_leaves_the_others_alone(short):
    healthy, _ = train(experiment, short, [0, 2], rungs=2)

    class Break(Callback):
        def on_train_start(self, trainer, training):
            with torch.no_grad():
                training.model.stacked.encoder[0].weight[1] = torch.inf

    broken, rungs = train(experiment, short, [0, 1, 2], rungs=2, callbacks=[Break()])
    assert rungs[-1].diverged.tolist() == [False, True, False]
    for a, b in zip(healthy.parameters(), broken.parameters(), strict=True):
        assert_close(a, b[[0, 2]], rtol=1e-4, atol=1e-5)
    assert broken.finite().tolist() == [True, False, True]


def test_a_replica_that_is_infinite_where_it_does_not_show_has_diverged(short):
    """A sigmoid hides an infinite bias."""

    class Break(Callback):
        def on_train_batch_end(self, trainer, training, outputs, segment, batch_idx):
            with torch.no_grad():
                training.model.stacked.decoder[2].bias[1] = torch.inf

    _, rungs = train(experiment, short, [0, 1], rungs=2, callbacks=[Break()])
    assert rungs[0].diverged.tolist() == [False, True]
    assert rungs[0].metrics["isolation"][1] == 0


def test_a_learning_rate_beyond_reason_is_recorded_as_diverged(short):
    wild = short.model_copy(update={"schedule": Dopesheet.parse([["STEP", "lr"], ["0", "1e38"], ["20", "1e38"]])})
    _, rungs = train(experiment, wild, [0, 1], rungs=1)
    assert rungs[-1].diverged.tolist() == [True, True]
    assert rungs[-1].metrics["isolation"].tolist() == [0, 0]


def test_training_touches_no_global_random_state(short):
    torch.manual_seed(5)
    np.random.seed(5)
    expected = torch.rand(1).item(), np.random.rand()
    torch.manual_seed(5)
    np.random.seed(5)
    train(experiment, short, [0], rungs=1)
    assert (torch.rand(1).item(), np.random.rand()) == expected


def test_rungs_do_not_change_the_training(short):
    few, _ = train(experiment, short, [0, 1], rungs=1)
    many, rungs = train(experiment, short, [0, 1], rungs=7)
    assert len(rungs) == 7
    for a, b in zip(few.parameters(), many.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize(("steps", "rungs"), [(2001, 10), (7, 10), (1, 3), (100, 1)])
def test_rungs_are_even_and_end_at_the_end(steps, rungs):
    at = rung_steps(steps, rungs)
    assert at[-1] == steps
    assert len(at) == min(steps, rungs)
    gaps = np.diff([0, *at])
    assert gaps.min() >= 1
    assert gaps.max() - gaps.min() <= 1


def test_streams_are_the_seeds_own_however_they_are_cut():
    data, red = data_of(colors.hsv_cube()), {"red": Label(of="redness")}
    samples, labels = Draws(data, red, [1, 2], 8).next(10)
    stream = Stream(Sampler(data, red), red, 2, 8)
    parts = [stream.draw(3), stream.draw(7)]
    assert torch.equal(samples[:, 1], data.inputs[torch.cat([index for index, _ in parts])])
    assert torch.equal(labels[:, 1], torch.cat([label for _, (label,) in parts]))
    assert not torch.equal(samples[:, 0], samples[:, 1])


def test_samples_and_coins_have_the_stated_probabilities():
    cube = colors.rgb_cube(2)
    data = data_of(colors.Cube(cube.colors, torch.tensor([0.3, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1])))
    labels = {
        "red": Label(of="redness", scale=0.7),
        "noisy": Label(of="redness", scale=0.7, noise=0.1),
        "soft": Label(of="redness", scale=0.7, noise=0.1, soft=True),
    }
    index, drawn = Stream(Sampler(data, labels), labels, 0, 1000).draw(200)
    sampled, drawn = data.inputs[index], dict(zip(labels, drawn, strict=True))
    assert (sampled.sum(-1) == 0).float().mean().item() == pytest.approx(0.3, abs=0.005)
    red, blue = ((sampled == torch.tensor(color)).all(-1) for color in ([1.0, 0, 0], [0.0, 0, 1]))
    assert drawn["red"][red].mean().item() == pytest.approx(0.7, abs=0.01)
    assert drawn["red"][blue].mean() == 0
    assert drawn["noisy"][red].mean().item() == pytest.approx(0.7 * 0.9 + 0.3 * 0.1, abs=0.01)
    assert drawn["noisy"][blue].mean().item() == pytest.approx(0.1, abs=0.01)
    assert drawn["soft"][red].unique().tolist() == pytest.approx([0.66])
    assert drawn["red"].unique().tolist() == [0, 1]


def test_a_lookup_finds_the_sample_that_the_cumulative_weights_say():
    weights = torch.rand(500, generator=torch.Generator().manual_seed(0)) ** 8  # some far below a 65,536th
    uniform = torch.from_numpy(np.random.default_rng(0).random(100_000, dtype=np.float32))
    cumulative = (weights.double().cumsum(0) / weights.double().sum()).float()
    expected = torch.searchsorted(cumulative, uniform, right=True).clamp(max=499)
    sampler = Sampler(Data(torch.rand(500, 3), weights=weights), {})
    assert torch.equal(sampler.index(uniform), expected)
    assert torch.equal(Sampler(Data(torch.rand(4, 3)), {}).index(torch.tensor([0, 0.25, 0.5, 0.75])), torch.arange(4))


class Poison(Unitarity):
    """A term that is not a number."""

    def per_sample(self, z):
        return super().per_sample(z) * torch.nan


def with_terms(setting, **weights):
    """The setting with only these poisonous terms. Their columns hold these weights; a term with None has no column."""
    names = [name for name, weight in weights.items() if weight is not None]
    rows = [
        ["STEP", "lr", *names],
        ["0", "0.01", *(str(weights[name]) for name in names)],
        ["9", "", *("" for _ in names)],
    ]
    terms = {name: Poison() if weight == 0 else Unitarity() for name, weight in weights.items()}
    return setting.model_copy(update={"regularizers": terms, "schedule": Dopesheet.parse(rows)})


def test_a_weight_of_zero_skips_even_a_term_that_is_not_a_number(short):
    skipped, _ = train(experiment, with_terms(short, off=0), [0], rungs=1)
    without, _ = train(experiment, with_terms(short), [0], rungs=1)
    for a, b in zip(skipped.parameters(), without.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_term_without_a_column_has_weight_one(short):
    trained = [train(experiment, with_terms(short, norm=weight), [0], rungs=1)[0] for weight in (None, 1, 2)]
    without, one, two = (model.flat() for model in trained)
    assert torch.equal(without, one)
    assert not torch.allclose(one, two, atol=1e-3)


def test_terms_of_validation_are_measured_and_not_trained(short):
    term = Unitarity(when="validation", labels={"red": 1.0})
    watched = short.model_copy(update={"regularizers": {"watched": term}})
    bare = short.model_copy(update={"regularizers": {}})
    model, rungs = train(experiment, watched, [0, 1], rungs=1)
    unwatched, _ = train(experiment, bare, [0, 1], rungs=1)
    for a, b in zip(model.parameters(), unwatched.parameters(), strict=True):
        assert torch.equal(a, b)
    x = colors.validation_grid()
    x = x[torch.randperm(len(x), generator=torch.Generator().manual_seed(0))]
    means = []
    for batch in x.split(64):
        probability = short.labels["red"].probability(colors.redness(batch))
        losses = (model.activations(batch)["encoder"].norm(dim=-1) - 1).square()
        means.append((losses * probability).sum(-1) / (probability.sum() + 1e-8))
    assert_close(rungs[-1].metrics["loss.watched"], torch.stack(means).mean(0).detach(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("kind", "layer"), [("ColorMLP", "encoder"), ("NormedColorMLP", "bottleneck")])
def test_fallback_trains_the_decoders_answer_and_nothing_else(kind, layer):
    model, x = ModelConfig(kind=kind).make(), torch.rand(30, 3)

    def task(output):
        return (output - x).square().mean(1)

    seen = Seen(activations(model, x), {}, partial(activations, model, x), task)
    loss = Fallback(dims=(0, 1), layers=[layer]).total(seen)
    emptied = Edited(model, {layer: lambda z: z * torch.tensor([0.0, 0, 1, 1])})
    assert_close(loss, (emptied(x) - x).square().mean())
    if kind == "ColorMLP":
        assert_close(loss, (Edited(model, Ablate().edits(model))(x) - x).square().mean())
    loss.backward()
    assert all(p.grad is None for p in model.encoder.parameters())
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.decoder.parameters())


def test_fallback_in_a_step_moves_the_decoder_alone(short):
    """With the term, Adam's first moments, which sum gradients, change for the decoder's weights only."""
    rows = [["STEP", "lr", "fallback"], ["0", "0", "1"], ["4", "0", "1"]]
    setting = short.model_copy(update={"regularizers": {"fallback": Fallback()}, "schedule": Dopesheet.parse(rows)})
    alone = Training(experiment, setting, [0], rungs=1)
    alone.advance(next(alone.segments()))
    bare = Training(experiment, setting.model_copy(update={"regularizers": {}}), [0], rungs=1)
    bare.advance(next(bare.segments()))
    names = [name for name, p in ModelConfig().make().named_parameters() for _ in range(p.numel())]
    moved = {name for name, a, b in zip(names, alone.moments[0, 0], bare.moments[0, 0], strict=True) if a != b}
    assert moved == {name for name in names if name.startswith("decoder")}


def test_lightnings_checkpoints_hold_the_replicas_of_each_segment(short, tmp_path):
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


def test_callbacks_see_phases_and_actions_and_can_retarget(subspace_ablation):
    rows = [
        ["STEP", "PHASE", "ACTION", "lr"],
        ["0", "A", "", "0.01"],
        ["5", "", "save, look", "0.01"],
        ["12", "B", "", "0.01"],
    ]
    setting = subspace_ablation.model_copy(update={"regularizers": {}, "schedule": Dopesheet.parse(rows)})
    seen = []

    class Watch(Callback):
        def on_train_batch_start(self, trainer, training, segment, batch_idx):
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
    assert moved == sorted(moved)


def test_labelled_samples_are_counted(short):
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


def test_depth_and_width_are_the_models():
    model = ModelConfig(depth=3, hidden=7, bottleneck=5).make()
    shapes = [tuple(p.T.shape) for name, p in model.named_parameters() if name.endswith("weight")]
    assert shapes == [(3, 7), (7, 7), (7, 7), (7, 5), (5, 7), (7, 7), (7, 7), (7, 3)]


@pytest.mark.live
def test_the_papers_distribution_is_reproduced(load, spaces):
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
