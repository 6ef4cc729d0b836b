"""Steps of chosen episodes out of arrays [N, T, ...], copied once: from the map into the batch."""

import numpy as np


def gather(
    array: np.ndarray, episodes: np.ndarray, first: np.ndarray, counts: np.ndarray, steps: int
) -> np.ndarray:
    """Return `counts` steps from `first` on of each episode, and zeros after them.

    Args:
        array: [N, T, ...], such as a read-only memory map, of which nothing else is read.
        episodes, first, counts: integers [...]; each episode has the steps asked for.
        steps: places for steps in the result.

    Returns:
        [..., steps, ...] new.
    """
    # A plain view of a map: to slice a numpy.memmap itself costs more than to copy an episode.
    array = np.asarray(array)
    if (counts == array.shape[1]).all() and steps == array.shape[1]:
        return array[episodes]
    result = np.empty((*episodes.shape, steps, *array.shape[2:]), array.dtype)
    places = result.reshape(-1, *result.shape[episodes.ndim :])
    every = zip(places, episodes.flat, first.flat, counts.flat, strict=True)
    for place, episode, start, count in every:
        place[:count] = array[episode, start : start + count]
        place[count:] = 0
    return result
