"""Up or down, learned for all weights of a channel together.

The method is AdaRound's (Nagel et al., arXiv 2004.10568): a rectified sigmoid per weight says how
far it is rounded up, and a term that grows drives it to 0 or 1. What is minimised is the quadratic
error of the membrane, so that it needs neither the network nor its samples again.
"""

from __future__ import annotations

import numpy as np

from snnquant.numerics import FloatArray, IntArray, IntRange
from snnquant.rounding.descent import descend

_STEPS, _RATE = 1000, 1e-2
#: Stretch of the sigmoid, so that it reaches 0 and 1.
_LOW, _HIGH = -0.1, 1.1
#: Sharpness of the term for whole numbers, from its start to the end, and its weight.
_SHARP, _WEIGHT = (20.0, 2.0), 0.01
#: Share of the steps before that term begins.
_WARM = 0.2
#: Decay of the two averages of Adam (Kingma and Ba, arXiv 1412.6980), and what keeps it finite.
_BETAS, _EPSILON = (0.9, 0.999), 1e-8


class Learned:
    """Rounding learned by gradient descent, channel by channel at once."""

    name = "learned"
    needs_samples = True

    def round(self, steps: FloatArray, limits: IntRange, hessian: FloatArray) -> IntArray:
        """Return integers whose error on the measured inputs is small."""
        inside = np.clip(steps, limits.low, limits.high)
        floor = np.minimum(np.floor(inside), limits.high - 1)
        moments = hessian / (float(np.diagonal(hessian).mean()) or 1.0)
        start = np.clip((inside - floor - _LOW) / (_HIGH - _LOW), 1e-4, 1 - 1e-4)
        logits = np.log(start / (1 - start))
        mean, square = np.zeros_like(logits), np.zeros_like(logits)
        for step in range(1, _STEPS + 1):
            slope = _slope(logits, floor - steps, moments, step / _STEPS)
            mean += (1 - _BETAS[0]) * (slope - mean)
            square += (1 - _BETAS[1]) * (slope * slope - square)
            unbiased = square / (1 - _BETAS[1] ** step)
            logits -= _RATE * mean / (1 - _BETAS[0] ** step) / (np.sqrt(unbiased) + _EPSILON)
        found = floor + (logits > 0)
        return descend(found.astype(np.int64), steps, limits, hessian)


def _slope(
    logits: FloatArray, base: FloatArray, moments: FloatArray, progress: float
) -> FloatArray:
    """Return the gradient of the error, and of the term for whole numbers once it counts."""
    sigmoid = 1 / (1 + np.exp(-logits))
    stretched = sigmoid * (_HIGH - _LOW) + _LOW
    up = np.clip(stretched, 0, 1)
    slope = 2 * (base + up) @ moments
    done = (progress - _WARM) / (1 - _WARM)
    if done > 0:
        sharp = _SHARP[1] + (_SHARP[0] - _SHARP[1]) * (1 + np.cos(done * np.pi)) / 2
        away = 2 * up - 1
        slope -= _WEIGHT * 2 * sharp * np.sign(away) * np.abs(away) ** (sharp - 1)
    moving = (stretched > 0) & (stretched < 1)
    return np.asarray(slope * moving * (_HIGH - _LOW) * sigmoid * (1 - sigmoid), np.float64)
