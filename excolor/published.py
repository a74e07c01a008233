"""What the paper (arXiv 2512.12469) and its code report of the settings that are shipped here, over 60 seeds each."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Published:
    """The score of one of the paper's settings: r² of the error after the intervention with vibrancy or with red.

    Args:
        number: what it is called where it was published.
        score: the metric that is its score here.
        least, mean, sd, most: the score over 60 seeds.
        labelled: the mean number of samples of 96,064 that carried a label.
    """

    number: str
    score: str
    least: float
    mean: float
    sd: float
    most: float
    labelled: int


PUBLISHED = {
    "red-suppression-planar": Published("2.4.1", "similarity_r2", 0.882, 0.9515, 0.0236, 0.991, 190),
    "red-suppression": Published("2.5.1", "similarity_r2", 0.851, 0.9231, 0.0316, 0.976, 82),
    "hue-deletion": Published("2.7.1", "vibrancy_r2", 0.616, 0.8247, 0.0530, 0.912, 102),
    "red-deletion-anti-anchor": Published("2.9.1", "similarity3_r2", 0.0615, 0.857, 0.1541, 0.985, 84),
    "red-deletion": Published("2.10.1", "similarity3_r2", 0.0376, 0.8503, 0.1413, 0.977, 84),
}
"""By the names of the settings in search_spaces."""
