"""The experiment with colours: hue, or one of the six hues at the corners of the RGB cube, in a tiny autoencoder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from anchoring.data import Data
from anchoring.erasure import Target
from anchoring.experiment import AnchoredExperiment
from anchoring.layers import Edited
from anchoring.replicas import Replicas
from excolor import colors, metrics
from excolor.examination import examinations, examine, hue_target
from excolor.models import upgraded
from excolor.setting import ColorSetting, data_of
from study.experiment import Metric, Section

_HERE = Path(__file__).parent
SPACES = _HERE / "search_spaces" if (_HERE / "search_spaces").is_dir() else _HERE.parent / "search_spaces"
"""The shipped spaces: beside this file in an installed package, beside the package in a checkout."""
REFERENCES = {"hue": ("hue-deletion", "subspace-ablation"), "red": ("subspace-ablation-red",)}
RENAMED = {"published": "hue-deletion", "seed": "subspace-ablation", "seed-red": "subspace-ablation-red"}
"""The settings to compare with, by their names in version 0.1."""


class Colors(AnchoredExperiment):
    """A ColorMLP reproduces colours. Once it is ablated, it should be blind to the concept.

    Examples:
        >>> rows = [["STEP", "lr"], ["0", "0.01"], ["9", ""]]
        >>> setting = Colors().setting({"concept": "red", "schedule": {"file": "lr.csv", "rows": rows}})
        >>> list(Colors().metrics(setting))[:3]
        ['isolation', 'utility', 'red_blindness']
    """

    name = "excolor"
    Setting = ColorSetting
    attributes = tuple(colors.ATTRIBUTES)
    spaces = SPACES
    renamed = RENAMED

    def build(self, setting: ColorSetting) -> nn.Module:
        return setting.model.make()

    def data(self, setting: ColorSetting) -> Data:
        return setting.data.samples()

    def example(self, setting: ColorSetting) -> Tensor:
        return torch.zeros(2, 3)

    def validation(self, setting: ColorSetting) -> Data:
        grid = colors.validation_grid()
        return data_of(colors.Cube(grid, torch.ones(len(grid))))

    def metrics(self, setting: ColorSetting) -> Mapping[str, Metric]:
        watched = [name for name, term in setting.regularizers.items() if term.when != "training"]
        meaning = "the loss of a term, without its weight, on colours off the training grid"
        losses = {f"loss.{name}": Metric(meaning, ideal=0.0, higher_is_better=False) for name in watched}
        every_rung, examined = metrics.measures(setting.concept), examinations(setting.concept)
        tables = {name: metric for name, (metric, _) in [*every_rung.items(), *examined.items()]}
        return tables | {"labelled": metrics.LABELLED} | losses

    def measure(self, intact: Edited, ablated: Edited, setting: ColorSetting) -> Mapping[str, Tensor]:
        return metrics.evaluate(intact, ablated, setting.concept)

    def target(self, setting: ColorSetting) -> Target | None:
        return hue_target() if setting.concept == "hue" else None

    def references(self, setting: ColorSetting) -> Sequence[Path]:
        files = (SPACES / f"{name}.toml" for name in REFERENCES.get(setting.concept, ()))
        return [file for file in files if file.is_file()]

    def examine(self, model: Replicas, setting: ColorSetting, seeds: Sequence[int]) -> Mapping[str, Tensor]:
        """The metrics of `excolor.examination.examinations`, [R] each."""
        return examine(self, model, setting, seeds)

    def sections(self, model: Replicas, setting: ColorSetting, replica: int) -> list[Section]:
        """The report's sections on a trained model; see `excolor.sections.sections`."""
        from excolor.sections import sections  # imports matplotlib

        return sections(model, self.edits(setting), setting, replica)

    def upgraded(self, weights: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Weights that version 0.1 stored, with the names that they have now."""
        return upgraded(weights)


experiment = Colors()
