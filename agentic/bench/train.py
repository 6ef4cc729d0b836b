"""Training steps a second, against the machine's own rate of matrix products.

A step is the whole of it: loss, gradient, AdamW, on one chain of made-up numbers that are there
already. Its work is counted by hand (`flops`): two for every multiplication and addition of the
products in layers, embeddings, head and in attention where a query sees a key, three times that for
forward and backward, and nothing for what is computed again. The rate of matrix products is that of
one square product in float32, measured in turns with the steps.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from agentic import hindsight
from agentic.bench.products import product_rate
from agentic.errors import AgenticError
from agentic.network.config import NetworkConfig, Normalization, preset
from agentic.training.loop import TrainingConfig, initial_state, make_step
from agentic.trajectory import Chain

# Of walker.
OBSERVATIONS, ACTIONS = 24, 6
# Chains of more tokens than this take minutes a step on a CPU; --full has them.
QUICK = 20_000


@dataclass(frozen=True)
class Options:
    """Measure training steps.

    Attributes:
        model: presets.
        trajectories: lengths of chains.
        tokens_per_step: 5 and 1, one or both.
        action_chunk: steps a token covers where there is one token a step.
        steps: of a trajectory.
        batch_size: chains a batch.
        dtype: of activations: "float32" or "bfloat16".
        remat: as when training: "none", "block", "attention", "layer" or "offload".
        repeats: steps measured; the fastest counts.
        product: rows of the square matrices whose product is measured.
        full: also chains that take minutes a step on a CPU.
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
        for name in ("action_chunk", "steps", "batch_size", "repeats", "product"):
            if getattr(self, name) < 1:
                raise AgenticError(f"{name} is {getattr(self, name)}; it must be at least 1.")
        TrainingConfig(remat=self.remat)
        if not set(self.tokens_per_step) <= {5, 1}:
            raise AgenticError(f"tokens_per_step is {self.tokens_per_step}; it takes 5, 1 or both.")


def run(options: Options, say: Callable[[str], None]) -> list[dict[str, str | float]]:
    """Return a row for every model, layout and length of chain."""
    rows = []
    for model in options.model:
        for tokens in options.tokens_per_step:
            for n in options.trajectories:
                config = policy(options, model, tokens, n)
                length = config.tokens_per_trajectory * n * options.batch_size
                # A step's work, not its tokens alone, decides how long it takes.
                heavy = length > QUICK or flops(config, options.batch_size) > 5e12
                if heavy and not options.full:
                    say(f"{model}: {n} trajectories are left to --full")
                    continue
                say(f"{model}: {n} trajectories, {length} tokens")
                rows.append({"model": model, **_measure(options, config)})
    if not rows:
        raise AgenticError("every chain asked for takes minutes a step; add --full.")
    return rows


def policy(options: Options, model: str, tokens_per_step: int, trajectories: int) -> NetworkConfig:
    """Return a preset on walker's chains, with the default dropout."""
    return NetworkConfig(
        OBSERVATIONS, ACTIONS, options.steps, trajectories, joint=tokens_per_step == 1,
        action_chunk=options.action_chunk if tokens_per_step == 1 else 1, dtype=options.dtype,
        normalization=Normalization((0.0,) * OBSERVATIONS, (1.0,) * OBSERVATIONS),
        **preset(model)._asdict(),
    )  # fmt: skip


def chain(config: NetworkConfig, batch: int) -> Chain:
    """Return a batch of chains of whole random trajectories, in no order."""
    rng = np.random.default_rng(0)
    lead = (batch, config.trajectories, config.episode_length)
    made = hindsight.relabel(
        rng.standard_normal((*lead, config.observation_size), np.float32),
        rng.random((*lead, config.action_size), np.float32) * 2 - 1,
        rng.random(lead, np.float32),
        np.ones(lead, bool),
    )
    return made


def flops(config: NetworkConfig, batch: int) -> float:
    """Return the floating-point operations of one step's products, forward and backward.

    Weights: 2 a token and weight. Attention: 4 W a pair of query and key, of which causality needs
    half. Decoding: 2 a step and weight of the head. Backward is twice forward.
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


def _measure(options: Options, config: NetworkConfig) -> dict[str, str | float]:
    training = TrainingConfig(loss="all", remat=options.remat)
    state = initial_state(config, training)
    batch = jax.tree.map(jnp.asarray, chain(config, options.batch_size))
    started = time.perf_counter()
    step = make_step(config, training).lower(state, batch).compile()
    compiling = time.perf_counter() - started
    product = product_rate(options.product)
    temporary = step.memory_analysis().temp_size_in_bytes
    seconds, rates = [], []
    for _ in range(options.repeats):
        started = time.perf_counter()
        state = jax.block_until_ready(step(state, batch)[0])
        seconds.append(time.perf_counter() - started)
        rates.append(product())
    tokens = config.trajectories * config.tokens_per_trajectory * options.batch_size
    work, rate = flops(config, options.batch_size), max(rates)
    return {
        "tokens a step": config.tokens_per_chunk,
        "action chunk": config.action_chunk,
        "trajectories": config.trajectories,
        "tokens": tokens,
        "temporary MB": temporary / 1e6,
        "s a step": min(seconds),
        "compiling s": compiling,
        "tokens/s": tokens / min(seconds),
        "GFLOP/s": work / min(seconds) / 1e9,
        "products GFLOP/s": rate / 1e9,
        "of products": work / min(seconds) / rate,
    }
