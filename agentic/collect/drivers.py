"""The two ways to choose actions in the loop: at random, or by an agent that learns meanwhile."""

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING

import numpy as np

from agentic.collect.config import EXPLORERS, CollectConfig
from agentic.collect.rounds import Driver, Recording, uniform_actions
from agentic.dataset.episodes import Episode
from agentic.simulation.tasks import get_task

if TYPE_CHECKING:  # random actions need no networks, so JAX is not imported for them
    from agentic.collect.agent import Agent, AgentState


def make_driver(config: CollectConfig) -> Driver:
    """Return the driver for a configuration, in its state before the first step."""
    if not config.learns:
        return RandomDriver(config)
    from agentic.collect.agent import Agent

    task = get_task(config.task)
    sizes = (task.observation_size, task.action_size, config.width)
    explorer = explorer_type(config.explorer)(*sizes, config.learning_rate)
    return LearningDriver(config, Agent(explorer, config.agent(), config.seed))


def explorer_type(name: str) -> type:
    """Return the class of the explorer called `name`, which must be one that learns."""
    module, kind, _ = EXPLORERS[name]
    return getattr(import_module(f"agentic.collect.explorers.{module}"), kind)


class RandomDriver:
    """Uniformly random actions; (seed, index) alone determine the bytes of an episode."""

    def __init__(self, config: CollectConfig):
        self._config = config

    def begin(self, episodes: np.ndarray) -> None:
        task = get_task(self._config.task)
        self._actions = uniform_actions(
            self._config.seed, episodes, task.episode_length, task.action_size
        )

    def act(self, observations: np.ndarray, row: int) -> np.ndarray:
        return self._actions[:, row]

    def learn(self, steps: int) -> None:
        pass

    def end(self, recording: Recording) -> dict[str, float]:
        return {}


class LearningDriver(RandomDriver):
    """Random actions for `seed_steps`, then an agent that is updated every few steps.

    The replay buffer grows by whole episodes, so an update depends on finished rounds alone.
    """

    def __init__(self, config: CollectConfig, agent: "Agent"):
        super().__init__(config)
        from agentic.collect.replay import Replay

        task = get_task(config.task)
        self.agent, self.state = agent, agent.init()
        self._length = task.episode_length
        sizes = (self._length, task.observation_size, task.action_size, agent.explorer.skill_size)
        self._replay = Replay(config.capacity, sizes, config.n_step, config.seed)
        self._round = config.envs * self._length
        # Actions are random until the first end of a round with at least `seed_steps` steps.
        self._warm = -(-config.seed_steps // self._round) * self._round or self._round
        self._updates = 0

    def begin(self, episodes: np.ndarray) -> None:
        super().begin(episodes)
        self._first = int(episodes[0]) * self._length
        self._skills = self.agent.skills(episodes, self._length)
        self._metrics: list = []

    def act(self, observations: np.ndarray, row: int) -> np.ndarray:
        if self._first < self._warm:
            return super().act(observations, row)
        step = np.uint32(self._first // self._config.envs + row)
        return np.asarray(self.agent.act(self.state, observations, self._skills[:, row], step))

    def learn(self, steps: int) -> None:
        due = max(0, steps - self._warm) // self._config.update_every
        while self._updates < due:
            windows = self._replay.sample(self._updates, self._config.batch_size)
            self.state, metrics = self.agent.learn(self.state, windows)
            self._metrics.append(metrics)
            self._updates += 1

    def end(self, recording: Recording) -> dict[str, float]:
        for row in range(self._config.envs):
            self._replay.add(
                recording.observations[row, :-1], recording.actions[row, 1:], self._skills[row]
            )
        names = self._metrics[0] if self._metrics else ()
        return {
            name: float(np.mean([np.asarray(each[name]) for each in self._metrics]))
            for name in names
        }

    def restore(self, state: "AgentState", done: int, read: Callable[[int], Episode]) -> None:
        """Continue from a saved state after `done` episodes; `read` returns one by its index."""
        self.state, self._updates = state, int(state.updates)
        first = max(0, done - self._replay.capacity)
        self._replay.skip(first)
        for index in range(first, done):
            episode, [skills] = read(index), self.agent.skills(np.array([index]), self._length)
            self._replay.add(episode.observations, episode.actions, skills)
