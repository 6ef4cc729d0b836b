"""Chain of hindsight: sort trajectories by return and relabel them all with the best one's.

Source: Liu & Abbeel 2023, arXiv 2305.16554, section 3. `chain_of_hindsight` makes every chain that
the network is trained on; `begin` and `append` make the same labels one step at a time while
acting. Axis letters as in `agentic.trajectory`; w steps of a window, c steps of a token.
"""

from typing import Literal, NamedTuple, Protocol

import numpy as np

from agentic.errors import AgenticError, closest
from agentic.trajectory import Chain, Outcome, Window

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
    """Label trajectories that are in memory and stay in the order that they have.

    Args:
        observations: [..., n, T, O] float32.
        actions: [..., n, T, A] float32 in [-1, 1].
        rewards: [..., n, T] float32, raw.
        mask: [..., n, T] bool, True where a step exists (a prefix of every trajectory).
        completion: where the completion token is 1: "target" or "done".
        target: [...] replaces each chain's best return, for contexts built to act with.
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


class Steps(Protocol):
    """What stored trajectories observed and did: observations [N, T, O] and actions [N, T, A].

    Both are float32, perhaps read-only memory maps.
    """

    observations: np.ndarray
    actions: np.ndarray


class Episodes(Steps, Protocol):
    """Stored trajectories to make chains of, such as a data set.

    rewards [N, T] float32, perhaps a read-only memory map; lengths [N] integer, the steps that
    exist; returns [N] float64.
    """

    rewards: np.ndarray
    lengths: np.ndarray
    returns: np.ndarray


class Cut(NamedTuple):
    """Which window to cut out of each chain: start [...] int32, multiples of `align`; `steps` is w
    and `align` is c."""

    start: np.ndarray
    steps: int
    align: int


def chain_of_hindsight(
    episodes: Episodes,
    drawn: np.ndarray,
    present: np.ndarray,
    completion: Completion = "target",
    target: np.ndarray | None = None,
    cut: Cut | None = None,
) -> Chain | Window:
    """Sort drawn trajectories by return and relabel them all with the best one's.

    The leading axes are a batch of chains. Every stored step that the result needs is read and
    copied once, after the order is known; no other step is read.

    Args:
        episodes: the stored trajectories.
        drawn: [..., n] their indices; of equal returns the one in the earlier place comes first.
        present: [..., n] bool, which of these places are taken.
        completion: where the completion token is 1: "target" or "done".
        target: [...] replaces each chain's best return, for contexts built to act with.
        cut: a window to cut out of each chain after it is labelled; None keeps it whole.

    Returns:
        The chain or window: ascending by return, every target return the chain's best.
    """
    order = hindsight_order(episodes.returns[drawn], present)
    drawn, present = (np.take_along_axis(x, order, axis=-1) for x in (drawn, present))
    lengths = np.where(present, episodes.lengths[drawn], 0)
    longest = episodes.rewards.shape[1]
    mask = np.arange(longest, dtype=lengths.dtype) < lengths[..., None]

    rewards = gather(episodes.rewards, drawn, np.zeros_like(lengths), lengths, longest)
    to_go, marks = labels(rewards, mask, episodes.returns[drawn], completion, target)
    return gather_chain(episodes, drawn, lengths, rewards, to_go, marks, cut)


def gather_chain(
    episodes: Steps,
    drawn: np.ndarray,
    lengths: np.ndarray,
    rewards: np.ndarray,
    to_go: np.ndarray,
    marks: np.ndarray,
    cut: Cut | None = None,
) -> Chain | Window:
    """Copy the observations and actions of trajectories that are in order and labelled.

    Args:
        episodes: the stored trajectories.
        drawn: [..., n] their indices.
        lengths: [..., n] their steps, 0 for absent ones.
        rewards, to_go, marks: [..., n, T] rewards, returns-to-go and completions of whole
            trajectories, zeros where there is no step.
        cut: a window to cut out of each chain; None keeps it whole.
    """
    if cut is not None:
        return _window(episodes, drawn, lengths, cut, rewards, to_go, marks)
    longest = rewards.shape[-1]

    def whole(array: np.ndarray) -> np.ndarray:
        return gather(array, drawn, np.zeros_like(lengths), lengths, longest)

    mask = np.arange(longest, dtype=lengths.dtype) < lengths[..., None]
    return Chain(whole(episodes.observations), whole(episodes.actions), rewards, to_go, marks, mask)


def _window(
    episodes: Steps, drawn: np.ndarray, lengths: np.ndarray, cut: Cut, rewards: np.ndarray,
    to_go: np.ndarray, marks: np.ndarray,
) -> Window:  # fmt: skip
    """Cut a window out of chains in hindsight order, whose labels [..., n, T] are whole.

    drawn and lengths [..., n] are the chains' trajectories and their steps, 0 for absent ones.
    """
    rows = np.arange(drawn.size).reshape(drawn.shape)
    first = np.broadcast_to(cut.start[..., None], drawn.shape)
    counts = np.clip(lengths - first, 0, cut.steps)

    def stored(array: np.ndarray) -> np.ndarray:
        return gather(array, drawn, first, counts, cut.steps)

    def inside(labels: np.ndarray) -> np.ndarray:
        return gather(labels.reshape(drawn.size, -1), rows, first, counts, cut.steps)

    # Before a window lie steps of the same trajectory, or the last token's of the one before it.
    earlier = np.roll(lengths, 1, axis=-1)
    earlier[..., 0] = 0
    end = np.where(first > 0, np.where(lengths > 0, first, 0), earlier)
    start = np.maximum(end - 1, 0) // cut.align * cut.align
    source = np.where(first > 0, rows, np.maximum(rows - 1, 0))

    def before(array: np.ndarray, where: np.ndarray) -> np.ndarray:
        return gather(array, where, start, end - start, cut.align)

    return Window(
        observations=stored(episodes.observations),
        actions=stored(episodes.actions),
        rewards=inside(rewards),
        returns_to_go=inside(to_go),
        completions=inside(marks),
        mask=np.arange(cut.steps) < counts[..., None],
        start=cut.start,
        before=Outcome(
            actions=before(episodes.actions, drawn.reshape(-1)[source]),
            rewards=before(rewards.reshape(drawn.size, -1), source),
            completions=before(marks.reshape(drawn.size, -1), source),
        ),
    )


def gather(
    array: np.ndarray, rows: np.ndarray, first: np.ndarray, counts: np.ndarray, steps: int
) -> np.ndarray:
    """Return `counts` steps of each row, starting at `first`, and zeros after them.

    Args:
        array: [N, T, ...], such as a read-only memory map; no other steps of it are read.
        rows, first, counts: integers [...]; each row has the steps asked for.
        steps: places for steps in the result.

    Returns:
        [..., steps, ...] new.
    """
    if isinstance(array, np.memmap):
        # A plain view of the map: to slice a memmap itself costs more than to copy an episode.
        array = np.asarray(array)
    if (counts == array.shape[1]).all() and steps == array.shape[1]:
        return array[rows]
    result = np.empty((*rows.shape, steps, *array.shape[2:]), array.dtype)
    places = result.reshape(-1, *result.shape[rows.ndim :])
    every = zip(places, rows.flat, first.flat, counts.flat, strict=True)
    for place, row, start, count in every:
        place[:count] = array[row, start : start + count]
        place[count:] = 0
    return result


class EpisodeProgress(NamedTuple):
    """How far the episode of each of B contexts is on its way to the target return: arrays [B].

    `begin` makes it and `append` advances it.
    """

    target: np.ndarray
    achieved: np.ndarray
    completed: np.ndarray

    @property
    def return_to_go(self) -> np.ndarray:
        """R_t of the step about to be taken: [B] float64."""
        return self.target - self.achieved


def begin(target: np.ndarray) -> EpisodeProgress:
    """Start an episode in every context with target returns [B]."""
    target = np.asarray(target, np.float64)
    return EpisodeProgress(target, np.zeros_like(target), np.zeros(target.shape, bool))


def append(
    progress: EpisodeProgress,
    reward: np.ndarray,
    done: np.ndarray,
    completion: Completion = "target",
) -> tuple[EpisodeProgress, np.ndarray]:
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
    following = EpisodeProgress(
        progress.target,
        np.where(done, 0.0, achieved),
        (progress.completed | marks) & ~done,
    )
    return following, marks.astype(np.float32)
