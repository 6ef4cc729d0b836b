"""The loop: one round of episodes after another, as a generator.

    simulation --observations, rewards, physics--> recording --whole episodes--> replay
        ^------------------ actions -- explorer <-- updates, between the steps --'

Axes: N environments, T steps of an episode, O, A, P, Z as elsewhere.
"""

from collections.abc import Iterator
from typing import NamedTuple, Protocol

import numpy as np

from agentic.simulation import Simulation

# The second number of a seed says what is drawn, so that no two draws share a generator.
RESET, ACTIONS = 0, 1


class Recording:
    """The episodes of one round, in ExoRL's rows; row 0 is the reset.

    Observations are [N, T + 1, O], actions [N, T + 1, A], rewards [N, T + 1], physics
    [N, T + 1, P].
    """

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
    """Chooses the actions, and may learn between the steps."""

    def begin(self, episodes: np.ndarray) -> None:
        """Prepare for a round; its episodes have these indices [N]."""

    def act(self, observations: np.ndarray, row: int) -> np.ndarray:
        """Return actions [N, A] for step `row` of the round."""

    def learn(self, steps: int) -> None:
        """Make the updates that are due after `steps` environment steps in all."""

    def end(self, recording: Recording) -> dict[str, float]:
        """Learn from the finished round's recording; return the means of its metrics."""


class Explored(NamedTuple):
    """The state of a collection after `steps` environment steps in all.

    At the end of a round it holds the round's recording and metrics. Within a round there is no
    recording, and the metrics are those known so far.
    """

    steps: int
    recording: Recording | None
    metrics: dict[str, float]


def explore(
    simulation: Simulation, driver: Driver, seed: int, rounds: range, report_every: int = 50
) -> Iterator[Explored]:
    """Play rounds of one episode in each row; yield every `report_every` steps and every round.

    (seed, i) determines the initial state of episode i, whatever the number of rows.
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
                yield Explored(steps, None, {"reward": reward})
        metrics = {
            "return": float(recording.rewards.sum(axis=1).mean()),
            "reward": float(recording.rewards[:, 1:].mean()),
        }
        yield Explored(steps, recording, metrics | driver.end(recording))


def uniform_actions(seed: int, episodes: np.ndarray, length: int, size: int) -> np.ndarray:
    """Return actions uniform in [-1, 1): [N, T, A]; (seed, index) determine those of an episode."""

    def draw(episode: int) -> np.ndarray:
        generator = np.random.default_rng((seed, ACTIONS, episode))
        return generator.random((length, size), np.float32) * 2 - 1

    return np.stack([draw(int(episode)) for episode in episodes])
