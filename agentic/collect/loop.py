"""The loop: round after round of episodes, as a generator of what has been done so far.

    simulation --observations, rewards, physics--> recording --whole episodes--> replay
        ^------------------ actions -- explorer <-- updates, between the steps --'

Axes: N environments, T steps of an episode, O, A, P, Z as elsewhere.
"""

from collections.abc import Iterator
from typing import NamedTuple, Protocol

import numpy as np

from agentic.simulation.interface import Simulation

# What a seed is for: no two draws share a generator.
RESET, ACTIONS = 0, 1


class Recording:
    """The episodes of one round, in ExoRL's rows: observations [N, T + 1, O], actions
    [N, T + 1, A], rewards [N, T + 1] and physics [N, T + 1, P]; row 0 is the reset."""

    def __init__(self, simulation: Simulation, observations: np.ndarray):
        task, rows = simulation.task, (simulation.num, simulation.task.episode_length + 1)
        self.observations = np.zeros((*rows, task.observation_size), np.float32)
        self.actions = np.zeros((*rows, task.action_size), np.float32)
        self.rewards = np.zeros(rows, np.float32)
        self.physics = np.zeros((*rows, task.physics_size), np.float64)
        self.observations[:, 0] = observations
        self.physics[:, 0] = simulation.physics

    def add(self, row: int, observations, actions, rewards, physics) -> None:
        """Fill one row of every episode."""
        self.observations[:, row] = observations
        self.actions[:, row] = actions
        self.rewards[:, row] = rewards
        self.physics[:, row] = physics


class Driver(Protocol):
    """Who chooses the actions, and perhaps learns in between."""

    def begin(self, episodes: np.ndarray) -> None:
        """Prepare for a round of the episodes with these indices [N]."""

    def act(self, observations: np.ndarray, row: int) -> np.ndarray:
        """Return actions [N, A] for step `row` of the round."""

    def learn(self, steps: int) -> None:
        """Do what is due after `steps` environment steps in all."""

    def end(self, recording: Recording) -> dict[str, float]:
        """Take in the finished round; return the means of its metrics."""


class Progress(NamedTuple):
    """After `steps` environment steps in all: the finished round's recording and metrics, or
    None and what is known, within a round."""

    steps: int
    recording: Recording | None
    metrics: dict[str, float]


def explore(
    simulation: Simulation, driver: Driver, seed: int, rounds: range, report_every: int = 50
) -> Iterator[Progress]:
    """Play rounds of one episode in each row, yielding every `report_every` rows and every round.

    Episode i starts from a state that (seed, i) determines, whatever the number of rows.
    """
    length, num = simulation.task.episode_length, simulation.num
    for number in rounds:
        episodes = number * num + np.arange(num)
        seeds = [(seed, RESET, int(episode)) for episode in episodes]
        observations = simulation.reset(np.arange(num), seeds)
        recording = Recording(simulation, observations)
        driver.begin(episodes)
        for row in range(length):
            actions = driver.act(observations, row)
            observations, rewards, _ = simulation.step(actions)
            recording.add(row + 1, observations, actions, rewards, simulation.physics)
            steps = (number * length + row + 1) * num
            driver.learn(steps)
            if (row + 1) % report_every == 0 and row + 1 < length:
                reward = float(recording.rewards[:, 1 : row + 2].mean())
                yield Progress(steps, None, {"reward": reward})
        metrics = {
            "return": float(recording.rewards.sum(axis=1).mean()),
            "reward": float(recording.rewards[:, 1:].mean()),
        }
        yield Progress(steps, recording, metrics | driver.end(recording))


def uniform_actions(seed: int, episodes: np.ndarray, length: int, size: int) -> np.ndarray:
    """Return actions uniform in [-1, 1): [N, T, A], each episode's drawn from (seed, its index)."""

    def draw(episode: int) -> np.ndarray:
        generator = np.random.default_rng((seed, ACTIONS, episode))
        return generator.random((length, size), np.float32) * 2 - 1

    return np.stack([draw(int(episode)) for episode in episodes])
