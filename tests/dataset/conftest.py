"""Small episodes in ExoRL's format, made up or recorded from dm_control itself."""

from pathlib import Path

import numpy as np
import pytest

from agentic.dataset.episodes import write_episode
from agentic.simulation import dm_environment
from agentic.simulation.tasks import get_task

CARTPOLE = "cartpole_swingup"


def made_up_rows(steps: int, seed: int, task: str = CARTPOLE) -> dict[str, np.ndarray]:
    """Return T + 1 rows of legal but meaningless numbers, as `write_episode` takes them."""
    rng, sizes = np.random.default_rng(seed), get_task(task)
    return {
        "observations": rng.normal(size=(steps + 1, sizes.observation_size)),
        "actions": rng.uniform(-1, 1, (steps + 1, sizes.action_size)),
        "rewards": rng.uniform(size=(steps + 1)),
        "physics": rng.normal(size=(steps + 1, sizes.physics_size)),
    }


@pytest.fixture
def rows():
    return made_up_rows


@pytest.fixture
def directory(tmp_path: Path):
    """Return a function that fills a new directory with episodes of the given lengths."""

    def fill(*lengths: int, name: str = "buffer") -> Path:
        for index, steps in enumerate(lengths):
            path = tmp_path / name / f"episode_{index:06d}_{steps}.npz"
            write_episode(path, **made_up_rows(steps, seed=index))
        return tmp_path / name

    return fill


@pytest.fixture(scope="session")
def recorded():
    """Return a function that plays random actions in dm_control itself and keeps all rows."""

    def play(task: str, steps: int) -> dict[str, np.ndarray]:
        rng, spec = np.random.default_rng(7), get_task(task)
        env = dm_environment.load(spec)
        observations = [dm_environment.reset(env, (7,))]
        actions, rewards = [np.zeros(spec.action_size)], [0.0]
        physics = [env.physics.get_state()]
        for _ in range(steps):
            actions.append(rng.uniform(-1, 1, spec.action_size).astype(np.float32))
            now = env.step(actions[-1])
            observations.append(dm_environment.flat_observation(now.observation))
            rewards.append(now.reward)
            physics.append(env.physics.get_state())
        kept = {"observations": observations, "actions": actions, "rewards": rewards}
        return {key: np.asarray(value) for key, value in (kept | {"physics": physics}).items()}

    return play
