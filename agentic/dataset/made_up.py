"""Stores of made-up episodes, of any size, to measure and to test with; they mean nothing."""

from pathlib import Path

import numpy as np

from agentic.dataset.dataset import Digest
from agentic.dataset.store import _create_arrays, _new_file, _write_provenance
from agentic.files import written_whole
from agentic.simulation.tasks import get_task


def write_made_up_store(path: str | Path, task: str, episodes: int, steps: int) -> None:
    """Write a store of `episodes` x `steps` random steps as wide as the task's, without physics.

    Observations are normal, actions and rewards uniform; equal arguments give equal numbers.
    """
    spec, rng = get_task(task), np.random.default_rng([episodes, steps])
    digest = Digest([task])
    with written_whole(Path(path)) as temporary, _new_file(temporary) as (file, output):
        arrays = _create_arrays(file, [spec], np.full(episodes, steps, np.int32))
        del arrays["physics"], file["physics"]
        for row in range(episodes):
            values = {
                "observations": rng.standard_normal((steps, spec.observation_size), np.float32),
                "actions": rng.random((steps, spec.action_size), np.float32) * 2 - 1,
                f"rewards/{task}": rng.random(steps, np.float32),
            }
            for key, array in arrays.items():
                array[row] = values[key]
            output.check()
            rewards = {task: values[f"rewards/{task}"]}
            digest.add(values["observations"], values["actions"], rewards)
        _write_provenance(file, "made up", [spec], "action", digest)
