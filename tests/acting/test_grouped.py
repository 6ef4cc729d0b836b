"""Laws: a row's bits are its own, whatever the other rows and wherever it stands."""

import numpy as np
import pytest
from support import synthetic

from agentic.acting.context import ContextPolicy
from agentic.acting.grouped import ROWS, Grouped

STEPS = 4
MANY = 2 * ROWS + 3


def actions(contexts: np.ndarray, layout: str = "1") -> np.ndarray:
    """Return the actions [len(contexts), STEPS, A] of contexts, each with inputs of its own."""
    config = synthetic.policy_config(layout, width=32, feedforward=4)
    policy = ContextPolicy(config, synthetic.parameters(config), synthetic.TARGET)
    shape = (MANY, STEPS, synthetic.OBSERVATIONS)
    observations = np.random.default_rng(0).normal(size=shape).astype(np.float32)[contexts]
    grouped = Grouped(policy, len(contexts))
    grouped.reset(len(contexts))
    found = []
    for t in range(STEPS):
        found.append(grouped.act(observations[:, t]))
        done = np.full(len(contexts), t == 1) & (contexts % 2 == 0)
        grouped.observe(found[-1].sum(axis=1), done)
    return np.stack(found, axis=1)


@pytest.mark.parametrize("layout", ["1", "5", "chunk of 3"])
def test_a_row_has_the_same_bits_alone_in_a_group_and_anywhere(layout):
    together = actions(np.arange(MANY), layout)
    assert len(np.unique(together[:, -1], axis=0)) == MANY
    backwards = np.arange(MANY)[::-1]
    np.testing.assert_array_equal(actions(backwards, layout), together[backwards])
    for contexts in ([0], [MANY - 1], [ROWS, 0, 2 * ROWS], list(range(1, ROWS + 1))):
        np.testing.assert_array_equal(actions(np.array(contexts), layout), together[contexts])


def test_rows_are_cleared_where_they_are_told_to_be():
    config = synthetic.policy_config("1")
    grouped = Grouped(ContextPolicy(config, synthetic.parameters(config), 1.0), ROWS + 2)
    grouped.reset(ROWS + 2)
    observations = np.ones((ROWS + 2, synthetic.OBSERVATIONS), np.float32)

    def act():
        found = grouped.act(observations)
        grouped.observe(np.ones(ROWS + 2), np.ones(ROWS + 2, bool))
        return found

    first, second = act(), act()
    assert (np.abs(second - first).max(axis=1) > 1e-4).all()
    which = np.arange(ROWS + 2) >= ROWS
    grouped.clear(which)
    third = act()
    np.testing.assert_array_equal(third[which], first[which])
    assert (np.abs(third - first).max(axis=1)[~which] > 1e-4).all()
