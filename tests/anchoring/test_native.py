"""Native steps compute PyTorch's numbers for any model and loss with known operators, one replica at a time."""

import math
import os
import stat
from itertools import pairwise

import hypothesis
import pytest
import torch
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from anchoring import native
from anchoring.native import build

pytestmark = [pytest.mark.live, pytest.mark.skipif(not native.compiler(), reason="there is no C++ compiler")]


@pytest.fixture(autouse=True, scope="module")
def session_cache(tmp_path_factory):
    folder = tmp_path_factory.mktemp("native cache")  # with a space
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build.platformdirs, "user_cache_path", lambda name: folder)
        yield folder


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(build.platformdirs, "user_cache_path", lambda name: tmp_path)
    return tmp_path / "native"


def training_step(model, loss):
    """A step of Adam down `loss(model's output, x, *others, controls)`. The first of the controls is the rate."""
    shapes = {name: p.shape for name, p in model.named_parameters()}

    def step(p, m, v, x, *rest):
        parts = p.split([shape.numel() for shape in shapes.values()])
        named = {n: q.view(s).detach().requires_grad_() for q, (n, s) in zip(parts, shapes.items(), strict=True)}
        with torch.enable_grad():
            total = loss(torch.func.functional_call(model, named, (x,)), x, *rest)
            gradient = torch.cat([g.flatten() for g in torch.autograd.grad(total, list(named.values()))])
        m = m.lerp(gradient, 0.1)
        v = (v * 0.999).addcmul(gradient, gradient, value=0.001)
        return p - rest[-1][0] * m / (v.sqrt() + 1e-4), m, v

    p = torch.cat([p.detach().flatten() for p in model.parameters()])
    return step, p


def eagerly(step, state, batch, controls, dtype):
    """The same steps by PyTorch, for one replica after another."""

    def as_type(t):
        return t.to(dtype) if t.is_floating_point() else t

    found = []
    for r in range(len(state[0])):
        now = [as_type(t[r]) for t in state]
        for s, moved in enumerate(controls):
            now = step(*now, *(as_type(t[s, r]) for t in batch), as_type(moved))
        found.append(now)
    return [torch.stack(parts) for parts in zip(*found, strict=True)]


def compiled(step, state, batch, controls):
    return native.compile_steps(step, [t[0] for t in state], [t[0, 0] for t in batch], controls[0], "a test's")


def no_worse(found, single, double, what=""):
    """Assert that numbers are as close to double precision as PyTorch's single precision is, up to a small factor."""
    scale = double.abs().nan_to_num(0, 0, 0).amax() + 1e-30
    allowed = 4 * (single - double).abs().nan_to_num(0, 0, 0).amax() + 1e-6 * scale
    wrong = (found - double).abs() > allowed
    assert not wrong.any(), (
        f"{what}: found {found[wrong][:3]}, expected {double[wrong][:3]}, in single {single[wrong][:3]}"
    )
    assert torch.equal(found.isnan(), single.isnan()), what


def check(step, state, batch, controls, names=()):
    run = compiled(step, state, batch, controls)
    before = [t.clone() for t in (*state, *batch, controls)]
    found = run(state, batch, controls)
    assert all(torch.equal(a, b) for a, b in zip(before, (*state, *batch, controls), strict=True))
    single, double = (eagerly(step, state, batch, controls, dtype) for dtype in (torch.float32, torch.float64))
    for i, parts in enumerate(zip(found, single, double, strict=True)):
        no_worse(*parts, names[i] if names else str(i))
    return run


class Normalised(nn.Module):
    def forward(self, x):
        return F.normalize(x, dim=-1)


ACTIVATIONS = [nn.GELU, nn.ReLU, nn.Tanh, nn.Sigmoid, nn.SiLU, nn.Softplus, lambda: nn.GELU("tanh"), nn.ELU]


@st.composite
def trainings(draw):
    """A small model, its loss and the batch's size."""
    widths = [3, *draw(st.lists(st.integers(1, 20), max_size=3)), 3]
    layers = []
    for before, after in pairwise(widths):
        layers.append(nn.Linear(before, after, bias=draw(st.booleans())))
        kind = draw(st.sampled_from(["nothing", "activation", "normalised", "layer norm"]))
        if kind == "activation":
            layers.append(draw(st.sampled_from(ACTIVATIONS))())
        elif kind == "normalised" and after > 1:
            layers.append(Normalised())
        elif kind == "layer norm" and after > 1:
            layers.append(nn.LayerNorm(after))
    return nn.Sequential(*layers), draw(st.sampled_from([1, 2, 5, 16, 17, 33, 64]))


@hypothesis.settings(max_examples=5, deadline=None, derandomize=True)
@hypothesis.given(trainings())
def test_trainings_of_small_models_are_as_close_to_double_precision_as_pytorch(case):
    model, size = case
    torch.manual_seed(0)

    def loss(y, x, weights, controls):
        cosines = F.cosine_similarity(y[:, None], x[None] + 0.1, dim=-1)
        return (weights * (y - x).square().mean(-1)).sum() + controls[1] * cosines.clamp(min=0).pow(3).mean()

    step, p = training_step(model, loss)
    state = [p + 0.1 * torch.randn(3, len(p)), torch.zeros(3, len(p)), torch.zeros(3, len(p))]
    batch = [torch.rand(2, 3, size, 3), (torch.rand(2, 3, size) < 0.5).float()]
    check(step, state, batch, torch.tensor([[0.01, 0.1], [0.02, 0.3]]))


# by name, losses of parameters w [4, 3], numbers x [B, 3] and classes c [B], which are 0 to 3
LOSSES = {
    "x @ x.T": lambda w, x, c: ((x @ w.T) @ (x @ w.T).T).square().mean(),
    "pairs": lambda w, x, c: (
        torch.where((d := F.normalize(x @ w.T, dim=-1) @ F.normalize(x @ w.T, dim=-1).mT) > 0.9, 0, d)
        .pow(10)
        .sum(-1)
        .mean()
    ),
    "matrices": lambda w, x, c: (
        torch.bmm((x @ w.T).view(1, -1, 4).expand(2, -1, 4), torch.stack([w, 2 * w])).square().mean()
    ),
    "baddbmm": lambda w, x, c: torch.baddbmm(w[None], w[None] @ w.T, w[None]).pow(3).sum(),
    "cross entropy": lambda w, x, c: F.cross_entropy(x @ w.T, c),
    "nll": lambda w, x, c: F.nll_loss(F.log_softmax(x @ w.T, -1), c, reduction="none").square().sum(),
    "softmax": lambda w, x, c: (F.softmax(3 * x @ w.T, -1) ** 2).sum(),
    "embedding": lambda w, x, c: (F.embedding(c, w) - x).square().mean(),
    "lookup": lambda w, x, c: (w[c] * x).sin().sum(),
    "one-hot": lambda w, x, c: (F.one_hot(c, 4).to(w) @ w - x).abs().sum(),
    "gather": lambda w, x, c: (x @ w.T).gather(1, c[:, None]).square().sum(),
    "lists": lambda w, x, c: ((x @ w.T)[:, [2, 0]].square().sum(-1) * x[:, 0]).mean() + w[[1, 1, -1]].exp().sum(),
    "emptied": lambda w, x, c: _emptied(x @ w.T, [0, 2]).square().mean(),
    "emptied one": lambda w, x, c: _emptied(x @ w.T, 1).square().mean(),
    "a slice set": lambda w, x, c: _emptied(x @ w.T, slice(1, 3)).square().mean(),
    "powers": lambda w, x, c: (
        (w.abs() + 0.1).pow(0.7).sum() + w.pow(5).sum() + (w.abs() + 0.5).pow(-2).sum() + 2 ** w.sum()
    ),
    "amax": lambda w, x, c: (x @ w.T).amax(-1).square().sum() + (x @ w.T).amin(0).sum(),
    "max": lambda w, x, c: torch.maximum(x @ w[0], x @ w[1]).square().sum() + torch.minimum(w, w.flip(0)).sum(),
    "clamp": lambda w, x, c: (x @ w.T).clamp(-0.2, 0.3).square().sum() + (w.clamp(min=0) * 2).sum(),
    "moments": lambda w, x, c: (w @ x.T).var(0).sum() + (x @ w.T).std(-1).mean() + (x @ w.T).mean((0, 1)) + w.var(),
    "joined": lambda w, x, c: torch.cat([x @ w.T, x], 1).tanh().sum() + torch.stack([w, w * w], 1).pow(3).sum(),
    "split": lambda w, x, c: sum((i + 1) * part.square().sum() for i, part in enumerate((x @ w.T).split(3, 1))),
    "addcdiv": lambda w, x, c: torch.addcdiv(w, w, w.square() + 1, value=0.5).square().sum() + w.lerp(w * w, 0.7).sum(),
    "logic": lambda w, x, c: (((x @ w[0] > 0) & ~(x[:, 0] > 0.5) | (c == 2)).to(x) * (x @ w[1])).square().sum(),
    "smooth": lambda w, x, c: (F.softplus(x @ w.T) + F.silu(w.sum()) + F.gelu(x @ w.T) + torch.erf(w).sum()).sum(),
    "logs": lambda w, x, c: (
        (w.abs() + 0.1).log().sum() + (w.square()).log1p().sum() + torch.logsumexp(x @ w.T, -1).sum()
    ),
    "counts": lambda w, x, c: (
        (x @ w[0]).sum() * c.sum() / (c > 1).sum().clamp(min=1) + w.square().sum() * c.to(x).mean()
    ),
    "layer norm": lambda w, x, c: F.layer_norm(x @ w.T, (4,)).pow(3).sum() + F.layer_norm(w, (3,)).pow(3).sum(),
    "reshaped": lambda w, x, c: (x @ w.T).reshape(-1, 2, 2).transpose(1, 2).flatten(1).cos()[:, 1:].sum(),
    "norms": lambda w, x, c: ((x @ w.T).norm(dim=-1) - 1).square().mean() + w.norm() + F.l1_loss(x @ w[:3].T, x),
    "huber": lambda w, x, c: F.smooth_l1_loss(x @ w[:3].T, x) + F.huber_loss(x @ w[1:].T, x, delta=0.3),
    "binary": lambda w, x, c: (
        F.binary_cross_entropy_with_logits(x @ w[0], (c > 1).to(x))
        + F.binary_cross_entropy((x @ w[1]).sigmoid(), x[:, 0])
    ),
}


def _emptied(z, dims):
    z = z.clone()
    z[..., dims] = 0
    return z


@pytest.mark.parametrize("size", [1, 19])  # 16 at once, and 3 that are left
def test_gradients_of_each_family_of_operators(size, monkeypatch):
    quickly = ["-O1" if flag == "-O2" else flag for flag in build.FLAGS]  # since there are many steps to compile
    monkeypatch.setattr(build, "FLAGS", quickly)

    def step(*arguments):
        *state, x, c, controls = arguments
        found = []
        for given, loss in zip(state, LOSSES.values(), strict=True):
            w = given.detach().requires_grad_()
            with torch.enable_grad():
                found.append(torch.autograd.grad(controls[0] * loss(w, x, c), w)[0])
        return tuple(found)

    torch.manual_seed(1)
    state = [torch.randn(2, 4, 3) for _ in LOSSES]
    batch = [torch.rand(1, 2, size, 3), torch.randint(0, 4, (1, 2, size))]
    check(step, state, batch, torch.ones(1, 1), list(LOSSES))


@pytest.fixture(scope="module")
def training():
    """A step of a small model, with two sets of sample weights and a batch of odd size."""
    torch.manual_seed(2)
    model = nn.Sequential(nn.Linear(3, 5), nn.GELU(), nn.Linear(5, 3), Normalised())

    def loss(y, x, weights, controls):
        return (weights.clamp(0, 1) * (y - x).square().mean(-1)).sum() / (weights.sum() + 1) + controls[1] * y.pow(
            4
        ).sum()

    step, p = training_step(model, loss)
    state = [p + 0.1 * torch.randn(4, len(p)), torch.zeros(4, len(p)), torch.zeros(4, len(p))]
    batch = [torch.rand(6, 4, 21, 3), torch.rand(6, 4, 21)]
    controls = torch.tensor([[0.01, 0.1]] * 6)
    return step, compiled(step, state, batch, controls), state, batch, controls


def same(found, expected):
    assert all(torch.equal(a.nan_to_num(7), b.nan_to_num(7)) for a, b in zip(found, expected, strict=True))
    assert all(torch.equal(a.isnan(), b.isnan()) for a, b in zip(found, expected, strict=True))


def test_a_replica_alone_is_the_same_to_the_last_bit(training):
    _, run, state, batch, controls = training
    together = run(state, batch, controls)
    for r in range(4):
        alone = run([t[r : r + 1] for t in state], [t[:, r : r + 1] for t in batch], controls)
        same(alone, [t[r : r + 1] for t in together])


def test_steps_may_be_taken_in_pieces_and_taking_none_changes_nothing(training):
    _, run, state, batch, controls = training
    now = state
    for start, end in [(0, 1), (1, 4), (4, 4), (4, 6)]:
        now = run(now, [t[start:end] for t in batch], controls[start:end])
    same(now, run(state, batch, controls))
    same(run(state, [t[:0] for t in batch], controls[:0]), state)


def test_strides_of_arguments_change_nothing(training):
    _, run, state, batch, controls = training
    x, weights = batch
    by_channel = torch.stack(list(x.unbind(-1)), 2).mT
    assert by_channel.stride(-2) == 1
    expected = run(state, batch, controls)
    same(run(state, [by_channel, weights], controls), expected)
    same(run(state, [x, weights.transpose(0, 2).contiguous().transpose(0, 2)], controls), expected)
    same(run([t.T.contiguous().T for t in state], batch, controls.T.contiguous().T), expected)
    one = x[:, :1].expand_as(x), weights[:, :1].expand_as(weights)
    same(run(state, one, controls), run(state, [t.contiguous() for t in one], controls))


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_replica_that_diverges_stays_so_and_alone(training, bad):
    step, run, state, batch, controls = training
    well = run(state, batch, controls)
    p = state[0].clone()
    p[2, 4] = bad
    ill = run([p, *state[1:]], batch, controls)
    others = [0, 1, 3]
    same([t[others] for t in ill], [t[others] for t in well])
    assert ill[0][2].isnan().all()
    eager = eagerly(step, [p, *state[1:]], batch, controls, torch.float32)
    assert all(torch.equal(a.isnan(), b.isnan()) for a, b in zip(ill, eager, strict=True))


def test_other_shapes_are_refused(training):
    _, run, state, batch, controls = training
    with pytest.raises(ValueError, match="native step: found tensors"):
        run(state, [batch[0][:, :, :20], batch[1]], controls)
    with pytest.raises(ValueError, match="native step: found tensors"):
        run(state, [batch[0].double(), batch[1]], controls)


EVERYWHERE = {
    "exp": torch.exp, "log": torch.log, "tanh": torch.tanh, "erf": torch.erf, "sigmoid": torch.sigmoid,
    "sqrt": torch.sqrt, "log1p": torch.log1p, "expm1": torch.expm1, "pow": lambda x: x**2.5, "cube": lambda x: x**3,
    "relu": torch.relu, "clamp": lambda x: x.clamp(-1, 1), "abs": torch.abs, "sign": torch.sign,
    "maximum": lambda x: torch.maximum(x, x.flip(0)), "minimum": lambda x: torch.minimum(x, x.flip(0)),
    "clamp by": lambda x: x.clamp(min=x.flip(0)), "where": lambda x: torch.where(x > 0, x, 2 * x),
    "amax": lambda x: x.view(-1, 64).amax(-1).expand(64, -1).T.flatten(), "equal": lambda x: (x == x.flip(0)).to(x),
    "rsqrt": torch.rsqrt, "amin": lambda x: x.view(64, -1).amin(0).repeat(64), "reciprocal": torch.reciprocal,
    "softplus": F.softplus, "silu": F.silu, "gelu": F.gelu, "log_sigmoid": F.logsigmoid, "softmax": lambda x: x.view(-1, 2).softmax(-1).flatten(),
}  # fmt: skip
FEW_ULPS = {
    "exp": 3,
    "log": 3,
    "tanh": 6,
    "erf": 6,
    "sigmoid": 4,
    "sqrt": 1,
    "log1p": 2,
    "expm1": 2,
    "pow": 2,
    "cube": 2,
}


def test_functions_over_all_numbers():
    """Errors in units of the last place, and NaN, agree for every 2**15th float and all special ones."""
    bits = torch.arange(-(2**31), 2**31, 2**15, dtype=torch.int64).to(torch.int32)
    x = bits.view(torch.float32).clone()
    x[:10] = torch.tensor([0.0, -0.0, math.inf, -math.inf, math.nan, 1e-45, -1e-45, 1.1754944e-38, 88.72284, -103.9])
    x[10:50_010] = torch.randn(50_000) * 3

    def step(*arguments):
        return tuple(function(z) for z, function in zip(arguments[:-1], EVERYWHERE.values(), strict=True))

    state = [x[None]] * len(EVERYWHERE)
    found = compiled(step, state, [], torch.ones(1, 1))(state, [], torch.ones(1, 1))
    for (name, function), [native_] in zip(EVERYWHERE.items(), found, strict=True):
        eager, exact = function(x), function(x.double())
        wrong = (native_.isnan() != eager.isnan()) & (native_ != exact.float())  # PyTorch's GELU of infinity is NaN
        assert not wrong.any(), (name, x[wrong][:5])
        unit = torch.nextafter(exact.abs().float(), torch.tensor(math.inf)) - exact.abs().float()
        error = (native_.double() - exact).abs() / unit.clamp(min=1e-45)
        if name == "gelu":  # 1 + erf has no more digits
            error[(native_.double() - exact).abs() < 1e-6] = 0
        error[(native_ == eager) | eager.isnan() | exact.isnan()] = 0  # infinities, too
        assert error.max() <= FEW_ULPS.get(name, 16), (
            name,
            x[error.argmax()],
            native_[error.argmax()],
            exact[error.argmax()],
        )


def test_an_operator_that_is_not_known_is_named():
    def step(p, x, controls):
        return (torch.linalg.qr(p)[0],)

    with pytest.raises(native.Unsupported, match=r"^linalg_qr is not among the operators that can be native$"):
        compiled(step, [torch.rand(1, 3, 3)], [torch.rand(1, 1, 5, 3)], torch.ones(1, 1))
    with pytest.raises(native.Unsupported, match=r"float64"):
        compiled(
            lambda p, x, c: (p.double().sin().float(),), [torch.rand(1, 3)], [torch.rand(1, 1, 5, 3)], torch.ones(1, 1)
        )
    with pytest.raises(native.Unsupported, match=r"^the step cannot be traced: .+$"):
        compiled(
            lambda p, x, c: (p if p.sum() > 0 else -p,), [torch.rand(1, 3)], [torch.rand(1, 1, 5, 3)], torch.ones(1, 1)
        )


def double(p, x, controls):
    return (2 * p,)


TWICE = double, [torch.ones(1, 3)], [torch.rand(1, 1, 5, 3)], torch.ones(1, 1)


def test_a_step_is_compiled_once_for_a_processor(cache, monkeypatch):
    assert torch.equal(compiled(*TWICE)(*TWICE[1:])[0], torch.full((1, 3), 2.0))
    assert len(list(cache.iterdir())) == 1  # and nothing else is left
    with monkeypatch.context() as patch:
        patch.setattr(build, "_compile", lambda *arguments: pytest.fail("compiled again"))
        compiled(*TWICE)
    monkeypatch.setattr(build, "_target", lambda path: "another processor")
    compiled(*TWICE)
    assert len(list(cache.iterdir())) == 2


def test_a_damaged_file_is_made_anew(cache, tmp_path, monkeypatch):
    compiled(*TWICE)
    (file,) = cache.iterdir()
    elsewhere = tmp_path / "elsewhere"  # another folder, since a loaded library is not read again
    monkeypatch.setattr(build.platformdirs, "user_cache_path", lambda name: elsewhere)
    damaged = elsewhere / "native" / file.name
    damaged.parent.mkdir(parents=True)
    damaged.write_bytes(file.read_bytes()[:1000])
    assert torch.equal(compiled(*TWICE)(*TWICE[1:])[0], torch.full((1, 3), 2.0))
    assert damaged.stat().st_size == file.stat().st_size


def test_the_cache_keeps_what_was_used_last(cache, monkeypatch):
    monkeypatch.setattr(build, "KEPT", 3)
    cache.mkdir()
    for age in range(5):
        old = cache / f"{age}.so"
        old.touch()
        os.utime(old, (1e9 - age, 1e9 - age))
    compiled(*TWICE)
    kept = {file.name for file in cache.iterdir()}
    assert len(kept) == 3
    assert {"0.so", "1.so"} < kept


def test_folders_with_spaces(tmp_path, monkeypatch):
    folder = tmp_path / "a folder"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(build.platformdirs, "user_cache_path", lambda name: folder / "its cache")
    compiled(*TWICE)
    assert len(list((folder / "its cache" / "native").iterdir())) == 1


def test_compilers_that_fail_say_why_in_a_line(cache, tmp_path, monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert native.compiler() is None
    with pytest.raises(OSError, match=r"^found no C\+\+ compiler: .*CXX$"):
        compiled(*TWICE)
    fake = tmp_path / "compiler"
    fake.write_text(
        "#!/bin/sh\ncase $* in *-E*) exit 0;; esac\necho 'in file x:' >&2\necho 'x.cpp:1: error: no room' >&2\nexit 1\n"
    )
    fake.chmod(fake.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("CXX", str(fake))
    with pytest.raises(OSError, match=r"^.*compiler cannot compile the step: no room$"):
        compiled(*TWICE)
    fake.write_text("not a program")
    with pytest.raises(OSError, match=r"^.*compiler does not run: .+$"):
        build._target.__wrapped__(str(fake))
    assert not list(cache.iterdir())
