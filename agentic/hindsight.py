"""Chain of hindsight: sort trajectories by return and relabel them all with the best one's.

Source: Liu & Abbeel 2023, arXiv 2305.16554, section 3. `chain_of_hindsight` builds the context that
the model is trained on; `begin` and `append` build the same labels one step at a time while acting.
Axis letters as in `agentic.trajectory`.
"""

from typing import Literal, NamedTuple

import numpy as np

from agentic.errors import AgenticError, closest
from agentic.trajectory import Chain

Completion = Literal["target", "done"]
COMPLETIONS: tuple[Completion, ...] = ("target", "done")


def total_rewards(rewards: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return the sum of the existing steps' rewards: [..., T] -> [...], float64."""
    return np.sum(rewards, axis=-1, where=mask, dtype=np.float64)


def hindsight_order(returns: np.ndarray, present: np.ndarray) -> np.ndarray:
    """Return the permutation [..., n] that sorts returns ascending, ties by index, absent last."""
    return np.argsort(np.where(present, returns, np.inf), axis=-1, kind="stable")


def returns_to_go(rewards: np.ndarray, mask: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return R_t = target - sum of rewards before t: [..., T] float64.

    R_0 is the target and R_t - R_{t+1} = r_t; the reward of step t itself is left out, for the
    action at t must not see what it brings.
    """
    whole = mask.all()
    rows = (rewards if whole else np.where(mask, rewards, 0)).reshape(-1, rewards.shape[-1])
    targets = np.broadcast_to(target, rewards.shape[:-1]).reshape(-1, 1)
    # An addition waits for the one before it, so two trajectories are summed side by side, as the
    # real and the imaginary part of one: in half the time, and neither sum differs in a bit.
    half = -(-len(rows) // 2)
    before = np.zeros((half, rows.shape[1]), np.complex128)
    before.real[:, 1:] = rows[:half, :-1]
    before.imag[: len(rows) - half, 1:] = rows[half:, :-1]
    np.cumsum(before, axis=-1, out=before)
    to_go = np.empty(rows.shape)
    np.subtract(targets[:half], before.real, out=to_go[:half])
    np.subtract(targets[half:], before.imag[: len(rows) - half], out=to_go[half:])
    to_go = to_go.reshape(rewards.shape)
    if not whole:
        to_go[~mask] = 0
    return to_go


def reaches(achieved: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return where `achieved` meets `target`, up to the rounding of a sum of float32 rewards."""
    return achieved >= target - 1e-6 * np.maximum(1.0, np.abs(target))


def _check_completion(mode: str) -> None:
    if mode not in COMPLETIONS:
        raise AgenticError(f"completion is {mode!r}; {closest(str(mode), COMPLETIONS)}.")


def completions(
    returns: np.ndarray, mask: np.ndarray, target: np.ndarray, mode: Completion = "target"
) -> np.ndarray:
    """Return d_t [..., T]: 1 at the last step of a trajectory that meets the target, else 0.

    `mode="done"` marks the last step of every trajectory.
    """
    _check_completion(mode)
    last = mask.copy()
    last[..., :-1] &= ~mask[..., 1:]
    if mode == "target":
        last &= reaches(returns, target)[..., None]
    return last.astype(np.float32)


def labels(
    rewards: np.ndarray,
    mask: np.ndarray,
    returns: np.ndarray,
    completion: Completion = "target",
    target: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return (returns-to-go, completions) [..., n, T] float32 of trajectories in hindsight order.

    returns [..., n] are those of the whole trajectories; `target` [...] replaces the best of them.
    """
    if target is None:
        target = np.max(np.where(mask.any(-1), returns, -np.inf), axis=-1)
    target = np.broadcast_to(np.asarray(target)[..., None], returns.shape)
    to_go = returns_to_go(rewards, mask, target).astype(np.float32)
    return to_go, completions(returns, mask, target, completion)


def relabel(
    observations: np.ndarray,
    actions: np.ndarray,
    rewards: np.ndarray,
    mask: np.ndarray,
    completion: Completion = "target",
    target: np.ndarray | None = None,
) -> Chain:
    """Label trajectories that already stand in hindsight order; arguments as `chain_of_hindsight`.

    `target` [...] replaces the chain's best return, for contexts built to act with.
    """
    to_go, marks = labels(rewards, mask, total_rewards(rewards, mask), completion, target)
    return Chain(
        observations=np.where(mask[..., None], observations, np.float32(0)),
        actions=np.where(mask[..., None], actions, np.float32(0)),
        rewards=np.where(mask, rewards, np.float32(0)),
        returns_to_go=to_go,
        completions=marks,
        mask=mask,
    )


def chain_of_hindsight(
    observations: np.ndarray,
    actions: np.ndarray,
    rewards: np.ndarray,
    mask: np.ndarray,
    completion: Completion = "target",
) -> Chain:
    """Sort and relabel trajectories in hindsight; leading axes are a batch of chains.

    Args:
        observations: [..., n, T, O] float32.
        actions: [..., n, T, A] float32 in [-1, 1].
        rewards: [..., n, T] float32, raw.
        mask: [..., n, T] bool, True where a step exists (a prefix of every trajectory).
        completion: where the completion token is 1: "target" or "done".

    Returns:
        The chain: ascending by return, every target return the chain's best.
    """
    order = hindsight_order(total_rewards(rewards, mask), mask.any(-1))

    def sort(array: np.ndarray) -> np.ndarray:
        index = order.reshape(order.shape + (1,) * (array.ndim - order.ndim))
        return np.take_along_axis(array, index, axis=order.ndim - 1)

    return relabel(*map(sort, (observations, actions, rewards, mask)), completion)


class Progress(NamedTuple):
    """How far each of B contexts is: arrays [B], advanced by `begin` and `append`."""

    target: np.ndarray
    achieved: np.ndarray
    completed: np.ndarray

    @property
    def return_to_go(self) -> np.ndarray:
        """R_t of the step about to be taken: [B] float64."""
        return self.target - self.achieved


def begin(target: np.ndarray) -> Progress:
    """Start an episode in every context with target returns [B]."""
    target = np.asarray(target, np.float64)
    return Progress(target, np.zeros_like(target), np.zeros(target.shape, bool))


def append(
    progress: Progress, reward: np.ndarray, done: np.ndarray, completion: Completion = "target"
) -> tuple[Progress, np.ndarray]:
    """Add one step and return the new progress and the step's completion d_t [B] float32.

    d_t is 1 at the step where the return reaches the target, once in an episode; with
    `completion="done"` at the episode's last step. The last step is appended like any other.
    Where `done`, the next episode starts with the same target.
    """
    _check_completion(completion)
    achieved = progress.achieved + np.asarray(reward, np.float64)
    done = np.asarray(done, bool)
    if completion == "done":
        marks = done
    else:
        marks = reaches(achieved, progress.target) & ~progress.completed
    following = Progress(
        progress.target,
        np.where(done, 0.0, achieved),
        (progress.completed | marks) & ~done,
    )
    return following, marks.astype(np.float32)
