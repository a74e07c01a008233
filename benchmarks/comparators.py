"""Other ways to take a concept out of a model, measured by one scorer, and what a nonlinear probe finds afterwards.

`python -m benchmarks.comparators` trains 64 held-out seeds of each model in ten minutes on one core, prints a table and
writes benchmarks/data/comparators.csv. Every way is a model, a place in it and an operator. All models are
of one size and see as many samples as hue-isolated and red-isolated do. What is fitted after training is fitted to
exact values of 2,304 colours, which is in its favour: labels in training are noisy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from anchoring.ablation import Ablate
from anchoring.erasure import Target, leace
from anchoring.experiment import AnchoredExperiment
from anchoring.fields import Dims
from anchoring.layers import Edits, activations
from anchoring.probes import probe_r2
from anchoring.replicas import Replicas
from anchoring.terms import TERMS, Seen, Term
from anchoring.training import train
from benchmarks.driver import DATA
from excolor import colors
from excolor.concepts import amount, oracle
from excolor.examination import hue_target
from excolor.experiment import SPACES, Colors
from study import read

SEEDS = range(1_200_000, 1_200_064)
LAYER = "encoder"
Way = Callable[[nn.Module], Edits]


class Routed(Term):
    """Gradient routing (Cloud et al. 2024, arXiv 2410.04332): labelled samples teach the encoder through `dims` alone.

    With weight 1 it takes the place of the task's loss of labelled samples: their activations are the same, but no
    gradient reaches the encoder through the other dims.
    """

    dims: Dims = (0, 1)

    def per_sample(self, z: Tensor) -> Tensor:
        raise TypeError("Routed needs the model's answers: call total")

    def total(self, seen: Seen) -> Tensor:
        ((layer, _),) = self.layers.items()
        ((label, _),) = (self.labels or {}).items()
        kept = [float(dim in self.dims) for dim in range(seen.layers[layer].shape[-1])]

        def route(z: Tensor) -> Tensor:
            mask = z.new_tensor(kept)
            return z * mask + z.detach() * (1 - mask)

        routed = seen.task(seen.rerun({layer: route})["output"])
        return (seen.labels[label] * (routed - seen.task(seen.layers["output"]))).mean()


class Comparable(Colors):
    """The colours, with gradient routing."""

    name = "comparators"
    terms = (*TERMS, Routed)


experiment: AnchoredExperiment = Comparable()


def setting(concept: str, routed: Mapping[str, Any] | None = None) -> Any:
    """The isolated setting of a concept without its terms, or with gradient routing; its learning rate is not tuned."""
    space = read(SPACES / f"{concept}-isolated.toml")
    document = space.document()
    rows = [
        ["STEP", "PHASE", "ACTION", "lr:log"],
        *(["0", "", "", "1e-4"], ["+10", "", "", "0.01"], ["4500", "", "", "0.01"], ["6000", "", "", "2e-4"]),
    ]
    terms = {"routed": {"term": "Routed", **routed}} if routed else {}
    labels = {"concept": {"of": "vibrancy" if concept == "hue" else "red_excess"}} if routed else {}
    schedule = {"file": "comparators.csv", "rows": rows}
    dims = routed["dims"] if routed else ([0, 1] if concept == "hue" else [0])
    ablation = {"kind": "ablate", "layer": LAYER, "dims": dims}
    document |= {"schedule": schedule, "labels": labels, "regularizers": terms, "ablation": ablation}
    return experiment.setting(document)


def target(concept: str) -> Target:
    """Examples of a concept: places on the colour wheel, or amounts of red."""
    of_hue = hue_target()
    return of_hue if concept == "hue" else Target(of_hue.inputs, amount(of_hue.inputs, "red").unsqueeze(-1))


def projection(basis: Tensor, centre: Tensor) -> Edits:
    """Take away what activations have along orthonormal rows [n, K], seen from a centre [K]."""
    return {LAYER: lambda z: z - (z - centre) @ basis.mT @ basis}


def mean_difference(one: nn.Module, concept: str) -> Edits:
    """Project out the differences of class means: six hues, or red and not red. Hue's span two dimensions."""
    examples = target(concept)
    z, x = activations(one, examples.inputs)[LAYER], examples.inputs
    if concept == "hue":
        amounts = torch.stack([amount(x, corner) for corner in colors.CORNERS], -1)  # type: ignore[arg-type]
        means = torch.stack([(z * a.unsqueeze(-1)).sum(0) / a.sum() for a in amounts.unbind(-1)])
        return projection(torch.linalg.svd(means - means.mean(0))[2][:2], z.mean(0))
    red = examples.values
    means = (z * red).sum(0) / red.sum() - (z * (1 - red)).sum(0) / (1 - red).sum()
    return projection((means / means.norm()).unsqueeze(0), (z * (1 - red)).sum(0) / (1 - red).sum())


def probe_direction(one: nn.Module, concept: str) -> Edits:
    """Project out the directions of a linear probe for the concept."""
    examples = target(concept)
    z = activations(one, examples.inputs)[LAYER]
    centred, values = z - z.mean(0), examples.values - examples.values.mean(0)
    weights = torch.linalg.lstsq(centred, values).solution.mT
    absent = z[examples.values.norm(dim=-1) < 0.05].mean(0)
    return projection(torch.linalg.qr(weights.mT).Q.mT, absent)


def left_for_a_probe(model: Replicas, edits: Way, concept: str) -> Tensor:
    """Held-out R² of a nonlinear probe for the concept from what the layer has after the edits: [R]."""
    inputs = target(concept).inputs
    return torch.stack([readable(activations(one, inputs, edits(one))[LAYER], concept) for one in model])


def readable(z: Tensor, concept: str) -> Tensor:
    """R² of a nonlinear probe for the concept from activations for `target`'s inputs, on every second hue, held out."""
    hue = torch.arange(len(z)) // 64  # of 36, with 64 colours each
    return probe_r2(z, target(concept).values, fitted=hue % 2 == 0)


def rows(concept: str) -> pd.DataFrame:
    """Every way of a concept: a row for each replica."""
    isolated = read(SPACES / f"{concept}-isolated.toml").setting()
    reserved = isolated.ablation.dims
    pairs = [[0, 1], list(reserved)] if concept == "hue" else [[0]]
    bare = setting(concept)
    ours, plain = (train(experiment, s, SEEDS, rungs=1, compiled=True)[0] for s in (isolated, bare))
    ways: dict[str, tuple[Replicas, Any, Way]] = {
        f"{concept}-isolated, its dims": (ours, isolated, isolated.ablation.edits),
        "no terms, LEACE": (plain, bare, lambda one: {LAYER: leace(one, LAYER, target(concept))}),
        "no terms, mean difference": (plain, bare, partial(mean_difference, concept=concept)),
        "no terms, probe's directions": (plain, bare, partial(probe_direction, concept=concept)),
    }
    for dims in pairs:
        routed = setting(concept, {"dims": dims, "labels": {"concept": 1.0}})
        name = f"gradient routing, its dims {', '.join(map(str, dims))}"
        ways[name] = train(experiment, routed, SEEDS, rungs=1, compiled=True)[0], routed, routed.ablation.edits
    parts = []
    for name, (model, of, edits) in ways.items():
        found = experiment.measured(model, of, edits)
        shown = {metric: found[metric].numpy() for metric in ("isolation", "utility", f"{concept}_blindness")}
        parts.append(pd.DataFrame({"way": name, **shown, "probe": left_for_a_probe(model, edits, concept).numpy()}))
    parts.append(hindsight(plain, bare, concept))
    inputs = target(concept).inputs
    best = {"way": "the oracle's answers", "isolation": 1.0, "utility": 1.0, f"{concept}_blindness": 1.0}
    parts.append(pd.DataFrame([best | {"probe": readable(oracle(inputs, isolated.concept), concept).item()}]))
    return pd.concat(parts, ignore_index=True).assign(concept=concept)


def hindsight(model: Replicas, of: Any, concept: str) -> pd.DataFrame:
    """The best dims to ablate in each replica without terms, chosen by isolation itself, of any number but all."""
    choices = [dims for size in (1, 2, 3) for dims in combinations(range(of.model.bottleneck), size)]
    found = [experiment.measured(model, of, Ablate(layer=LAYER, dims=dims).edits) for dims in choices]
    best = torch.stack([f["isolation"] for f in found]).argmax(0)
    every = torch.arange(len(best))
    metrics = ("isolation", "utility", f"{concept}_blindness")
    table = {name: torch.stack([f[name] for f in found])[best, every].numpy() for name in metrics}
    inputs = target(concept).inputs
    left = [
        activations(one, inputs, Ablate(layer=LAYER, dims=choices[k]).edits(one))[LAYER]
        for one, k in zip(model, best.tolist(), strict=True)
    ]
    probe = torch.stack([readable(z, concept) for z in left])
    return pd.DataFrame({"way": "no terms, best dims in hindsight", **table, "probe": probe.numpy()})


def summary(found: pd.DataFrame) -> pd.DataFrame:
    """Mean isolation with a 95% bootstrap interval, the worst seed, utility and what a probe finds, by way."""
    random = np.random.default_rng(0)
    lines = []
    for (concept, way), part in found.groupby(["concept", "way"], sort=False):
        values = part.isolation.to_numpy()
        means = random.choice(values, (2000, len(values))).mean(1)
        line = {"concept": concept, "way": way, "isolation": values.mean()}
        line |= {"low": np.quantile(means, 0.025), "high": np.quantile(means, 0.975), "worst": values.min()}
        lines.append(line | {"utility": part.utility.mean(), "probe": part.probe.mean()})
    return pd.DataFrame(lines)


def main() -> None:
    """Measure, write and print."""
    torch.set_num_threads(1)
    found = pd.concat([rows(concept) for concept in ("hue", "red")], ignore_index=True)
    DATA.mkdir(exist_ok=True)
    table = summary(found)
    table.to_csv(DATA / "comparators.csv", index=False, float_format="%.4g")
    print(table.to_string(index=False, float_format="{:.3f}".format))


if __name__ == "__main__":
    main()
