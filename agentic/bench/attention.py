"""Attention: ours, the `ringattention` package and jax.nn's, against the rate of matrix products.

Causal, float32, one row, by default 4 heads of 64. A forward pass counts as 2 T^2 H D operations, a
backward pass as 2.5 times as many. All forms take turns with the rate of matrix products, and
medians are reported. The dense form takes turns with nothing, at the end, because its gigabytes
slow down whatever comes next. "Products alone" computes the matrix products of our block pairs and
nothing else, so it shows how much could still be gained. Temporary megabytes come from XLA's own
analysis. The package takes part where it is installed (`pip install "agentic[peers]"`) and the
repository is at hand.
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from agentic.attention import BlockSpec, blockwise_attention, choose, kernel
from agentic.attention.blocks import split, static_visits
from agentic.bench import Row
from agentic.bench.problem import at_least_one, pair
from agentic.bench.timing import by_turns, product_rate, timed
from agentic.errors import AgenticError

PRODUCT_ROWS = 2048
PRODUCTS = "products alone"
DENSE = "jax.nn.dot_product_attention"
# Bytes; the dense form is left out at lengths where its scores would need more.
LARGEST_SCORES = 2 * 10**9


@dataclass(frozen=True)
class Options:
    """Measure how fast attention is.

    Attributes:
        tokens: lengths of the sequence.
        repeats: counts, of which the median is reported.
        chunk: rows per chunk in the package.
        heads: number of heads.
        size: channels of a head.
        blocks: our blocks of queries times keys to try besides the default, such as 512x256.
    """

    tokens: tuple[int, ...] = (4096, 8192)
    repeats: int = 5
    chunk: int = 512
    heads: int = 4
    size: int = 64
    blocks: tuple[str, ...] = ()

    def __post_init__(self):
        for text in self.blocks:
            pair("blocks", text, "rows of queries times keys")
        at_least_one(self, "tokens", "repeats", "chunk", "heads", "size")


def run(options: Options, say: Callable[[str], None]) -> list[Row]:
    """Return a row per length, form and pass: milliseconds, share of the product rate, bytes."""
    rows = []
    for tokens in options.tokens:
        say(f"compiling {tokens} tokens")
        programs = dict(_programs(options, tokens))
        say(f"running {tokens} tokens")
        rows += _race(options, tokens, programs)
    return rows


def _forms(options: Options, tokens: int) -> dict[str, tuple[Callable, Callable]]:
    """Return two functions for each form: forward, and forward with backward."""
    choice = choose(tokens, tokens, options.size)
    tried = [
        BlockSpec(*pair("blocks", text, "rows of queries times keys")) for text in options.blocks
    ]
    forms = {
        f"ours, {choice.kernel} {blocks.query}x{blocks.key}": _differentiated(
            partial(blockwise_attention, blocks=blocks)
        )
        for blocks in (choice.blocks, *tried)
    }
    forms[PRODUCTS] = tuple(
        partial(products_alone, blocks=choice.blocks, backward=backward)
        for backward in (False, True)
    )
    try:
        peers = importlib.import_module("experiments.benchmarks.peers")
        peer = peers.causal_attention(options.chunk)
    except ImportError:
        peer = None
    if peer is not None:
        forms["ringattention 0.1.2"] = _differentiated(peer)
    if 4 * options.heads * tokens**2 <= LARGEST_SCORES:
        dense = partial(jax.nn.dot_product_attention, is_causal=True)
        forms[DENSE] = _differentiated(dense)
    return forms


def _differentiated(attend: Callable) -> tuple[Callable, Callable]:
    def both(q, k, v, d_out):
        out, pullback = jax.vjp(attend, q, k, v)
        return out, pullback(d_out)

    return attend, both


def products_alone(q, k, v, d_out=None, *, blocks: BlockSpec, backward: bool):
    """Return sums of the products that `blockwise_attention` computes, in the same layout.

    Nothing is masked, exponentiated or divided. A pair of blocks takes two products, and five more
    in the backward pass.
    """
    at, put, product = kernel.at, kernel.put, kernel.product
    heads = k.shape[2]
    visits = static_visits(q.shape[1], k.shape[1], blocks, True, 0)
    q = split(q, heads, blocks.query)
    k, v = split(k, heads, blocks.key), split(v, heads, blocks.key)

    def forward_step(out, i, j, masked):
        s = product(at(q, i), at(k, j), -1, -1)
        return put(out, at(out, i) + product(s, at(v, j), -1, -2), i)

    out = kernel.visit(visits, forward_step, kernel.zeros(q))
    if not backward:
        return out
    d_out = split(d_out, heads, blocks.query)

    def backward_step(sums, i, j, masked):
        q_i, k_j, v_j, d_out_i = at(q, i), at(k, j), at(v, j), at(d_out, i)
        s, d_s = product(k_j, q_i, -1, -1), product(v_j, d_out_i, -1, -1)
        turned = jax.lax.optimization_barrier(k_j.swapaxes(-1, -2))
        return kernel.Gradients(
            put(sums.q, at(sums.q, i) + product(turned, d_s, -1, -2), i),
            put(sums.k, at(sums.k, j) + product(d_s, q_i, -1, -2), j),
            put(sums.v, at(sums.v, j) + product(s, d_out_i, -1, -2), j),
        )

    return out, kernel.visit(visits, backward_step, kernel.empty_gradients(q, k))


def _programs(options: Options, tokens: int):
    shape = jax.ShapeDtypeStruct((1, tokens, options.heads, options.size), jnp.float32)
    for name, (forward, both) in _forms(options, tokens).items():
        yield (name, "forward"), jax.jit(forward).lower(shape, shape, shape).compile()
        yield (name, "forward and backward"), jax.jit(both).lower(*[shape] * 4).compile()


def _check_same(name: str, found, expected) -> None:
    for one, other in zip(*map(jax.tree.leaves, (found, expected)), strict=True):
        worst = float(jnp.abs(one - other).max())
        if not worst <= 1e-3 * float(jnp.abs(other).max()):
            raise AgenticError(f"{name} differs from our attention by up to {worst:.2g}.")


def _race(options: Options, tokens: int, programs: dict) -> list[Row]:
    """Return the rows of one length.

    Raises AgenticError if the output or gradients of a form differ from ours.
    """
    rng = np.random.default_rng(0)
    shape = (1, tokens, options.heads, options.size)
    arrays = [jnp.asarray(rng.standard_normal(shape), jnp.float32) for _ in range(4)]
    product = product_rate(PRODUCT_ROWS)
    ours = next(iter(programs))[0]

    def once(name, passes):
        taken, program = arrays[:3] if passes == "forward" else arrays, programs[name, passes]
        return jax.block_until_ready(program(*taken))

    expected = once(ours, "forward and backward")
    for name, passes in programs:
        if passes == "forward and backward" and name not in (ours, PRODUCTS, DENSE):
            _check_same(name, once(name, passes), expected)
    del expected

    timings = {key: lambda _, key=key: timed(lambda: once(*key)).clock for key in programs}
    dense = [timings.pop(key) for key in programs if key[0] == DENSE]
    rates, *seconds = by_turns([lambda _: product(), *timings.values()], options.repeats)
    seconds += by_turns(dense, options.repeats)
    rate = float(np.median(rates))
    forward = 2 * tokens**2 * options.heads * options.size
    rows = []
    # The dense form is the last of the programs, too.
    for ((name, passes), program), taken in zip(programs.items(), seconds, strict=True):
        took = float(np.median(taken))
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
