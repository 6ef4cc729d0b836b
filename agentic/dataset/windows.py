"""Windows: the same steps of all trajectories of a chain, cut after the chain was labelled whole.

Axis letters as in `agentic.trajectory`; w steps of a window, c steps of a token.
"""

import numpy as np

from agentic.dataset.dataset import Dataset
from agentic.dataset.gather import gather
from agentic.trajectory import Outcome, Window


def draw_starts(
    generator: np.random.Generator, lengths: np.ndarray, steps: int, align: int
) -> np.ndarray:
    """Return where the window of each chain starts: lengths [B, n] (0: absent) -> [B] int32.

    All multiples of `align` are equally likely, up to the first from which the window holds the end
    of the chain's shortest trajectory: every trajectory has a step in the window, and ends are
    drawn like all else.
    """
    shortest = np.where(lengths > 0, lengths, lengths.max()).min(axis=1)
    last = -(-np.maximum(shortest - steps, 0) // align)
    return (align * generator.integers(last, endpoint=True)).astype(np.int32)


def cut_window(
    data: Dataset, indices: np.ndarray, lengths: np.ndarray, start: np.ndarray, steps: int,
    align: int, rewards: np.ndarray, returns_to_go: np.ndarray, completions: np.ndarray,
) -> Window:  # fmt: skip
    """Cut [start, start + steps) out of chains and gather the observations and actions there.

    Args:
        data, indices, lengths: the trajectories [B, n] and how long they are, 0 for absent ones.
        start: [B], multiples of `align`.
        steps, align: w and c.
        rewards, returns_to_go, completions: the whole chains' [B, n, T].
    """
    own = np.arange(indices.size).reshape(indices.shape)
    first = np.broadcast_to(start[:, None], indices.shape)
    counts = np.clip(lengths - first, 0, steps)

    def inside(labels: np.ndarray) -> np.ndarray:
        return gather(labels.reshape(indices.size, -1), own, first, counts, steps)

    # Before a window lie steps of the same trajectory, or the last token's of the one before it.
    earlier = np.roll(lengths, 1, axis=1)
    earlier[:, 0] = 0
    end = np.where(first > 0, np.where(lengths > 0, first, 0), earlier)
    begin = np.maximum(end - 1, 0) // align * align
    source = np.where(first > 0, own, np.maximum(own - 1, 0))

    def outside(array: np.ndarray, rows: np.ndarray) -> np.ndarray:
        return gather(array, rows, begin, end - begin, align)

    return Window(
        observations=gather(data.observations, indices, first, counts, steps),
        actions=gather(data.actions, indices, first, counts, steps),
        rewards=inside(rewards),
        returns_to_go=inside(returns_to_go),
        completions=inside(completions),
        mask=np.arange(steps) < counts[..., None],
        start=start,
        before=Outcome(
            actions=outside(data.actions, indices.reshape(-1)[source]),
            rewards=outside(rewards.reshape(indices.size, -1), source),
            completions=outside(completions.reshape(indices.size, -1), source),
        ),
    )
