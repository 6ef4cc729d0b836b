"""Environment steps per second of evaluation, against the bare simulator and recomputed prefixes.

All three step the same number of environments of one task. The bare simulator is given random
actions. Evaluation is `agentic.acting.rollout` as `agentic evaluate` uses it, with keys and values
kept; it is timed in the first steps of every episode of a context, whose earlier episodes were
filled in at once, and the whole context is the straight line through these times. Recomputing is
what public code does: the whole context goes through the network again for every action. That would
take hours, so one forward pass of one row is timed at the length of every whole episode, a step
costs as many of them as there are environments, and lengths in between lie on straight lines.
"""

import itertools
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass

import jax
import numpy as np

from agentic.acting.context import ContextPolicy
from agentic.acting.grouped import ROWS, Grouped
from agentic.acting.rollout import rollout
from agentic.bench import fastest, timed
from agentic.errors import AgenticError
from agentic.hindsight import relabel
from agentic.network.config import NetworkConfig, Normalization
from agentic.network.stack import bind, initialize
from agentic.simulation import make_simulation
from agentic.simulation.interface import Simulation
from agentic.simulation.tasks import Task, get_task
from agentic.trajectory import Chain

TARGET = 500.0
# Steps that compile and warm caches before the clock starts.
WARM_UP = 10


@dataclass(frozen=True)
class Options:
    """What is measured.

    Attributes:
        task: task name.
        num: environments that step side by side, one context each.
        episodes: in one context.
        layers: of the Transformer.
        width: of its tokens.
        action_chunk: steps that one token covers.
        steps: first steps of every episode that are timed.
        repeats: of the bare simulator and of recomputing, of which the fastest counts.
    """

    task: str = "walker_run"
    num: int = 32
    episodes: int = 4
    layers: int = 3
    width: int = 128
    action_chunk: int = 1
    steps: int = 100
    repeats: int = 2

    def __post_init__(self) -> None:
        length = get_task(self.task).episode_length
        for name in ("num", "episodes", "layers", "width", "action_chunk", "steps", "repeats"):
            if getattr(self, name) < 1:
                raise AgenticError(f"{name} is {getattr(self, name)}; it must be at least 1.")
        if self.steps + WARM_UP > length:
            raise AgenticError(
                f"steps is {self.steps}; an episode of {self.task} has {length}, of which "
                f"{WARM_UP} warm up."
            )


def run(options: Options, say: Callable[[str], None]) -> list[dict[str, str | float]]:
    """Return a row for each episode of a context and one for the whole of it."""
    task = get_task(options.task)
    config = NetworkConfig(
        task.observation_size, task.action_size, task.episode_length,
        trajectories=options.episodes, layers=options.layers, width=options.width,
        action_chunk=options.action_chunk,
        normalization=Normalization(
            (0.0,) * task.observation_size, (1.0,) * task.observation_size, TARGET
        ),
    )  # fmt: skip
    policy = ContextPolicy(config, initialize(config, jax.random.key(0)), TARGET)
    simulation = make_simulation(task.name, options.num)
    episodes = range(options.episodes)
    bare, evaluated = [], []
    for episode in episodes:
        say(f"episode {episode + 1} of {options.episodes}: filling the context")
        lived = Lived(policy, made_up_chain(task, options.episodes, episode, ROWS))
        # In turns, so that whatever else the machine does slows both down.
        say(f"episode {episode + 1} of {options.episodes}: the bare simulator")
        bare.append(fastest(lambda: _bare(simulation, options.steps), options.repeats))
        say(f"episode {episode + 1} of {options.episodes}: evaluation")
        evaluated.append(_evaluated(lived, simulation, options.steps))
    say("recomputing whole contexts")
    recomputed = [0.0, *(_recomputed(policy, task, episode + 1, options) for episode in episodes)]
    # Seconds of one step of all environments.
    bare, evaluated = np.array(bare) / options.steps, np.array(evaluated) / options.steps
    again = [options.num * (a + b) / 2 for a, b in itertools.pairwise(recomputed)]
    rows = [
        _row(f"episode {episode + 1}", options.num, *seconds)
        for episode, seconds in enumerate(zip(bare, evaluated, again, strict=True))
    ]
    whole = at_the_middle(evaluated, options.steps / task.episode_length)
    return [*rows, _row("whole context", options.num, bare.mean(), whole, float(np.mean(again)))]


class Lived:
    """A policy of ROWS rows whose reset brings back a context that was filled before."""

    def __init__(self, policy: ContextPolicy, chain: Chain):
        self._before = policy
        policy.reset(ROWS)
        policy.prefill(chain)
        # Or the filling would go on while something else is timed.
        jax.block_until_ready(policy._cache)
        self._now = policy

    def reset(self, batch: int | None = None) -> None:
        """Forget what came after the filling; extending a cache takes it, so each has a copy."""
        self._now = deepcopy(self._before)

    def act(self, observation: np.ndarray) -> np.ndarray:
        """Act as the policy does."""
        return self._now.act(observation)

    def observe(
        self, reward: np.ndarray, done: np.ndarray, action: np.ndarray | None = None
    ) -> None:
        """Observe as the policy does."""
        self._now.observe(reward, done, action)


def made_up_chain(task: Task, places: int, present: int, rows: int) -> Chain:
    """Return a chain [rows, places, T, ...] of noise whose first `present` places are taken."""
    rng, lead = np.random.default_rng(present), (rows, places, task.episode_length)
    mask = np.broadcast_to((np.arange(places) < present)[:, None], lead)
    return relabel(
        rng.normal(size=(*lead, task.observation_size)).astype(np.float32),
        rng.uniform(-1, 1, (*lead, task.action_size)).astype(np.float32),
        rng.random(lead).astype(np.float32),
        mask,
        target=np.full(rows, TARGET),
    )


def at_the_middle(seconds: np.ndarray, share: float) -> float:
    """Return the mean of a cost that grows linearly over a context of n episodes.

    seconds [n] are means over the first `share` of each episode. The mean of a straight line is
    its value in the middle, n / 2 episodes into the context.
    """
    n = len(seconds)
    if n == 1:
        return float(seconds[0])
    slope, start = np.polyfit(np.arange(n) + share / 2, seconds, 1)
    return float(start + slope * n / 2)


def _bare(simulation: Simulation, steps: int) -> None:
    """Step the simulator alone; drawing the actions costs next to nothing."""
    rows = np.arange(simulation.num)
    simulation.reset(rows, [(row,) for row in rows.tolist()])
    shape = (simulation.num, simulation.task.action_size)
    actions = np.random.default_rng(0).uniform(-1, 1, (steps, *shape)).astype(np.float32)
    for action in actions:
        simulation.step(action)


def _evaluated(lived: Lived, simulation: Simulation, steps: int) -> float:
    """Return the seconds of `steps` steps of a rollout, after those that warm it up."""
    acting, seeds = Grouped(lived, simulation.num), range(simulation.num)
    stream = rollout(acting, simulation, 1, seeds)
    for _ in range(WARM_UP):
        next(stream)
    seconds, _ = timed(lambda: [next(stream) for _ in range(steps)])
    return seconds


def _recomputed(policy: ContextPolicy, task: Task, episodes: int, options: Options) -> float:
    """Return the seconds of one forward pass over one context of whole episodes."""
    chain = made_up_chain(task, episodes, episodes, rows=1)
    forward = jax.jit(lambda parameters, chain: bind(policy.config, parameters)(chain))
    jax.block_until_ready(forward(policy.parameters, chain))
    return fastest(
        lambda: jax.block_until_ready(forward(policy.parameters, chain)), options.repeats
    )


def _row(
    where: str, num: int, bare: float, evaluated: float, recomputed: float
) -> dict[str, str | float]:
    return {
        "measured in": where,
        "environments": num,
        "bare steps/s": num / bare,
        "evaluated steps/s": num / evaluated,
        "of the bare": bare / evaluated,
        "recomputing steps/s": num / recomputed,
        "times recomputing": recomputed / evaluated,
    }
