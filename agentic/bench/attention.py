"""Attention: ours, the `ringattention` package and jax.nn's, against the rate of matrix products.

Causal, float32, one row, by default 4 heads of 64. A forward pass counts 2 T^2 H D operations, a
backward pass 2.5 times as many. All are called by turns and medians count, with the rate of matrix
products measured between them; the dense form, whose gigabytes slow down what comes after, by
itself at the end. Temporary megabytes are XLA's own analysis. The package takes part where it is
installed (`pip install "agentic[peers]"`) and the repository is at hand.
"""

import importlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from agentic.attention import BlockSpec, blockwise_attention, choose
from agentic.bench import Row, timed
from agentic.bench.products import product_rate
from agentic.errors import AgenticError

PRODUCT = 2048
DENSE = "jax.nn.dot_product_attention"
# Of scores; what would need more, the dense form at long lengths, is left out.
LARGEST_SCORES = 2 * 10**9


@dataclass(frozen=True)
class Options:
    """What is measured.

    Attributes:
        tokens: lengths of the sequence.
        repeats: the median of this many counts.
        chunk: rows a chunk in the package.
        heads: of attention.
        size: channels of a head.
        blocks: our blocks of queries times keys to try besides those chosen, such as 512x256.
    """

    tokens: tuple[int, ...] = (4096, 8192)
    repeats: int = 5
    chunk: int = 512
    heads: int = 4
    size: int = 64
    blocks: tuple[str, ...] = ()

    def __post_init__(self):
        for text in self.blocks:
            if not re.fullmatch(r"[1-9]\d*x[1-9]\d*", text):
                raise AgenticError(
                    f"blocks has {text!r}; give rows of queries times keys, such as 512x256."
                )
        for name in ("repeats", "chunk", "heads", "size"):
            if getattr(self, name) < 1:
                raise AgenticError(f"{name} is {getattr(self, name)}; it must be at least 1.")


def run(options: Options, say: Callable[[str], None]) -> list[Row]:
    """Return a row per length, form and pass: milliseconds, share of the product rate, memory."""
    rows = []
    for tokens in options.tokens:
        say(f"compiling {tokens} tokens")
        programs = dict(_programs(options, tokens))
        say(f"running {tokens} tokens")
        rows += _race(options, tokens, programs)
    return rows


def _forms(options: Options, tokens: int) -> dict[str, Callable]:
    choice = choose(tokens, tokens, options.size)
    tried = [BlockSpec(*map(int, text.split("x"))) for text in options.blocks]
    forms = {
        f"ours, {choice.kernel} {blocks.query}x{blocks.key}": partial(
            blockwise_attention, blocks=blocks
        )
        for blocks in (choice.blocks, *tried)
    }
    try:
        peers = importlib.import_module("experiments.benchmarks.peers")
        peer = peers.causal_attention(options.chunk)
    except ImportError:
        peer = None
    if peer is not None:
        forms["ringattention 0.1.2"] = peer
    if 4 * options.heads * tokens**2 <= LARGEST_SCORES:
        forms[DENSE] = partial(jax.nn.dot_product_attention, is_causal=True)
    return forms


def _programs(options: Options, tokens: int):
    shape = jax.ShapeDtypeStruct((1, tokens, options.heads, options.size), jnp.float32)
    for name, attend in _forms(options, tokens).items():

        def both(q, k, v, d_out, attend=attend):
            out, pullback = jax.vjp(attend, q, k, v)
            return out, pullback(d_out)

        yield (name, "forward"), jax.jit(attend).lower(shape, shape, shape).compile()
        yield (name, "forward and backward"), jax.jit(both).lower(*[shape] * 4).compile()


def _race(options: Options, tokens: int, programs: dict) -> list[Row]:
    rng, repeats = np.random.default_rng(0), options.repeats
    shape = (1, tokens, options.heads, options.size)
    arrays = [jnp.asarray(rng.standard_normal(shape), jnp.float32) for _ in range(4)]
    product = product_rate(PRODUCT)
    seconds: dict[tuple[str, str], list[float]] = {key: [] for key in programs}
    rates = []

    def call(keys):
        for name, passes in keys:
            taken, program = arrays[:3] if passes == "forward" else arrays, programs[name, passes]
            took, _ = timed(lambda: jax.block_until_ready(program(*taken)))  # noqa: B023
            seconds[name, passes].append(took)

    for _ in range(repeats):
        rates.append(product())
        call(key for key in programs if key[0] != DENSE)
    for _ in range(repeats):
        call(key for key in programs if key[0] == DENSE)
    rate = float(np.median(rates))
    forward = 2 * tokens**2 * options.heads * options.size
    rows = []
    for (name, passes), program in programs.items():
        took = float(np.median(seconds[name, passes]))
        operations = forward if passes == "forward" else 3.5 * forward
        rows.append(
            {
                "tokens": tokens,
                "form": name,
                "pass": passes,
                "ms": took * 1e3,
                "GFLOP/s": operations / took / 1e9,
                "of the product rate": operations / took / rate,
                "temporary MB": program.memory_analysis().temp_size_in_bytes / 1e6,
                "product GFLOP/s": rate / 1e9,
            }
        )
    return rows
