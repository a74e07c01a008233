"""The published settings, trained anew: their scores beside what was published, and how well they isolate.

`python -m benchmarks.published` trains each on 60 seeds in two minutes on one core, prints a table and draws
docs/reproduction.png.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from anchoring.training import train
from excolor.experiment import SPACES, experiment
from excolor.pictures import reproduction
from excolor.published import PUBLISHED
from study import read

SEEDS = range(60)
DOCS = Path(__file__).parent.parent / "docs"


def measured(name: str) -> dict[str, Tensor]:
    """The metrics of a shipped setting's replicas, [60] each."""
    _, rungs = train(experiment, read(SPACES / f"{name}.toml").setting(), SEEDS, rungs=1, compiled=True)
    return dict(rungs[-1].metrics)


def main() -> None:
    """Train, print and draw."""
    torch.set_num_threads(1)
    found = {name: measured(name) for name in PUBLISHED}
    print("| setting | published as | score | published: min, mean ± sd, max | here | labelled | isolation |")
    print("|---|---|---|---|---|---|---|")
    for name, told in PUBLISHED.items():
        metrics = found[name]
        score, isolation, labelled = metrics[told.score], metrics["isolation"], metrics["labelled"]
        print(
            f"| `{name}` | {told.number} | `{told.score}` | {told.least:.3f}, {told.mean:.3f} ± {told.sd:.3f}, "
            f"{told.most:.3f} | {score.min():.3f}, {score.mean():.3f} ± {score.std():.3f}, {score.max():.3f} | "
            f"{labelled.mean():.0f}, was {told.labelled} | {isolation.mean():.3f} ± {isolation.std():.3f} |"
        )
    reproduction({name: found[name][told.score] for name, told in PUBLISHED.items()}).savefig(
        DOCS / "reproduction.png", dpi=150
    )


if __name__ == "__main__":
    main()
