"""The problems that benchmarks share: networks, chains and episodes of random numbers."""

import re
from typing import NamedTuple

import numpy as np

from agentic.errors import AgenticError
from agentic.hindsight import relabel
from agentic.network.config import NetworkConfig, Normalization
from agentic.simulation import Simulation
from agentic.trajectory import Chain

# Sizes of walker, the domain of the papers' chains.
OBSERVATIONS, ACTIONS = 24, 6


def at_least_one(options: object, *names: str) -> None:
    """Raise AgenticError unless each of these options, and each part of a tuple, is at least 1."""
    for name in names:
        value = getattr(options, name)
        if isinstance(value, tuple) and min(value, default=0) < 1:
            raise AgenticError(f"{name} is {value}; give one or more numbers of at least 1.")
        if not isinstance(value, tuple) and value < 1:
            raise AgenticError(f"{name} is {value}; it must be at least 1.")


def pair(name: str, text: str, meaning: str) -> tuple[int, int]:
    """Return the two numbers of an option such as 512x256, or raise AgenticError."""
    if not re.fullmatch(r"[1-9]\d*x[1-9]\d*", text):
        raise AgenticError(f"{name} has {text!r}; give {meaning}, such as 512x256.")
    first, second = map(int, text.split("x"))
    return first, second


def network(
    episode_length: int,
    trajectories: int,
    observations: int = OBSERVATIONS,
    actions: int = ACTIONS,
    return_scale: float = 1.0,
    **options,
) -> NetworkConfig:
    """Return a network whose normalisation changes no observation; `options` are its own fields."""
    zeros, ones = (0.0,) * observations, (1.0,) * observations
    return NetworkConfig(
        observations, actions, episode_length, trajectories,
        normalization=Normalization(zeros, ones, return_scale), **options,
    )  # fmt: skip


def chain(
    config: NetworkConfig, rows: int, present: int | None = None, target: float | None = None
) -> Chain:
    """Return chains [rows, n, T, ...] of random trajectories, in no order.

    Args:
        config: gives n, T and the sizes of observations and actions.
        rows: chains.
        present: how many trajectories there are, by default all n; the other places are masked.
        target: the chains' target return; by default each chain's best return.
    """
    rng = np.random.default_rng(0)
    lead = (rows, config.trajectories, config.episode_length)
    there = np.arange(config.trajectories) < (lead[1] if present is None else present)
    return relabel(
        rng.standard_normal((*lead, config.observation_size), np.float32),
        rng.random((*lead, config.action_size), np.float32) * 2 - 1,
        rng.random(lead, np.float32),
        np.broadcast_to(there[:, None], lead),
        target=None if target is None else np.full(rows, target),
    )


class Episodes(NamedTuple):
    """Episodes in ExoRL's rows: observations [N, T + 1, O], actions [N, T + 1, A], rewards
    [N, T + 1], physics [N, T + 1, P]; row 0 is the reset."""

    observations: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    physics: np.ndarray


def random_episodes(simulation: Simulation, steps: int, seed: int) -> Episodes:
    """Return the first `steps` steps of an episode per row, with uniformly random actions."""
    rng, rows = np.random.default_rng(seed), np.arange(simulation.num)
    shape = (simulation.num, simulation.task.action_size)
    observations = simulation.reset(rows, [(seed, row) for row in rows.tolist()])
    recorded = [(observations, np.zeros(shape), np.zeros(simulation.num), simulation.physics)]
    for _ in range(steps):
        actions = rng.uniform(-1, 1, shape)
        observations, rewards, _ = simulation.step(actions)
        recorded.append((observations, actions, rewards, simulation.physics))
    return Episodes(*(np.stack(parts, axis=1) for parts in zip(*recorded, strict=True)))
