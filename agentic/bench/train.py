"""Training steps per second, against the machine's own rate of matrix products.

A step is complete: loss, gradient and AdamW, on chains of random numbers that are in memory. Its
operations are counted by hand (`flops`): two for each multiplication with its addition in layers,
embeddings and head, and in attention where a query sees a key; three times that for forward and
backward together; nothing for parts that are computed again. The rate of matrix products is that of
one square product in float32, which takes turns with the steps.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import jax

from agentic.bench import Row, problem
from agentic.bench.problem import at_least_one
from agentic.bench.timing import by_turns, product_rate, timed
from agentic.errors import AgenticError
from agentic.network.config import NetworkConfig, preset
from agentic.training.batch import batch_maker
from agentic.training.loop import TrainingConfig, initial_state, make_step
from agentic.training.mesh import MeshShape, make_mesh, place_batch

# Steps with more tokens, or more operations, take minutes on a CPU; --full includes them.
QUICK_TOKENS, QUICK_FLOPS = 20_000, 5e12


@dataclass(frozen=True)
class Options:
    """Measure how long training steps take.

    Attributes:
        model: names of presets.
        trajectories: lengths of chains.
        tokens_per_step: 5 and 1, one or both.
        action_chunk: steps per token where there is one token per step.
        steps: length of a trajectory.
        batch_size: chains per batch.
        dtype: of activations: "float32" or "bfloat16".
        remat: as in training: "none", "block", "attention", "layer" or "offload".
        repeats: steps measured; the fastest is reported.
        product: rows of the square matrices whose product is measured.
        full: also measure chains that take minutes per step on a CPU.
    """

    model: tuple[str, ...] = ("3x128", "20m")
    trajectories: tuple[int, ...] = (4, 32)
    tokens_per_step: tuple[int, ...] = (5, 1)
    action_chunk: int = NetworkConfig.action_chunk
    steps: int = 1000
    batch_size: int = 1
    dtype: str = "float32"
    remat: str = TrainingConfig.remat
    repeats: int = 3
    product: int = 2048
    full: bool = False

    def __post_init__(self):
        for name in self.model:
            preset(name)
        at_least_one(
            self, "trajectories", "action_chunk", "steps", "batch_size", "repeats", "product"
        )
        TrainingConfig(remat=self.remat)
        if not set(self.tokens_per_step) <= {5, 1}:
            raise AgenticError(f"tokens_per_step is {self.tokens_per_step}; it takes 5, 1 or both.")


def run(options: Options, say: Callable[[str], None]) -> list[Row]:
    """Return a row per model, layout and length of chain."""
    rows = []
    for model in options.model:
        for tokens in options.tokens_per_step:
            for n in options.trajectories:
                config = network(options, model, tokens, n)
                length = config.tokens_per_trajectory * n * options.batch_size
                work = flops(config, options.batch_size)
                if not options.full and (length > QUICK_TOKENS or work > QUICK_FLOPS):
                    say(f"{model}: {n} trajectories are left to --full")
                    continue
                say(f"{model}: {n} trajectories, {length} tokens")
                rows.append({"model": model, **_measure(options, config)})
    if not rows:
        raise AgenticError("every chain takes minutes per step; add --full.")
    return rows


def network(options: Options, model: str, tokens_per_step: int, trajectories: int) -> NetworkConfig:
    """Return a preset on walker's chains, with the default dropout."""
    return problem.network(
        options.steps, trajectories, dtype=options.dtype,
        layout="1" if tokens_per_step == 1 else "5", action_chunk=options.action_chunk,
        **preset(model)._asdict(),
    )  # fmt: skip


def flops(config: NetworkConfig, batch: int) -> float:
    """Return the floating-point operations of one step's products, forward and backward.

    Weights take 2 per token and weight, the head 2 per step and weight. Attention takes 4 W per
    pair of query and key, and causality needs half of the pairs. Backward is twice forward.
    """
    tokens, width = config.trajectories * config.tokens_per_trajectory, config.width
    share = (config.heads + 2 * config.groups) / config.heads
    weights = width**2 * (share + 1 + 2 * config.feedforward)
    layer = 2 * tokens * weights + 4 * width * tokens * (tokens + 1) / 2
    steps = config.trajectories * config.episode_length
    head = width * config.action_size
    if config.action_chunk > 1:
        head += width**2 + width * config.observation_size
    sizes = {"R": 1, "s": config.observation_size, "a": config.action_size, "r": 1, "d": 1}
    embedding = sum(sizes[letter] for letter in config.inputs) * width
    return 3.0 * batch * (config.layers * layer + 2 * steps * (head + embedding))


def _measure(options: Options, config: NetworkConfig) -> Row:
    training = TrainingConfig(loss="all", remat=options.remat)
    mesh = make_mesh(MeshShape())
    state = initial_state(config, training, mesh)
    chain = problem.chain(config, options.batch_size)
    batch = place_batch(batch_maker(config, training.loss, mesh)(chain), mesh)
    started = time.perf_counter()
    step = make_step(config, training, mesh).lower(state, batch).compile()
    compiling = time.perf_counter() - started
    product = product_rate(options.product)

    def one_step() -> None:
        nonlocal state
        state = jax.block_until_ready(step(state, batch)[0])

    measures = [lambda _: timed(one_step).clock, lambda _: product()]
    steps, rates = by_turns(measures, options.repeats)
    seconds, rate = min(steps), max(rates)
    tokens = config.trajectories * config.tokens_per_trajectory * options.batch_size
    work = flops(config, options.batch_size)
    return {
        "tokens a step": config.tokens_per_chunk,
        "action chunk": config.action_chunk,
        "trajectories": config.trajectories,
        "tokens": tokens,
        "temporary MB": step.memory_analysis().temp_size_in_bytes / 1e6,
        "s a step": seconds,
        "compiling s": compiling,
        "tokens/s": tokens / seconds,
        "GFLOP/s": work / seconds / 1e9,
        "products GFLOP/s": rate / 1e9,
        "of products": work / seconds / rate,
    }
