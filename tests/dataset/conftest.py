"""Small episodes in ExoRL's format, simulated or recorded from dm_control itself."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from agentic.dataset.episodes import write_episode
from agentic.simulation import dm_environment, make_simulation
from agentic.simulation.tasks import get_task

CARTPOLE = "cartpole_swingup"


@cache
def _simulated(task: str, steps: int, seeds: tuple[int, ...]) -> dict[str, np.ndarray]:
    """Return T + 1 rows of an episode of random actions for each seed: [N, T + 1, ...]."""
    simulation, size = make_simulation(task, len(seeds)), get_task(task).action_size
    actions = np.stack(
        [np.random.default_rng(seed).uniform(-1, 1, (steps + 1, size)) for seed in seeds]
    ).astype(np.float32)
    observations = [simulation.reset(range(len(seeds)), [(seed,) for seed in seeds])]
    rewards, physics = [np.zeros(len(seeds))], [simulation.physics]
    for step in range(steps):
        seen, reward, _ = simulation.step(actions[:, step + 1])
        observations.append(seen)
        rewards.append(reward)
        physics.append(simulation.physics)
    kept = {"observations": observations, "rewards": rewards, "physics": physics}
    return {key: np.stack(rows, axis=1) for key, rows in kept.items()} | {"actions": actions}


@pytest.fixture
def rows():
    """Return a function that returns T + 1 rows of an episode, as `write_episode` takes them."""

    def simulate(steps: int, seed: int, task: str = CARTPOLE) -> dict[str, np.ndarray]:
        return {key: rows[0].copy() for key, rows in _simulated(task, steps, (seed,)).items()}

    return simulate


@pytest.fixture
def directory(tmp_path: Path):
    """Return a function that fills a new directory with episodes of the given lengths."""

    def fill(*lengths: int, name: str = "buffer") -> Path:
        episodes = _simulated(CARTPOLE, max(lengths), tuple(range(len(lengths))))
        for index, steps in enumerate(lengths):
            path = tmp_path / name / f"episode_{index:06d}_{steps}.npz"
            write_episode(path, **{key: rows[index, : steps + 1] for key, rows in episodes.items()})
        return tmp_path / name

    return fill


@pytest.fixture(scope="session")
def recorded():
    """Return a function that plays random actions in dm_control itself and keeps all rows."""

    def play(task: str, steps: int) -> dict[str, np.ndarray]:
        rng, spec = np.random.default_rng(7), get_task(task)
        env = dm_environment.load(spec)
        scale = dm_environment.ActuatorScale(env.physics.model.ptr)
        observations = [dm_environment.reset(env, (7,))]
        actions, rewards = [np.zeros(spec.action_size)], [0.0]
        physics = [env.physics.get_state()]
        for _ in range(steps):
            actions.append(rng.uniform(-1, 1, spec.action_size).astype(np.float32))
            now = env.step(scale(actions[-1]))
            observations.append(dm_environment.flat_observation(now.observation))
            rewards.append(now.reward)
            physics.append(env.physics.get_state())
        kept = {"observations": observations, "actions": actions, "rewards": rewards}
        return {key: np.asarray(value) for key, value in (kept | {"physics": physics}).items()}

    return play
