"""Environment steps per second of evaluation, against the bare simulator and against recomputing.

All three step the same number of environments of one task. The bare simulator gets random actions.
Evaluation is `agentic.acting.rollout` as `agentic evaluate` uses it, with a cache of keys and
values. It is timed in the first steps of each episode of a context whose earlier episodes are
filled in at once; a straight line through these times gives the whole context. Recomputing is the
way of public code, which takes the whole context through the network again for every action. That
would take hours, so one forward pass of one row is timed at the length of each whole episode. A
step costs one pass per environment, and lengths in between lie on straight lines.
"""

import itertools
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace

import jax
import numpy as np

from agentic.acting.context import ContextPolicy
from agentic.acting.grouped import ROWS, Grouped
from agentic.acting.rollout import rollout
from agentic.bench import Row, problem
from agentic.bench.problem import at_least_one
from agentic.bench.timing import fastest, timed
from agentic.errors import AgenticError
from agentic.network.parameters import Parameters, bind, initialize
from agentic.simulation import make_simulation
from agentic.simulation.interface import Simulation
from agentic.simulation.tasks import get_task
from agentic.training.batch import make_batch
from agentic.trajectory import Chain

TARGET = 500.0
# Steps that compile and warm caches before the clock starts.
WARM_UP = 10


@dataclass(frozen=True)
class Options:
    """Measure how fast policies are evaluated.

    Attributes:
        task: task name.
        num: environments that step side by side, one context each.
        episodes: number of episodes in one context.
        layers: number of layers of the Transformer.
        width: channels of its tokens.
        action_chunk: steps that one token covers.
        steps: number of steps at the beginning of each episode that are timed.
        repeats: of the bare simulator and of recomputing; the fastest is reported.
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
        names = ("num", "episodes", "layers", "width", "action_chunk", "steps", "repeats")
        at_least_one(self, *names)
        if self.steps + WARM_UP > length:
            raise AgenticError(
                f"steps is {self.steps}; an episode of {self.task} has {length}, of which "
                f"{WARM_UP} warm up."
            )


def run(options: Options, say: Callable[[str], None]) -> list[Row]:
    """Return a row for each episode of a context and one for the whole context."""
    task = get_task(options.task)
    config = problem.network(
        task.episode_length, options.episodes, task.observation_size, task.action_size, TARGET,
        layers=options.layers, width=options.width, action_chunk=options.action_chunk,
    )  # fmt: skip
    policy = ContextPolicy(config, initialize(config, jax.random.key(0)), TARGET)
    simulation = make_simulation(task.name, options.num)
    episodes = range(options.episodes)
    bare, evaluated = [], []
    for episode in episodes:
        say(f"episode {episode + 1} of {options.episodes}: filling the context")
        filled = FilledContext(policy, problem.chain(config, ROWS, present=episode, target=TARGET))
        # By turns, so that the machine's other work slows both down.
        say(f"episode {episode + 1} of {options.episodes}: the bare simulator")
        bare.append(fastest(lambda: _bare(simulation, options.steps), options.repeats))
        say(f"episode {episode + 1} of {options.episodes}: evaluation")
        evaluated.append(_evaluated(filled, simulation, options.steps))
    say("recomputing whole contexts")
    recomputed = [0.0, *(_recomputed(policy, episode + 1, options.repeats) for episode in episodes)]
    # Seconds of one step of all environments.
    bare, evaluated = np.array(bare) / options.steps, np.array(evaluated) / options.steps
    again = [options.num * (a + b) / 2 for a, b in itertools.pairwise(recomputed)]
    rows = [
        _row(f"episode {episode + 1}", options.num, *seconds)
        for episode, seconds in enumerate(zip(bare, evaluated, again, strict=True))
    ]
    whole = at_the_middle(evaluated, options.steps / task.episode_length)
    return [*rows, _row("whole context", options.num, bare.mean(), whole, float(np.mean(again)))]


class FilledContext:
    """A policy of ROWS rows that `reset` takes back to a context which was filled at once."""

    def __init__(self, policy: ContextPolicy, chain: Chain):
        self._before = policy
        policy.reset(ROWS)
        policy.prefill(chain)
        # Otherwise the filling would go on while something else is timed.
        jax.block_until_ready(policy._cache)
        self._now = policy

    def reset(self, batch: int | None = None) -> None:
        """Go back to the filled context, in a copy, because acting uses up the cache it extends."""
        self._now = deepcopy(self._before)

    def act(self, observation: np.ndarray) -> np.ndarray:
        """Act as the policy does."""
        return self._now.act(observation)

    def observe(
        self, reward: np.ndarray, done: np.ndarray, action: np.ndarray | None = None
    ) -> None:
        """Observe as the policy does."""
        self._now.observe(reward, done, action)


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


def _evaluated(filled: FilledContext, simulation: Simulation, steps: int) -> float:
    """Return the seconds of `steps` steps of a rollout, after some that warm it up."""
    acting, seeds = Grouped(filled, simulation.num), range(simulation.num)
    stream = rollout(acting, simulation, 1, seeds)
    for _ in range(WARM_UP):
        next(stream)
    return timed(lambda: [next(stream) for _ in range(steps)]).clock


def _recomputed(policy: ContextPolicy, episodes: int, repeats: int) -> float:
    """Return the seconds of one forward pass over one context of whole episodes."""
    chain = problem.chain(replace(policy.config, trajectories=episodes), rows=1, target=TARGET)
    parameters = initialize(policy.config, jax.random.key(0))

    @jax.jit
    def forward(parameters: Parameters, chain: Chain) -> jax.Array:
        network, batch = bind(policy.config, parameters), make_batch(policy.config, "all", 1, chain)
        return network.decode(network(batch.inputs), batch.observations)

    jax.block_until_ready(forward(parameters, chain))
    return fastest(lambda: jax.block_until_ready(forward(parameters, chain)), repeats)


def _row(where: str, num: int, bare: float, evaluated: float, recomputed: float) -> Row:
    return {
        "measured in": where,
        "environments": num,
        "bare steps/s": num / bare,
        "evaluated steps/s": num / evaluated,
        "of the bare": bare / evaluated,
        "recomputing steps/s": num / recomputed,
        "times recomputing": recomputed / evaluated,
    }
