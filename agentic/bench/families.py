"""Task families: their labels beside a named task's, and their chains beside hindsight's.

Features are computed once for each stored state, at about the cost of the base task's rewards.
After that, a label for any code is one expression. Chains of a hidden task are drawn from episodes
in memory and labelled on the way. Chains of hindsight come from the same episodes, which were
labelled for one code before. Numpy copies the same episodes as a lower bound for both.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from agentic.bench import Row
from agentic.bench.problem import Episodes, at_least_one, random_episodes
from agentic.bench.timing import by_turns, fastest, timed
from agentic.dataset.family_dataset import FamilyDataset
from agentic.dataset.hidden import HiddenTaskSampler
from agentic.dataset.sampler import ChainSampler
from agentic.simulation import features, make_simulation, rewards
from agentic.simulation.families import get_family


@dataclass(frozen=True)
class Options:
    """Measure how fast stored states are labelled for the tasks of a family.

    Attributes:
        families: names of task families.
        episodes, steps: of random episodes, whose states are labelled.
        trajectories: in a chain.
        batch_size: chains per batch.
        repeats: counts; the fastest label and the median batch are reported.
        seed: of the episodes.
    """

    families: tuple[str, ...] = (
        "point_mass_goal", "walker_velocity", "walker_stand,walker_walk,walker_run,walker_flip",
        "walker_prior",
    )  # fmt: skip
    episodes: int = 32
    steps: int = 1000
    trajectories: int = 2
    batch_size: int = 8
    repeats: int = 20
    seed: int = 0

    def __post_init__(self):
        at_least_one(self, "episodes", "steps", "trajectories", "batch_size", "repeats")


def run(options: Options, say: Callable[[str], None]) -> list[Row]:
    """Return a row per family."""
    rows = []
    for name in options.families:
        say(f"{name}: recording {options.episodes} episodes")
        simulation = make_simulation(name, num=options.episodes)
        episodes = random_episodes(simulation, options.steps, options.seed)
        say(f"{name}: labelling")
        rows.append(_measure(name, episodes, options))
    return rows


def _measure(name: str, episodes: Episodes, options: Options) -> Row:
    family = get_family(name)
    states = episodes.physics[:, 1:].reshape(-1, episodes.physics.shape[2])
    actions = episodes.actions[:, 1:].reshape(-1, episodes.actions.shape[2])
    count = len(states)
    seen = features(name, states, actions)
    once = fastest(lambda: features(name, states, actions), 3) / count
    named = fastest(lambda: rewards(family.base.name, states, actions), 3) / count
    stored = seen.astype(np.float32).reshape(*episodes.rewards[:, 1:].shape, -1)
    codes = family.draw(np.random.default_rng(options.seed), len(stored))[:, None]
    label = fastest(lambda: family.reward(stored, codes), options.repeats) / count

    data = FamilyDataset(
        name, episodes.observations[:, :-1], episodes.actions[:, 1:].astype(np.float32), stored,
        np.full(options.episodes, options.steps, np.int32),
        physics=None, control="action", source="memory", fingerprint="",
    )  # fmt: skip
    one = data.labelled(codes[0, 0])
    drawing = {"trajectories": options.trajectories, "batch_size": options.batch_size}
    hidden, plain = HiddenTaskSampler(data, **drawing), ChainSampler(one, **drawing)
    arrays = (one.observations, one.actions, one.rewards)

    def copied(turn: int) -> list[np.ndarray]:
        drawn, _ = hidden.draw(turn)
        return [array[drawn] for array in arrays]

    measures = [lambda turn, work=work: timed(lambda: work(turn)).clock
                for work in (hidden, plain, copied)]  # fmt: skip
    medians = [float(np.median(each)) for each in by_turns(measures, options.repeats)]
    return {
        "family": name,
        "features us/state": 1e6 * once,
        "base task us/state": 1e6 * named,
        "label ns/state": 1e9 * label,
        "labels for one reward": named / label,
        "hidden ms/batch": 1e3 * medians[0],
        "hindsight ms/batch": 1e3 * medians[1],
        "copying ms/batch": 1e3 * medians[2],
    }
