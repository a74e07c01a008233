"""The experiment with colours, as studies know it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from anchoring import setting as settings
from anchoring.compilation import compiler
from anchoring.setting import Setting
from anchoring.step import step_kinds
from excolor.concepts import blindness_of
from excolor.models import ColorMLP
from study.experiment import Metric, OnRung, Section

SPACES = Path(__file__).parents[1] / "search_spaces"
REFERENCES = {"hue": ("published", "seed"), "red": ("seed-red",)}


class Colors:
    """Hue, or one of the six hues at the corners of the RGB cube, in a tiny autoencoder."""

    name = "excolor"

    def setting(self, document: dict[str, Any], file: str | Path) -> Setting:
        return settings.validate(document, file)

    def metrics(self, setting: Setting) -> Mapping[str, Metric]:
        concept = setting.concept
        measured = {
            "isolation": Metric("utility x blindness to the concept, both at least 0", diverged=0.0, failure=0.5),
            "utility": Metric(
                "how well the intact model reproduces colours: 1 perfectly, 0 no better than without the concept",
                diverged=0.0,
            ),
            blindness_of(concept): Metric(
                f"how close the ablated output is to the {concept}-blind oracle: 1 there, 0 if {concept} is untouched",
                diverged=0.0,
            ),
            "gray_collateral": Metric(
                "what ablation costs on grays: 0 nothing, 1 as much as answering one gray for all",
                ideal=0.0,
                higher_is_better=False,
                diverged=1.0,
            ),
            "lightness_kept": Metric(
                "R² of the ablated output's lightness with the oracle's (1 is best)", diverged=0.0
            ),
        }
        if concept == "hue":
            measured |= {
                "hue_residual": Metric(
                    "share of the outputs' variation with hue that is left after ablation (0 is best)",
                    ideal=0.0,
                    higher_is_better=False,
                    diverged=1.0,
                ),
                "vibrancy_r2": Metric(
                    "r² of ablated error and vibrancy^2.3, the published measure; not to choose by",
                    ideal=None,
                    not_an_objective="rotating all hues scores 0.942 on it",
                ),
            }
        measured["labelled"] = Metric(
            "samples seen in training that carried a label: what the supervision cost",
            ideal=None,
            higher_is_better=False,
        )
        for name, term in setting.regularizers.items():
            if term.when != "training":
                measured[f"loss.{name}"] = Metric(
                    "a term, unweighted, on colours off the training grid", ideal=0.0, higher_is_better=False
                )
        if concept == "hue":
            measured |= {
                "probe_gap": Metric(
                    "R² of a probe for hue in the ablated dims, minus in the others: 1 if hue is only there",
                    examined=True,
                ),
                "wheel": Metric(
                    "circular correlation of hue and the angle in the two ablated dims (1 is best)", examined=True
                ),
                "winding": Metric(
                    "how often that angle goes around while hue does once (1 or -1 for a wheel)",
                    ideal=None,
                    examined=True,
                ),
            }
        measured["relearning"] = Metric(
            "steps to learn the concept again, over steps from scratch: less than 1 the more is left to build on",
            examined=True,
        )
        return measured

    def train(self, setting: Setting, seeds: Sequence[int], *, rungs: int, compiled: bool, on_rung: OnRung) -> ColorMLP:
        from anchoring.training import train

        model, _ = train(setting, seeds, rungs=rungs, compiled=compiled, on_rung=on_rung)
        return model

    def model(self, setting: Setting, seeds: Sequence[int]) -> ColorMLP:
        return ColorMLP(setting.model, seeds)

    def references(self, setting: Setting) -> Sequence[Path]:
        return [SPACES / f"{name}.toml" for name in REFERENCES.get(setting.concept, ())]

    def examine(self, model: ColorMLP, setting: Setting, seeds: Sequence[int]) -> Mapping[str, Tensor]:
        from excolor.examination import examine

        return examine(model, setting, seeds)

    def sections(self, model: ColorMLP, setting: Setting, replica: int) -> Sequence[Section]:
        from excolor.sections import sections

        return sections(model, setting, replica)

    def step_kinds(self, setting: Setting) -> set[str]:
        return step_kinds(setting)

    def cannot_compile(self) -> str:
        return "" if compiler() else "found no C++ compiler (g++, or what CXX names)"


experiment = Colors()
