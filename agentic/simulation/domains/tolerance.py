"""The shapes of rewards, for many rows at once: 1 within some bounds, falling to 0 outside of them.

They are special cases of dm_control's `tolerance` (Tassa et al. 2018, arXiv 1801.00690, section
on rewards). That function finds out at every call which case it has, and on few rows this takes
longer than the simulation itself.
"""

import numpy as np

# The Gaussian is 1 at its centre and 0.1 one margin away: exp(-0.5 * scale^2) = 0.1.
_GAUSSIAN_SCALE = np.sqrt(-2 * np.log(0.1))


def at_least(
    value: np.ndarray, bound: float, margin: float, value_at_margin: float = 0.0
) -> np.ndarray:
    """Return 1 from `bound` upwards; below, a line falls through `value_at_margin` to 0.

    r = clip(1 - (1 - v) * (bound - x) / margin, 0, 1)
    """
    return np.clip(1 - (1 - value_at_margin) * (bound - value) / margin, 0, 1)


def at_most(
    value: np.ndarray, bound: float, margin: float, value_at_margin: float = 0.0
) -> np.ndarray:
    """Return 1 up to `bound`; above, a line falls through `value_at_margin` to 0."""
    return at_least(-value, -bound, margin, value_at_margin)


def around(value: np.ndarray, radius: float, margin: float) -> np.ndarray:
    """Return 1 where |x| <= radius; outside, a Gaussian that reaches 0.1 after `margin`.

    r = exp(-0.5 * (scale * max(|x| - radius, 0) / margin)^2)
    """
    outside = np.maximum(np.abs(value) - radius, 0)
    return np.exp(-0.5 * (_GAUSSIAN_SCALE / margin * outside) ** 2)


def soft_at_least(value: np.ndarray, bound: float, margin: float) -> np.ndarray:
    """Return 1 from `bound` upwards; below, a Gaussian that reaches 0.1 after `margin`."""
    return np.exp(-0.5 * (_GAUSSIAN_SCALE / margin * np.maximum(bound - value, 0)) ** 2)


def gentle(inputs: np.ndarray) -> np.ndarray:
    """Return 1 for an actuator input of 0 and 0 for one of -1 or 1: r = max(1 - u^2, 0)."""
    return np.maximum(1 - inputs**2, 0)
