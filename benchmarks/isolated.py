"""Pictures of what hue-isolated and red-isolated answer.

`python -m benchmarks.isolated` draws docs/ablation.png and docs/red.png, in a minute on one core. Each shows the
replica of median isolation of 64 held-out seeds.
"""

from __future__ import annotations

from pathlib import Path

import torch

from anchoring.training import train
from excolor.experiment import SPACES, experiment
from excolor.pictures import removals
from study import read

DOCS = Path(__file__).parent.parent / "docs"
PICTURES = {"hue": "ablation.png", "red": "red.png"}
SEEDS = range(1_300_000, 1_300_064)


def main() -> None:
    """Train and draw."""
    torch.set_num_threads(1)
    for concept, file in PICTURES.items():
        setting = read(SPACES / f"{concept}-isolated.toml").setting()
        model, rungs = train(experiment, setting, SEEDS, rungs=1, compiled=True)
        isolation = rungs[-1].metrics["isolation"]
        median = int(isolation.argsort()[len(isolation) // 2])
        print(f"{concept}: {isolation.mean():.3f}, worst {isolation.min():.3f}; drawn: {isolation[median]:.3f}")
        ablated = experiment.ablated(model, setting)
        removals(model, {"after ablation": ablated}, median, setting.concept).savefig(DOCS / file, dpi=150)


if __name__ == "__main__":
    main()
