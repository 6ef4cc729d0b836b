"""A policy over any number of contexts, computed in groups of one fixed size.

Compiled programs of two batch sizes add up in two orders, so the last bits of a context's actions
would depend on the number of contexts beside it. In a program of one size, a row's result does not
depend on the other rows, nor on its place among them (tests say so).

    contexts 0 1 2 3 4 5 6 7 | 8 9 9 9 9 9 9 9      a last group that is not full repeats the last
"""

from collections.abc import Callable
from copy import copy

import numpy as np

from agentic.acting.policy import Policy
from agentic.trajectory import Chain

# Contexts that one call computes: few enough that a single context is cheap, enough that the sums
# cost more than the calls.
ROWS = 8


class Grouped(Policy):
    """`contexts` contexts of one policy, which are a policy themselves.

    Args:
        policy: copied for each group, so its `reset` must make all of its state new.
        contexts: how many act side by side.
    """

    def __init__(self, policy: Policy, contexts: int):
        starts = range(0, contexts, ROWS)
        self._contexts = contexts
        self._groups = [
            (copy(policy), np.minimum(np.arange(start, start + ROWS), contexts - 1))
            for start in starts
        ]

    def reset(self, batch: int | None = None) -> None:
        """Empty every context."""
        for policy, _ in self._groups:
            policy.reset(ROWS)

    def act(self, observation: np.ndarray) -> np.ndarray:
        """Return the actions for observations [B, O]: [B, A]."""
        parts = [policy.act(observation[rows]) for policy, rows in self._groups]
        return np.concatenate(parts)[: self._contexts]

    def observe(
        self, reward: np.ndarray, done: np.ndarray, action: np.ndarray | None = None
    ) -> None:
        """Take in what the actions brought: [B] each, and the executed actions [B, A]."""
        for policy, rows in self._groups:
            executed = None if action is None else action[rows]
            policy.observe(reward[rows], done[rows], executed)

    def clear(self, which: np.ndarray, keep_index: bool = False) -> None:
        """Empty the contexts `which` [B] bool, as ContextPolicy.clear does."""
        self._each(lambda policy, rows: policy.clear(which[rows], keep_index))

    def prefill(self, chain: Chain) -> None:
        """Fill every context with its chain of [B, n, T, ...], as ContextPolicy.prefill does."""
        self._each(lambda policy, rows: policy.prefill(Chain(*(part[rows] for part in chain))))

    def _each(self, work: Callable[[Policy, np.ndarray], None]) -> None:
        for policy, rows in self._groups:
            work(policy, rows)
