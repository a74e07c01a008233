import numpy as np
import pytest
import torch
from torch import nn
from torch.testing import assert_close

import excolor
from excolor import colors
from excolor.ablation import Ablation
from excolor.dopesheet import Dopesheet, rescale
from excolor.models import ColorMLP, ModelConfig
from excolor.sampling import Stream
from excolor.training import Training, rung_steps, train


@pytest.fixture(scope="module")
def seed_setting(spaces):
    return excolor.load(spaces / "seed.toml")


@pytest.fixture(scope="module")
def short(seed_setting):
    """The seed's setting, 120 steps of it."""
    schedule = Dopesheet.parse(rescale(seed_setting.schedule.text, 120))
    return seed_setting.model_copy(update={"schedule": schedule})


def torch_twin(model: ColorMLP, replica: int) -> nn.Sequential:
    """One replica as an ordinary PyTorch model."""
    linears = [*model.encoder.layers, *model.decoder.layers]
    twins = []
    for linear in linears:
        twin = nn.Linear(*linear.weight.shape[1:])
        twin.weight.data, twin.bias.data = linear.weight[replica].T.clone(), linear.bias[replica, 0].clone()
        twins.append(twin)
    a, b, c, d = twins
    return nn.Sequential(nn.Sequential(a, nn.GELU(), b), nn.Sequential(c, nn.GELU(), d, nn.Sigmoid()))


def test_a_replica_is_the_published_model():
    model = ColorMLP(ModelConfig(), [0, 1, 2])
    assert sum(p[0].numel() for p in model.parameters()) == 263
    x = torch.rand(50, 3)
    for replica in range(3):
        assert_close(model(x)[replica], torch_twin(model, replica)(x), rtol=1e-4, atol=1e-6)


def test_initialisation_is_that_of_torch_linear():
    weights = ColorMLP(ModelConfig(), range(500)).encoder.last.weight
    assert weights.abs().max() <= 0.25  # 1/sqrt(16)
    assert weights.std().item() == pytest.approx(0.5 / 12**0.5, rel=0.02)
    assert weights.mean().item() == pytest.approx(0, abs=2e-3)


def test_normed_bottleneck_is_on_the_sphere_and_outputs_are_colours():
    model = ColorMLP(ModelConfig(kind="NormedColorMLP", bottleneck=5), [0, 1])
    layers = model.activations(torch.rand(2, 30, 3))
    assert_close(layers["bottleneck"].norm(dim=-1), torch.ones(2, 30), rtol=1e-4, atol=1e-6)
    assert layers["encoder"].shape == (2, 30, 5)
    model.decoder.last.bias.data += 5
    assert model(torch.rand(10, 3)).max() == 1


def test_ablated_dims_neither_are_written_nor_read(short):
    model, _ = train(short, [0, 1], rungs=1)
    ablated = Ablation(dims=(0, 1)).apply(model)
    x = torch.rand(20, 3)
    before = model.activations(x.expand(2, -1, 3))["encoder"]
    z = ablated.activations(x.expand(2, -1, 3))["encoder"]
    assert z[..., :2].abs().max() == 0
    assert before[..., :2].abs().max() > 0.1  # there was something to take away
    assert_close(z[..., 2:], before[..., 2:])
    without = before.clone()
    without[..., :2] = 0
    assert_close(ablated(x), torch.sigmoid(model.decoder(without)), rtol=1e-4, atol=1e-6)
    assert not torch.allclose(model(x), ablated(x), atol=1e-3)


def test_a_replica_is_the_same_alone_and_among_many(short):
    """Seed 7's model, trained alone and among 64: the same weights to float32 rounding."""
    alone, alone_rungs = train(short, [7], rungs=2)
    among, among_rungs = train(short, range(64), rungs=2)
    for a, b in zip(alone.parameters(), among.parameters(), strict=True):
        assert_close(a[0], b[7], rtol=1e-4, atol=1e-5)
        assert not torch.allclose(a[0], b[8], atol=1e-2)  # while another seed's are others
    for a, b in zip(alone_rungs, among_rungs, strict=True):
        assert a.metrics["isolation"][0].item() == pytest.approx(b.metrics["isolation"][7].item(), abs=1e-4)


def test_the_replicated_step_is_that_of_ordinary_pytorch(short):
    """Ten steps of one replica, by a plain model, plain losses and a plain Adam."""
    training = Training(short, [3], rungs=1)
    twin = torch_twin(training.model, 0)
    adam = torch.optim.Adam(twin.parameters())
    segment = next(training.segments())
    table = short.schedule.table()
    for step in range(10):
        x = segment.colors[step, 0]
        labels = {name: label[step, 0] for name, label in segment.labels.items()}
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
    optimizer = training.configure_optimizers()
    training.optimizers = lambda use_pl_optimizer: optimizer
    segment.colors = segment.colors[:10]
    training.training_step(segment, 0)
    ours = torch_twin(training.model, 0)
    for a, b in zip(ours.parameters(), twin.parameters(), strict=True):
        assert_close(a, b, rtol=1e-4, atol=1e-6)


def test_a_diverged_replica_leaves_the_others_alone(short):
    healthy, _ = train(short, [0, 2], rungs=2)
    training = Training(short, [0, 1, 2], rungs=2)
    with torch.no_grad():
        training.model.encoder.first.weight[1] = torch.inf
    optimizer = training.configure_optimizers()
    training.optimizers = lambda use_pl_optimizer: optimizer
    for segment in training.segments():
        training.training_step(segment, 0)
    for a, b in zip(healthy.parameters(), training.model.parameters(), strict=True):
        assert_close(a, b[[0, 2]], rtol=1e-4, atol=1e-5)
        assert not b[1].isfinite().all() or b[1].numel() < 20


def test_a_learning_rate_beyond_reason_is_recorded_as_diverged(short):
    wild = short.model_copy(update={"schedule": Dopesheet.parse([["STEP", "lr"], ["0", "1e38"], ["20", "1e38"]])})
    _, rungs = train(wild, [0, 1], rungs=1)
    assert rungs[-1].diverged.tolist() == [True, True]
    assert rungs[-1].metrics["isolation"].tolist() == [0, 0]


def test_training_touches_no_global_random_state(short):
    torch.manual_seed(5)
    np.random.seed(5)
    expected = torch.rand(1).item(), np.random.rand()
    torch.manual_seed(5)
    np.random.seed(5)
    train(short, [0], rungs=1)
    assert (torch.rand(1).item(), np.random.rand()) == expected


def test_rungs_do_not_change_the_training(short):
    few, _ = train(short, [0, 1], rungs=1)
    many, rungs = train(short, [0, 1], rungs=7)
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
    cube = colors.hsv_cube()
    red = {"red": colors.redness(cube.colors)}
    whole, labels = Stream(cube, red, [1, 2], 8).draw(10)
    pieces = Stream(cube, red, [2], 8)
    parts = [pieces.draw(3), pieces.draw(7)]
    assert torch.equal(whole[:, 1:], torch.cat([colors for colors, _ in parts]))
    assert torch.equal(labels["red"][:, 1:], torch.cat([label["red"] for _, label in parts]))


def test_samples_and_coins_have_the_stated_probabilities():
    cube = colors.rgb_cube(2)
    weighted = colors.Cube(cube.colors, torch.tensor([0.3, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1]))
    probability = {"label": torch.tensor([0.7, 0, 1, 0.2, 0.2, 0.2, 0.2, 0.2])}
    sampled, labels = Stream(weighted, probability, [0], 1000).draw(200)
    black = sampled.sum(-1) == 0
    assert black.float().mean().item() == pytest.approx(0.3, abs=0.005)
    assert labels["label"][black].mean().item() == pytest.approx(0.7, abs=0.005)
    blue, green = torch.tensor([0.0, 0, 1]), torch.tensor([0.0, 1, 0])
    assert labels["label"][(sampled == blue).all(-1)].mean() == 0
    assert labels["label"][(sampled == green).all(-1)].mean() == 1


def test_a_weight_of_zero_skips_the_term(short):
    """A term that would be NaN costs nothing at weight 0."""
    training = Training(short, [0], rungs=1)
    segment = next(training.segments())
    labels = {name: label[0] for name, label in segment.labels.items()}
    loss = training.loss(segment.colors[0], labels, 0)
    training._weights = {name: [0.0] for name in training._weights}
    reconstruction = (training.model.activations(segment.colors[0])["output"] - segment.colors[0]).square().mean()
    assert training.loss(segment.colors[0], labels, 0).item() == pytest.approx(reconstruction.item())
    assert loss.item() > reconstruction.item()
