"""Law: relabelling the episodes of the original environments gives the original rewards."""

import os
from pathlib import Path

import numpy as np
import pytest

from agentic.simulation import observations, rewards
from agentic.simulation.tasks import TASKS

FOLDER = os.environ.get("AGENTIC_EXORL_REFERENCE")
EXORL_TASKS = sorted(
    {name for name, task in TASKS.items() if not task.in_suite}
    | {"cartpole_balance", "cartpole_balance_sparse", "cartpole_swingup", "cheetah_run"}
    | {"cartpole_swingup_sparse", "quadruped_walk", "quadruped_run"}
    | {"walker_stand", "walker_walk", "walker_run"}
)


@pytest.mark.skipif(FOLDER is None, reason="AGENTIC_EXORL_REFERENCE names no folder")
def test_rewards_are_the_original_ones():
    for name in EXORL_TASKS:
        [path] = Path(FOLDER, TASKS[name].domain, "random", "buffer").glob("*.npz")
        expected = np.load(Path(FOLDER, "rewards", f"{name}.npz"))
        stored = np.load(path)
        physics, actions = stored["physics"], stored["action"]
        zero, action = (expected[f"{path.stem}__control_{mode}"] for mode in ("zero", "action"))
        np.testing.assert_allclose(rewards(name, physics), zero, rtol=0, atol=1e-6)
        np.testing.assert_allclose(rewards(name, physics, actions), action, rtol=0, atol=1e-6)
        if TASKS[name].domain != "quadruped":  # its force sensors need more than the state
            recomputed = observations(name, physics)
            np.testing.assert_allclose(recomputed, stored["observation"], rtol=0, atol=1e-6)
