"""Attention: ours, the `ringattention` package and jax.nn's, against the rate of matrix products.

Causal, float32, one row, by default 4 heads of 64. A forward pass counts 2 T^2 H D operations, a
backward pass 2.5 times as many. All are called by turns and medians count, with the rate of matrix
products measured between them; the dense form, whose gigabytes slow down what comes after, by
itself at the end. "Products alone" does the products of our visits and nothing between them: what
is left to gain. Temporary megabytes are XLA's own analysis. The package takes part where it is
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

from agentic.attention import BlockSpec, blockwise_attention, choose, kernel
from agentic.attention.blocks import split, static_visits
from agentic.bench import Row, timed
from agentic.bench.products import product_rate
from agentic.errors import AgenticError

PRODUCT = 2048
PRODUCTS = "products alone"
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


def _forms(options: Options, tokens: int) -> dict[str, tuple[Callable, Callable]]:
    """Return forward, and forward with backward, of each form."""
    choice = choose(tokens, tokens, options.size)
    tried = [BlockSpec(*map(int, text.split("x"))) for text in options.blocks]
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
    """Return sums of the products that `blockwise_attention` computes, as it lays them out.

    Nothing is masked, exponentiated or divided: two products a visit, and five more for backward.
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

    Raises AgenticError where a form does not give our output and gradients.
    """
    rng, repeats = np.random.default_rng(0), options.repeats
    shape = (1, tokens, options.heads, options.size)
    arrays = [jnp.asarray(rng.standard_normal(shape), jnp.float32) for _ in range(4)]
    product = product_rate(PRODUCT)
    seconds: dict[tuple[str, str], list[float]] = {key: [] for key in programs}
    rates = []
    ours = next(iter(programs))[0]

    def once(name, passes):
        taken, program = arrays[:3] if passes == "forward" else arrays, programs[name, passes]
        return jax.block_until_ready(program(*taken))

    def call(keys):
        for key in keys:
            took, _ = timed(lambda: once(*key))  # noqa: B023
            seconds[key].append(took)

    expected = once(ours, "forward and backward")
    for name, passes in programs:
        if passes == "forward and backward" and name not in (ours, PRODUCTS, DENSE):
            _check_same(name, once(name, passes), expected)
    del expected

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
