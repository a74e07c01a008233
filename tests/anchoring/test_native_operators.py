"""Each family of operators as native code, and all of a function's numbers."""

import math
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from anchoring import native
from anchoring.native import build
from tests.anchoring.steps import check, compiled

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(not native.compiler(), reason="there is no C++ compiler"),
    pytest.mark.usefixtures("session_cache"),
]


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


def _emptied(z: Any, dims: Any) -> Any:
    z = z.clone()
    z[..., dims] = 0
    return z


@pytest.mark.parametrize("size", [1, 19])  # 16 at once, and 3 that are left
def test_gradients_of_each_family_of_operators(size: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    quickly = ["-O1" if flag == "-O2" else flag for flag in build.FLAGS]  # since there are many steps to compile
    monkeypatch.setattr(build, "FLAGS", quickly)

    def step(*arguments: Any) -> Any:
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


EVERYWHERE = {
    "exp": torch.exp, "log": torch.log, "tanh": torch.tanh, "erf": torch.erf, "sigmoid": torch.sigmoid,
    "sqrt": torch.sqrt, "log1p": torch.log1p, "expm1": torch.expm1, "pow": lambda x: x**2.5, "cube": lambda x: x**3,
    "relu": torch.relu, "clamp": lambda x: x.clamp(-1, 1), "abs": torch.abs, "sign": torch.sign,
    "maximum": lambda x: torch.maximum(x, x.flip(0)), "minimum": lambda x: torch.minimum(x, x.flip(0)),
    "clamp by": lambda x: x.clamp(min=x.flip(0)), "where": lambda x: torch.where(x > 0, x, 2 * x),
    "amax": lambda x: x.view(-1, 64).amax(-1).expand(64, -1).T.flatten(), "equal": lambda x: (x == x.flip(0)).to(x),
    "rsqrt": torch.rsqrt, "amin": lambda x: x.view(64, -1).amin(0).repeat(64), "prod": lambda x: x.view(-1, 2).prod(-1).repeat_interleave(2), "reciprocal": torch.reciprocal,
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


def test_functions_over_all_numbers() -> None:
    """Errors in units of the last place, and NaN, agree for every 2**15th float and all special ones.

    Denormal numbers may count as zero in native code, so none is tried.
    """
    tiny = torch.finfo(torch.float32).tiny
    bits = torch.arange(-(2**31), 2**31, 2**15, dtype=torch.int64).to(torch.int32)
    x = bits.view(torch.float32).clone()
    x[:10] = torch.tensor([0.0, -0.0, math.inf, -math.inf, math.nan, 1e-45, -1e-45, 1.1754944e-38, 88.72284, -103.9])
    x[10:50_010] = torch.randn(50_000) * 3
    x = torch.where(x.abs() < tiny, 0 * x, x)

    def step(*arguments: Any) -> Any:
        return tuple(function(z) for z, function in zip(arguments[:-1], EVERYWHERE.values(), strict=True))

    state = [x[None]] * len(EVERYWHERE)
    found = compiled(step, state, [], torch.ones(1, 1))(state, [], torch.ones(1, 1))
    for (name, function), [native_] in zip(EVERYWHERE.items(), found, strict=True):
        eager, exact = function(x), function(x.double())
        wrong = (native_.isnan() != eager.isnan()) & (native_ != exact.float())  # PyTorch's GELU of infinity is NaN
        assert not wrong.any(), (name, x[wrong][:5])
        unit = torch.nextafter(exact.abs().float(), torch.tensor(math.inf)) - exact.abs().float()
        error = (native_.double() - exact).abs() / unit.clamp(min=tiny)
        if name == "gelu":  # 1 + erf has no more digits
            error[(native_.double() - exact).abs() < 1e-6] = 0
        error[(native_ == eager) | eager.isnan() | exact.isnan()] = 0  # infinities, too
        assert error.max() <= FEW_ULPS.get(name, 16), (
            name,
            x[error.argmax()],
            native_[error.argmax()],
            exact[error.argmax()],
        )


def test_an_operator_that_is_not_known_is_named() -> None:
    def step(p: Any, x: Any, controls: Any) -> Any:
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
