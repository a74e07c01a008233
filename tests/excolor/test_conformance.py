"""The colour experiment does what studies rely on."""

from pathlib import Path
from typing import Any

import pytest
import torch

from excolor import colors, metrics
from study.testing import ExperimentConformance

SPACES = Path(__file__).parents[2] / "search_spaces"


class TestHue(ExperimentConformance):
    space = SPACES / "hue.toml"

    @pytest.mark.slow  # other tests run such studies all the time
    def test_a_study_runs_resumes_confirms_and_reports(self, tmp_path: Path) -> None:
        super().test_a_study_runs_resumes_confirms_and_reports(tmp_path)

    def reference_points(self) -> Any:
        """The reference points of docs/metrics.md."""
        answers = {
            "the oracle": (colors.hue_blind, {"isolation": 1, "utility": 1, "hue_blindness": 1, "vibrancy_r2": 0.942}),
            "untouched": (lambda x: x, {"isolation": 0, "hue_blindness": 0, "hue_residual": 1, "gray_collateral": 0}),
            "mean gray": (lambda x: x.mean(-1, keepdim=True).expand_as(x), {"isolation": 0.951}),
            "one gray": (lambda x: torch.full_like(x, 0.5), {"isolation": 0.573, "lightness_kept": 0}),
        }
        return [(name, metrics.evaluate(lambda x: x, answer), expected) for name, (answer, expected) in answers.items()]


class TestHueDeletion(ExperimentConformance):
    """A fixed setting, with the model that has a normalised bottleneck."""

    space = SPACES / "hue-deletion.toml"
    tolerance = 1e-2  # cosines to the power of 100 magnify rounding

    def reference_points(self) -> Any:
        return TestHue().reference_points()
