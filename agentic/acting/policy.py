"""What acts, and what evaluation needs to know of it.

    policy.reset()                      empty the context
    action = policy.act(observation)    before each step
    policy.observe(reward, done)        after each step, the last included

Observations are [O], or [B, O] for B contexts side by side, whose episodes may end at different
steps.
"""

from collections.abc import Sequence
from copy import copy
from typing import Any, Self

import numpy as np

from agentic.errors import AgenticError
from agentic.simulation.tasks import Task


class Policy:
    """The contract of everything that acts; a subclass has to define `reset`, `act` and `observe`.

    The other members have defaults: the policy of one episode a context, which remembers nothing
    and aims at no return. A policy that does not derive from this class, and has the three methods
    alone, is given these defaults by `as_policy`.

    Attributes:
        method: the name of the method that made it.
        step: of the checkpoint that it was read from; None where it came from no run folder.
        episodes: episodes in a context of the policy's own, as many as it was trained on.
        target_return: the return that it aims at; None where it aims at none.
        keeps_context: whether it has a context that can be emptied and refilled between episodes.
        cache_dtype: the numbers that its context is kept in; "float32" where it keeps none.
        devices: the number of devices that its context is split over.
    """

    method: str = "policy"
    step: int | None = None
    episodes: int = 1
    target_return: float | None = None
    keeps_context: bool = False
    cache_dtype: str = "float32"
    devices: int = 1

    def reset(self, batch: int | None = None) -> None:
        """Begin `batch` new contexts, or as many as `act` is shown next."""
        raise NotImplementedError

    def act(self, observation: np.ndarray) -> np.ndarray:
        """Return the action for an observation [O] or [B, O]: [A] or [B, A] in [-1, 1]."""
        raise NotImplementedError

    def observe(
        self, reward: np.ndarray, done: np.ndarray, action: np.ndarray | None = None
    ) -> None:
        """Take in what the last action brought.

        `reward` and `done` are scalars or [B]. `action` replaces the policy's own where another
        action was executed.
        """
        raise NotImplementedError

    def aiming_at(self, target_return: float) -> Self:
        """Return a copy that aims at another return, or raise AgenticError if none can be set."""
        raise AgenticError(
            f"target return {target_return:g} was asked for, and this policy is never told of a "
            "target return; leave it out, or take a method that is told, such as at or dt."
        )

    def check_fits(self, task: Task) -> None:
        """Raise AgenticError if the policy cannot act in a task: sizes, length of episodes."""

    def side_by_side(self, seeds: Sequence[int]) -> "Policy":
        """Return what acts in one context for each of `seeds`; this policy's state stays as it is.

        A policy that draws random numbers draws those of a context from the context's seed.
        """
        return copy(self)


class PolicyAround(Policy):
    """A policy that passes everything on to another one; subclasses change some of it.

    Conditions are built of these: a subclass may change what `inner` sees, what it does, and what
    it remembers.
    """

    def __init__(self, inner: Policy):
        self.inner = inner

    def reset(self, batch: int | None = None) -> None:
        """Begin new contexts."""
        self.inner.reset(batch)

    def act(self, observation: np.ndarray) -> np.ndarray:
        """Return the inner policy's action."""
        return self.inner.act(observation)

    def observe(
        self, reward: np.ndarray, done: np.ndarray, action: np.ndarray | None = None
    ) -> None:
        """Tell the inner policy what its action brought."""
        self.inner.observe(reward, done, action)


class _WithDefaults(PolicyAround):
    """A policy that defines reset(), act(observation) and observe(reward, done) and no more."""

    def reset(self, batch: int | None = None) -> None:
        self.inner.reset()

    def act(self, observation: np.ndarray) -> np.ndarray:
        return np.asarray(self.inner.act(observation), np.float32)

    def observe(
        self, reward: np.ndarray, done: np.ndarray, action: np.ndarray | None = None
    ) -> None:
        # The third argument is passed only where it says something that the policy does not know.
        executed = () if action is None else (action,)
        self.inner.observe(reward, done, *executed)


def as_policy(policy: Any) -> Policy:
    """Return a policy with every member of `Policy`, defaults included.

    A policy of the user's own needs reset(), act(observation) and observe(reward, done), and
    observe(reward, done, action) to be evaluated with noise on its actions. It is not copied: it
    acts itself, in all contexts at once, and is reset at the start.

    Raises AgenticError where one of the three methods is missing.
    """
    missing = [name for name in ("reset", "act", "observe") if not hasattr(policy, name)]
    if missing:
        raise AgenticError(
            f"{type(policy).__name__} has no {missing[0]}(); a policy has reset(), "
            "act(observation) and observe(reward, done)."
        )
    complete = all(hasattr(policy, name) for name in vars(Policy) if not name.startswith("_"))
    return policy if complete else _WithDefaults(policy)
