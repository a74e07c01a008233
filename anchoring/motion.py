"""How a value moves to a target: by minimum jerk, in a straight line, or in one jump."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

TIMINGS = ("minjerk", "linear", "step", "step-end")


@dataclass(frozen=True)
class Motion:
    """A transition that comes to rest at `target` after `duration` steps.

    With timing `minjerk` it is the quintic of least jerk: `10t^3 - 15t^4 + 6t^5` if it starts at rest (Flash and Hogan,
    1985). `linear` is a straight line. `step` (or `step-end`) keeps the start's value and jumps at the end.
    """

    start: float
    target: float
    duration: int
    timing: str = "minjerk"
    velocity: float = 0.0
    acceleration: float = 0.0

    def __post_init__(self) -> None:
        if self.timing not in TIMINGS:
            raise ValueError(f"timing: found {self.timing!r}, expected one of {', '.join(TIMINGS)}")

    def values(self, steps: np.ndarray) -> np.ndarray:
        """The value after each number of steps. From `duration` on it is the target."""
        return np.where(steps >= self.duration, self.target, self._polynomial()(steps))

    def at(self, step: float) -> tuple[float, float, float]:
        """Value, velocity and acceleration after `step` steps. From `duration` on it is at rest."""
        if step >= self.duration:
            return self.target, 0.0, 0.0
        curve = self._polynomial()
        return float(curve(step)), float(curve.deriv(1)(step)), float(curve.deriv(2)(step))

    def retarget(self, step: float, target: float, duration: int) -> Motion:
        """The motion to another target that replaces this one after `step` steps.

        Minimum jerk keeps the value, velocity and acceleration; a straight line or a jump keeps the value.
        """
        value, velocity, acceleration = self.at(step)
        return Motion(value, target, duration, self.timing, velocity, acceleration)

    def _polynomial(self) -> np.polynomial.Polynomial:
        """The curve before arrival, as a polynomial in steps."""
        if self.timing == "minjerk":
            v, a = self.velocity * self.duration, self.acceleration * self.duration**2
            rest = self.target - self.start - v - a / 2  # the distance that the powers 3 to 5 must cover
            # on arrival, value: sum c = rest; velocity: sum i c = -v - a; acceleration: sum i (i - 1) c = -a
            c3 = 10 * rest + 4 * (v + a) - a / 2
            c4 = -15 * rest - 7 * (v + a) + a
            c5 = 6 * rest + 3 * (v + a) - a / 2
            coefficients = [self.start, v, a / 2, c3, c4, c5]
        elif self.timing == "linear":
            coefficients = [self.start, self.target - self.start]
        else:
            coefficients = [self.start]
        return np.polynomial.Polynomial(coefficients, domain=[0, max(self.duration, 1)], window=[0, 1])
