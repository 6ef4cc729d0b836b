"""The division of causal work among the devices of a ring, and the count of each device's work.

If the sequence is cut into N equal pieces in order, the last device sees everything and the first
sees next to nothing. If it is cut into 2N pieces and device i holds pieces i and 2N - 1 - i, all
devices have the same amount of work.
"""

import numpy as np

from agentic.attention.blocks import BlockSpec


def zigzag(devices: int, rows: int) -> np.ndarray:
    """Return the order [rows] in which equal shares go to the devices: pieces i and 2N - 1 - i.

    `rows` is a multiple of 2 devices. `np.argsort` of the order undoes it.
    """
    pieces = np.arange(rows).reshape(2 * devices, -1)
    both = [piece for i in range(devices) for piece in (i, 2 * devices - 1 - i)]
    return pieces[both].reshape(-1)


def block_products(positions: np.ndarray, blocks: BlockSpec, causal: bool = True) -> np.ndarray:
    """Return the block pairs that each device computes in each hop, int64 [devices, hops].

    As in `ring_attention`, a device visits its own keys first and then the keys of the devices
    before it. It leaves out a pair if no query of the pair sees a key of the pair.

    Args:
      positions: int [devices, rows] of each device's rows, negative where absent.
      blocks: rows per block; fitted as `ring_attention` fits them.
      causal: whether a query sees no later key.
    """
    devices, rows = positions.shape
    fitted = blocks.halves(rows, rows)
    queries, keys = (_bounds(positions, size) for size in (fitted.query, fitted.key))
    counts = np.zeros((devices, devices), np.int64)
    for device in range(devices):
        _, q_last = queries[device]
        for hop in range(devices):
            k_first, k_last = keys[(device - hop) % devices]
            needed = (q_last[:, None] >= 0) & (k_last >= 0)
            if causal:
                needed &= k_first <= q_last[:, None]
            counts[device, hop] = needed.sum()
    return counts


def balance(counts: np.ndarray) -> float:
    """Return the largest share of the work over the mean one: 1 is perfect."""
    work = counts.sum(axis=1)
    return float(work.max() / work.mean())


def _bounds(positions: np.ndarray, size: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return for each device the first and last present position of its blocks, [blocks] each."""
    found = []
    for own in positions:
        count = -(-len(own) // size)
        padded = np.pad(own, (0, count * size - len(own)), constant_values=-1).reshape(count, size)
        first = np.where(padded >= 0, padded, np.iinfo(np.int64).max).min(axis=1)
        found.append((first, padded.max(axis=1)))
    return found
