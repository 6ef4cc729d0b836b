"""Law: each shape is dm_control's tolerance with its arguments."""

import numpy as np
import pytest
from dm_control.utils.rewards import tolerance

from agentic.simulation.domains.tolerance import around, at_least, at_most, gentle, soft_at_least

INF = float("inf")
# The bounds of every case below are among them.
VALUES = np.concatenate([np.linspace(-12, 12, 97), [0.5, 1.2, -0.5, 1e-9, -1e-9]])


@pytest.mark.parametrize(
    "ours, arguments",
    [(lambda x: at_least(x, 1.2, 3), dict(bounds=(1.2, INF), margin=3, value_at_margin=0)),
     (lambda x: at_least(x, -1, 2, 0.5), dict(bounds=(-1, INF), margin=2, value_at_margin=0.5)),
     (lambda x: at_most(x, 0.5, 4), dict(bounds=(-INF, 0.5), margin=4, value_at_margin=0))],
)  # fmt: skip
def test_lines(ours, arguments):
    expected = tolerance(VALUES, sigmoid="linear", **arguments)
    np.testing.assert_allclose(ours(VALUES), expected, rtol=0, atol=1e-15)


@pytest.mark.parametrize(
    "ours, arguments",
    [(lambda x: around(x, 0, 5), dict(margin=5)),
     (lambda x: around(x, 0.5, 2), dict(bounds=(-0.5, 0.5), margin=2)),
     (lambda x: soft_at_least(x, 1.2, 0.6), dict(bounds=(1.2, INF), margin=0.6))],
)  # fmt: skip
def test_gaussians(ours, arguments):
    np.testing.assert_allclose(ours(VALUES), tolerance(VALUES, **arguments), rtol=1e-13, atol=1e-15)


def test_gentle():
    expected = tolerance(VALUES, margin=1, value_at_margin=0, sigmoid="quadratic")
    np.testing.assert_allclose(gentle(VALUES), expected, rtol=0, atol=1e-15)
