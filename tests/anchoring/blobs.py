"""An experiment of one's own for tests: a classifier with a term and a kind of ablation that nobody else has."""

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from anchoring import TERMS, AnchoredExperiment, Config, Data, Setting, Target, Term
from anchoring.ablation import ABLATIONS, Ablation
from anchoring.fields import Count
from study.experiment import Metric


class Sparse(Term):
    """The mean length of activations in the 1-norm."""

    def per_sample(self, z: Any) -> Any:
        return z.abs().sum(-1)


class Shrink(Ablation):
    """Takes a share of every activation away."""

    share: float = 1.0

    def edits(self, model: Any, target: Any = None) -> Any:
        return {self.layer: lambda z: z * (1 - self.share)}


class Classifier(nn.Module):
    around = {"encoder": ("encoder.2", "head")}

    def __init__(self, width: Any) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, width))
        self.head = nn.Linear(width, 3)

    def forward(self, x: Any) -> Any:
        return self.head(self.encoder(x))


class ModelConfig(Config):
    width: Count = 4


class BlobSetting(Setting):
    model: ModelConfig = ModelConfig()
    optional: ModelConfig | None = None


class Blobs(AnchoredExperiment):
    """Three blobs of points and their classes; the concept is the class 0."""

    name = "blobs"
    Setting = BlobSetting
    attributes = ("zero",)
    terms = (*TERMS, Sparse)
    ablations = (*ABLATIONS, Shrink)

    def build(self, setting: Any) -> Any:
        return Classifier(setting.model.width)

    def data(self, setting: Any) -> Any:
        generator = torch.Generator().manual_seed(0)
        targets = torch.arange(300) % 3
        centres = torch.tensor([[2.0, 0], [-1, 2], [-1, -2]])
        inputs = centres[targets] + 0.3 * torch.randn(300, 2, generator=generator)
        return Data(inputs, {"zero": (targets == 0).float()}, targets=targets)

    def loss(self, output: Any, target: Any, setting: Any) -> Any:
        return F.cross_entropy(output, target, reduction="none")

    def metrics(self, setting: Any) -> Any:
        return {"accuracy": Metric("share that is right", diverged=0.0), "lost": Metric("by ablation", ideal=None)}

    def measure(self, intact: Any, ablated: Any, setting: Any) -> Any:
        data = self.data(setting)
        right, left = ((m(data.inputs).argmax(-1) == data.targets).float().mean() for m in (intact, ablated))
        return {"accuracy": right, "lost": right - left}

    def target(self, setting: Any) -> Any:
        data = self.data(setting)
        return Target(data.inputs, data.attributes["zero"].unsqueeze(1))

    def check(self, setting: Any) -> None:
        if setting.model.width == 13:
            raise ValueError("model.width: found 13, expected luck")


ROWS = [["STEP", "lr", "anchor", "sparse"], ["0", "0.02", "0.1", "0.01"], ["59", "0.02", "0.1", "0.01"]]
DOCUMENT = {
    "schedule": {"file": "s.csv", "rows": ROWS},
    "data": {"batch": 32},
    "labels": {"zero": {"of": "zero", "scale": 0.5}},
    "regularizers": {
        "anchor": {"term": "Anchor", "point": [2, 0, 0, 0], "labels": {"zero": 1.0}},
        "sparse": {"term": "Sparse"},
    },
    "ablation": {"dims": [0]},
}
blobs = Blobs()


def changed(**tables: Any) -> Any:
    return blobs.setting({**DOCUMENT, **tables}, "s.toml")
