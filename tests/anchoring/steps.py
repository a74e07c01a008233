"""Steps of training for tests of native code: as they are, compiled, and compared."""

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from anchoring import native

pytestmark = [pytest.mark.live, pytest.mark.skipif(not native.compiler(), reason="there is no C++ compiler")]


def training_step(model: Any, loss: Any) -> Any:
    """A step of Adam down `loss(model's output, x, *others, controls)`. The first of the controls is the rate."""
    shapes = {name: p.shape for name, p in model.named_parameters()}

    def step(p: Any, m: Any, v: Any, x: Any, *rest: Any) -> Any:
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


def eagerly(step: Any, state: Any, batch: Any, controls: Any, dtype: Any) -> Any:
    """The same steps by PyTorch, for one replica after another."""

    def as_type(t: Any) -> Any:
        return t.to(dtype) if t.is_floating_point() else t

    found = []
    for r in range(len(state[0])):
        now = [as_type(t[r]) for t in state]
        for s, moved in enumerate(controls):
            now = step(*now, *(as_type(t[s, r]) for t in batch), as_type(moved))
        found.append(now)
    return [torch.stack(parts) for parts in zip(*found, strict=True)]


def compiled(step: Any, state: Any, batch: Any, controls: Any) -> Any:
    return native.compile_steps(step, [t[0] for t in state], [t[0, 0] for t in batch], controls[0], "a test's")


def no_worse(found: Any, single: Any, double: Any, what: Any = "") -> None:
    """Assert that numbers are as close to double precision as PyTorch's single precision is, up to a small factor."""
    scale = double.abs().nan_to_num(0, 0, 0).amax() + 1e-30
    allowed = 4 * (single - double).abs().nan_to_num(0, 0, 0).amax() + 1e-6 * scale
    wrong = (found - double).abs() > allowed
    assert not wrong.any(), (
        f"{what}: found {found[wrong][:3]}, expected {double[wrong][:3]}, in single {single[wrong][:3]}"
    )
    assert torch.equal(found.isnan(), single.isnan()), what


def check(step: Any, state: Any, batch: Any, controls: Any, names: Any = ()) -> Any:
    run = compiled(step, state, batch, controls)
    before = [t.clone() for t in (*state, *batch, controls)]
    found = run(state, batch, controls)
    assert all(torch.equal(a, b) for a, b in zip(before, (*state, *batch, controls), strict=True))
    single, double = (eagerly(step, state, batch, controls, dtype) for dtype in (torch.float32, torch.float64))
    for i, parts in enumerate(zip(found, single, double, strict=True)):
        no_worse(*parts, names[i] if names else str(i))
    return run


class Normalised(nn.Module):
    def forward(self, x: Any) -> Any:
        return F.normalize(x, dim=-1)


def double(p: Any, x: Any, controls: Any) -> Any:
    return (2 * p,)
