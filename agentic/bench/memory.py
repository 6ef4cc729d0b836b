"""Bytes of one training step against tokens, and the longest context that fits a device.

Nothing runs. A step's loss and gradient are compiled, and XLA's analysis of the program says how
many bytes it holds at once. The variants of a network:

    vanilla             dense attention; everything that the backward pass needs is kept
    memory-efficient    attention in blocks, the feed-forward network in one piece (Rabe & Staats,
                        arXiv 2112.05682: the baseline of arXiv 2305.19370)
      recomputed        as before, but layers are computed again from their inputs
    blockwise           the feed-forward network in blocks too
      attention kept    as before, but layers are computed again, except for attention
      recomputed        as before, but layers are computed again from their inputs

Offloading is left out, because on a CPU the host's memory is also the device's.

The bytes grow linearly with the tokens where attention works in blocks, and quadratically where it
is dense. Contexts are read off the line through chains of 4 and 8 trajectories, or off the parabola
through chains of 1, 2 and 4. The analysis is that of this machine's backend. A CPU computes
bfloat16 products in float32, so its bytes for bfloat16 are too many. A GPU has other kernels and
workspaces.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from agentic.attention import blockwise_attention, dense_attention
from agentic.bench import Row, problem
from agentic.bench.problem import at_least_one
from agentic.errors import AgenticError, closest
from agentic.network.config import NetworkConfig, preset
from agentic.network.parameters import bind, count, initialize
from agentic.network.stack import Attention, Remat
from agentic.training.batch import make_batch
from agentic.training.loop import TrainingConfig, make_optimizer
from agentic.training.loss import error_sums

# The tokens of 4, 8, 32 and 128 trajectories of 1000 steps; the papers train on the last two.
CHAIN_TOKENS = (16_000, 32_000, 128_000, 512_000)


class Variant(NamedTuple):
    """One way to run the layers."""

    attend: Callable | None  # None lets the dispatcher choose
    whole: bool  # whether the feed-forward network takes all tokens at once
    remat: Remat


VARIANTS = {
    "vanilla": Variant(dense_attention, True, "none"),
    "memory-efficient": Variant(blockwise_attention, True, "none"),
    "memory-efficient, recomputed": Variant(blockwise_attention, True, "layer"),
    "blockwise": Variant(blockwise_attention, False, "block"),
    "blockwise, attention kept": Variant(blockwise_attention, False, "attention"),
    "blockwise, recomputed": Variant(blockwise_attention, False, "layer"),
}


@dataclass(frozen=True)
class Options:
    """Measure the bytes of a training step without running it.

    Attributes:
        model: names of presets, such as 350m 1b.
        variants: names of variants; ratios need "vanilla" and "memory-efficient".
        trajectories: length of the chain that should fit.
        steps: length of a trajectory.
        dtype: of activations: "float32" or "bfloat16".
        budgets: gigabytes of a device.
        devices: number of devices that share state and context evenly.
    """

    model: tuple[str, ...] = ("350m",)
    variants: tuple[str, ...] = tuple(VARIANTS)
    trajectories: int = 32
    steps: int = 1000
    dtype: str = "float32"
    budgets: tuple[int, ...] = (16, 40, 80)
    devices: int = 1

    def __post_init__(self):
        for name in self.model:
            preset(name)
        for name in self.variants:
            if name not in VARIANTS:
                raise AgenticError(f"variants has {name!r}; {closest(name, VARIANTS)}.")
        if not self.model or not self.variants:
            raise AgenticError("model or variants is empty; give one of each at least.")
        at_least_one(self, "trajectories", "steps", "devices")
        if not self.budgets or min(self.budgets) < 1:
            raise AgenticError(f"budgets is {self.budgets}; give gigabytes, such as 16 40 80.")


class Bytes(NamedTuple):
    """The bytes that a step holds all the time (state, gradient, batch), and the temporary ones."""

    held: int
    temporary: int


def run(options: Options, say: Callable[[str], None]) -> list[Row]:
    """Return a row per model and variant."""
    rows = []
    for model in options.model:
        laws = {}
        for name in options.variants:
            say(f"{model}: compiling {name}")
            laws[name] = _law(options, model, name)
        contexts = {name: _contexts(options, law) for name, law in laws.items()}
        rows += [_row(options, model, name, laws, contexts) for name in options.variants]
    return rows


def chain_gradient(config: NetworkConfig, variant: Variant) -> Callable:
    """Return (parameters, chain) -> (loss over all steps, its gradient)."""

    def loss(parameters, chain):
        batch, network = make_batch(config, "all", 1, chain), bind(config, parameters)
        attention = None if variant.attend is None else Attention(variant.attend)
        error, weight = error_sums(network, batch, remat=variant.remat, attention=attention)
        return error / jnp.maximum(weight, 1.0)

    return jax.value_and_grad(loss)


def training_step(config: NetworkConfig, variant: Variant) -> Callable:
    """Return the jitted step (state, chain) -> (state, loss), which donates the state."""
    optimizer, gradient_of = make_optimizer(TrainingConfig()), chain_gradient(config, variant)

    def step(state, chain):
        value, gradient = gradient_of(state.parameters, chain)
        updates, moments = optimizer.update(gradient, state.optimizer, state.parameters)
        parameters = jax.tree.map(jnp.add, state.parameters, updates)
        return state._replace(parameters=parameters, optimizer=moments), value

    return jax.jit(step, donate_argnums=0)


def _shape_of(array: np.ndarray) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(array.shape, array.dtype)


def step_bytes(config: NetworkConfig, variant: Variant, trajectories: int, steps: int) -> Bytes:
    """Return the bytes of one training step on one chain, by XLA's analysis of loss and gradient.

    AdamW works in place, element by element, so its two moments are added to the bytes held.
    """
    parameters = jax.eval_shape(lambda: initialize(config, jax.random.key(0)))
    shape = replace(config, trajectories=trajectories, episode_length=steps)
    chain = jax.tree.map(_shape_of, problem.chain(shape, rows=1))
    with jax.numpy_dtype_promotion("standard"):
        program = jax.jit(chain_gradient(config, variant)).lower(parameters, chain).compile()
    found = program.memory_analysis()
    held = found.argument_size_in_bytes + found.output_size_in_bytes + 8 * count(parameters)
    return Bytes(held, found.temp_size_in_bytes)


def network(
    model: str, variant: Variant, trajectories: int, steps: int, dtype: str
) -> NetworkConfig:
    """Return a preset on chains of four tokens per step, as in the papers, without dropout."""
    tokens = trajectories * steps * 4
    return problem.network(
        steps, trajectories, layout="4", dropout=0.0, dtype=dtype,
        block=tokens if variant.whole else NetworkConfig.block, **preset(model)._asdict(),
    )  # fmt: skip


def compiled_trajectories(name: str) -> tuple[int, ...]:
    """Return the lengths of the chains that are compiled for a variant."""
    return (1, 2, 4) if name == "vanilla" else (4, 8)


class Law(NamedTuple):
    """Bytes as polynomials of the tokens, and numbers of the compiled steps."""

    temporary: np.ndarray
    total: np.ndarray
    growth: float
    parameters: int
    held: int


def _law(options: Options, model: str, name: str) -> Law:
    variant, points = VARIANTS[name], compiled_trajectories(name)
    found = []
    for n in points:
        config = network(model, variant, n, options.steps, options.dtype)
        found.append(step_bytes(config, variant, n, options.steps))
    tokens = np.array(points, np.float64) * options.steps * 4
    temporary = np.array([x.temporary for x in found], np.float64)
    total = temporary + [x.held for x in found]
    degree = 2 if name == "vanilla" else 1
    shapes = jax.eval_shape(lambda: initialize(config, jax.random.key(0)))
    return Law(
        np.polyfit(tokens, temporary, degree), np.polyfit(tokens, total, degree),
        temporary[-1] / temporary[-2], count(shapes), found[0].held,
    )  # fmt: skip


def _contexts(options: Options, law: Law) -> list[int]:
    """Return the most tokens whose step fits each budget; 0 where the state alone does not fit."""
    found = []
    for budget in options.budgets:
        polynomial = law.total.copy()
        polynomial[-1] -= budget * 1e9 * options.devices
        roots = np.roots(polynomial)
        real = roots[np.isreal(roots)].real
        found.append(int(max(real.max(initial=0.0), 0.0)))
    return found


def _row(options: Options, model: str, name: str, laws: dict, contexts: dict) -> dict:
    law, mine = laws[name], contexts[name]
    tokens = options.trajectories * options.steps * 4
    needed = np.polyval(law.total, tokens) / 1e9 / options.devices
    fits = [f"{budget} GB" for budget in options.budgets if needed <= budget]
    more = -(-needed * options.devices // options.budgets[-1])
    return {
        "model": model,
        "variant": name,
        "million parameters": law.parameters / 1e6,
        "GB of state and gradient": law.held / 1e9,
        **{
            f"temporary GB at {n} tokens": float(np.polyval(law.temporary, n)) / 1e9
            for n in CHAIN_TOKENS
        },
        "doubling": law.growth,
        **{f"tokens in {gb} GB": n for gb, n in zip(options.budgets, mine, strict=True)},
        "times vanilla": _ratio(mine, contexts.get("vanilla")),
        "times memory-efficient": _ratio(mine, contexts.get("memory-efficient")),
        f"GB at {tokens} tokens": needed,
        "fits": fits[0] if fits else f"no: {more:.0f} devices of {options.budgets[-1]} GB would",
    }


def _ratio(mine: list[int], other: list[int] | None) -> float:
    """Compare contexts at the largest budget; 0 where the other is empty or was not measured."""
    return mine[-1] / other[-1] if other is not None and other[-1] else 0.0
