"""How close is close: the shapes that rewards are made of, for many rows at once.

They are special cases of dm_control's `tolerance` (Tassa et al. 2018, arXiv 1801.00690, section
on rewards), which asks itself at every call which case it has; on few rows that takes longer than
the simulator does. Each returns 1 inside its bounds and falls towards 0 outside of them.
"""

import numpy as np

# A Gaussian that is 1 at its centre falls to 0.1 one margin away: exp(-0.5 * scale^2) = 0.1.
_GAUSSIAN_SCALE = np.sqrt(-2 * np.log(0.1))


def at_least(
    value: np.ndarray, bound: float, margin: float, value_at_margin: float = 0.0
) -> np.ndarray:
    """Return 1 from `bound` upwards, and below it a line through `value_at_margin` down to 0.

    r = clip(1 - (1 - v) * (bound - x) / margin, 0, 1)
    """
    return np.clip(1 - (1 - value_at_margin) * (bound - value) / margin, 0, 1)


def at_most(
    value: np.ndarray, bound: float, margin: float, value_at_margin: float = 0.0
) -> np.ndarray:
    """Return 1 up to `bound`, and above it a line through `value_at_margin` down to 0."""
    return at_least(-value, -bound, margin, value_at_margin)


def around(value: np.ndarray, radius: float, margin: float) -> np.ndarray:
    """Return 1 where |x| <= radius, and a Gaussian outside: 0.1 at `margin` from there.

    r = exp(-0.5 * (scale * max(|x| - radius, 0) / margin)^2)
    """
    outside = np.maximum(np.abs(value) - radius, 0)
    return np.exp(-0.5 * (_GAUSSIAN_SCALE / margin * outside) ** 2)


def soft_at_least(value: np.ndarray, bound: float, margin: float) -> np.ndarray:
    """Return 1 from `bound` upwards, and a Gaussian below: 0.1 at `margin` from there."""
    return np.exp(-0.5 * (_GAUSSIAN_SCALE / margin * np.maximum(bound - value, 0)) ** 2)


def gentle(control: np.ndarray) -> np.ndarray:
    """Return 1 without control and 0 at full control: r = max(1 - u^2, 0)."""
    return np.maximum(1 - control**2, 0)
