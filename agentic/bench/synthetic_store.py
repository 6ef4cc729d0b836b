"""Stores of made-up episodes, of any size, to measure and to test with; they mean nothing."""

from pathlib import Path

import numpy as np

from agentic.dataset.episodes import Episode
from agentic.dataset.store.writing import Layout, new_store
from agentic.files import written_whole
from agentic.simulation.tasks import get_task


def write_synthetic_store(path: str | Path, task: str, episodes: int, steps: int) -> None:
    """Write a store of `episodes` x `steps` random steps as wide as the task's, without physics.

    Observations are normal, actions and rewards uniform; equal arguments give equal numbers.
    """
    spec, rng = get_task(task), np.random.default_rng([episodes, steps])
    lengths = np.full(episodes, steps, np.int32)
    layout = Layout(lengths, spec.observation_size, spec.action_size, 0, (task,))
    with written_whole(Path(path)) as temporary, new_store(temporary, layout) as writer:
        for _ in range(episodes):
            episode = Episode(
                observations=rng.standard_normal((steps, spec.observation_size), np.float32),
                actions=rng.random((steps, spec.action_size), np.float32) * 2 - 1,
                physics=None,
            )
            writer.add(episode, {task: rng.random(steps, np.float32)})
        writer.finish(spec.domain, "made up", {}, "action")
