"""The online softmax over visited block pairs, forward and backward, in float32.

Forward, per query row, over the key blocks it visits (Rabe and Staats 2021, arXiv 2112.05682;
Liu and Abbeel 2023, arXiv 2305.19370): m' = max(m, max_j s_j), a = exp(m - m'),
l' = a l + sum_j exp(s_j - m'), o' = a o + sum_j exp(s_j - m') v_j; at the end output o / l and
log-sum-exp m + log l. Backward (Dao et al. 2022, arXiv 2205.14135, appendix B): p = exp(s - lse),
dv = p^T do, ds = p (do v^T - sum(do * out)), dq = ds k, dk = ds^T q, the last two times scale;
p, ds and the sum of dq are held transposed. Exponentials and logarithms are to the base 2.

All arrays are in the block layout of `blocks.py`, in which B or K may be left out. A row without
any key has m = -inf, l = 0.

The output and the log-sum-exp are small to keep (linear) and expensive to compute again
(quadratic). A function under `jax.checkpoint(policy=keeps_attention)` keeps these two and computes
everything else again.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.ad_checkpoint import checkpoint_name

from agentic.attention.blocks import Visits, join, split
from agentic.attention.positions import visible


class Sums(NamedTuple):
    """Running maximum and denominator [Nq, 2, B, K, R] and numerator [Nq, B, K, R, D], float32.

    Maximum and denominator share an array. A separate array of maxima would be replaced before the
    old one is read for the last time, and the compiler would copy all of it at every visit.
    """

    row: jax.Array
    numerator: jax.Array


class Gradients(NamedTuple):
    """Float32 sums of dq [Nq, B, K, D, R], transposed, dk and dv [Nk, B, K, block, D], unscaled."""

    q: jax.Array
    k: jax.Array
    v: jax.Array


def vary_alike(*arrays: jax.Array) -> tuple[jax.Array, ...]:
    """Return the arrays, all varying over the union of the mesh axes that any of them varies over.

    Inside shard_map a loop's state must vary over the same axes as the values that are added to it.
    A choice between an array and itself costs nothing once compiled. Its transpose sums a gradient
    over the added axes.
    """
    never = False
    for array in arrays:
        never |= lax.full_like(array, 0, dtype=bool, shape=())
    return tuple(jnp.where(never, x, x) for x in arrays)


LOG2_E = math.log2(math.e)
# Coefficients of f^0 to f^6 in 2^f, |f| <= 1/2, with the least largest relative error: 4e-9.
EXP2 = (1.0, 0.69314724, 0.24022651, 0.055502973, 0.009618031, 0.001341, 0.00015469732)
# Near this number the float32 numbers are whole, and the lowest bits of WHOLE + n are the exponent
# of 2^n.
WHOLE = 3 * 2.0**22 + 127


def exp2(x: jax.Array) -> jax.Array:
    """Return 2^x of float32 x <= 127 to a relative 1e-7, or 0 where it is below float32's least.

    2^x = 2^n 2^f with n whole and 2^f a polynomial. On a CPU this takes half the time of the
    compiler's own exponential, which is slower than memory. The last step has two operands of x's
    size, because the compiler computes a result of one operand anew in each place where it is
    used.
    """
    # 2^-127 is not a normal number: the bits that are put together below are those of 0.
    x = jnp.maximum(x, -127.0)
    n = lax.round(x, lax.RoundingMethod.TO_NEAREST_EVEN)
    f, power_f = x - n, EXP2[-1]
    for coefficient in EXP2[-2::-1]:
        power_f = power_f * f + coefficient
    exponent = lax.bitcast_convert_type(n + WHOLE, jnp.int32)
    return power_f * lax.bitcast_convert_type(exponent << 23, jnp.float32)


def product(x: jax.Array, y: jax.Array, x_axis: int, y_axis: int) -> jax.Array:
    """Return the float32 product of x and y [B, K, ., .] over an axis of each, -1 or -2."""
    apart = tuple(range(x.ndim - 2))
    axes = (((x.ndim + x_axis,), (y.ndim + y_axis,)), (apart, apart))
    return lax.dot_general(x, y, axes, preferred_element_type=jnp.float32)


def zeros(x: jax.Array, value: float = 0.0) -> jax.Array:
    """Return a float32 array like x, made from x so that it has x's sharding and varying axes."""
    return lax.full_like(x, value, dtype=jnp.float32)


def empty_sums(q: jax.Array) -> Sums:
    """Return the sums over no keys at all."""
    row = [zeros(q[..., 0], value) for value in (-jnp.inf, 0.0)]
    return Sums(jnp.stack(row, axis=1), zeros(q))


def empty_gradients(q: jax.Array, k: jax.Array) -> Gradients:
    """Return gradients to which no pair has contributed."""
    return Gradients(zeros(q.swapaxes(-1, -2)), zeros(k), zeros(k))


def scores(q, k, q_positions, kv_positions, causal: bool, masked: bool) -> jax.Array:
    """Return float32 products [B, K, R, block] of one pair, -inf where a key is not visible.

    The exponential applies the scale, since it passes over all scores anyway.
    """
    s = product(q, k, -1, -1)
    if not masked:
        return s
    seen = visible(q_positions, kv_positions, causal)  # [B or 1, query, key]
    grouped = s.reshape(*s.shape[:-2], -1, *seen.shape[-2:])
    seen = jnp.expand_dims(seen, range(1, s.ndim - 1))
    return jnp.where(seen, grouped, -jnp.inf).reshape(s.shape)


def visit(visits: Visits, step: Callable, state):
    """Fold step(state, i, j, masked) over the visits; a single static visit needs no loop."""

    def run(masked, start, stop, state):
        if isinstance(start, int) and isinstance(stop, int):
            if start == stop:
                return state
            if stop - start == 1:
                i, j = visits.pairs[start]
                return step(state, i, j, masked)
        pairs = jnp.asarray(visits.pairs)
        return lax.fori_loop(start, stop, lambda n, s: step(s, *pairs[n], masked), state)

    state = run(False, 0, visits.full, state)
    return run(True, visits.full, visits.stop, state)


def at(x: jax.Array, i) -> jax.Array:
    """Return block i of x."""
    return lax.dynamic_index_in_dim(x, i, 0, keepdims=False)


def put(x: jax.Array, block: jax.Array, i) -> jax.Array:
    """Return x with block i replaced."""
    return lax.dynamic_update_index_in_dim(x, block, i, 0)


def pick(arrays: Sequence[jax.Array], i) -> list[jax.Array]:
    """Return block i of each array, as an array of one block."""
    return [lax.dynamic_slice_in_dim(x, i, 1, 0) for x in arrays]


def place(arrays: Sequence[jax.Array], blocks: Sequence[jax.Array], i) -> list[jax.Array]:
    """Return the arrays with block i of each replaced: `pick` undone."""
    pairs = zip(arrays, blocks, strict=True)
    return [lax.dynamic_update_slice_in_dim(x, block, i, 0) for x, block in pairs]


def forward(sums: Sums, q, k, v, q_positions, kv_positions, visits, causal, scale) -> Sums:
    """Return the sums with the keys and values of the visited pairs added."""
    scale_2 = scale * LOG2_E

    def step(sums, i, j, masked):
        s = scores(at(q, i), at(k, j), at(q_positions, i), at(kv_positions, j), causal, masked)
        before, denominator = at(sums.row, i)
        maximum = jnp.maximum(before, s.max(-1))
        # A row that has seen no key keeps m = -inf; -inf - -inf would be NaN.
        base = jnp.where(maximum == -jnp.inf, 0.0, maximum) if masked else maximum
        p = exp2(scale_2 * (s - base[..., None]))
        # The compiler does not compute this slower exponential anew in each place where it is used.
        decay = jnp.exp(scale * (before - base))
        row = jnp.stack([maximum, decay * denominator + p.sum(-1)])
        update = product(p.astype(v.dtype), at(v, j), -1, -2)
        numerator = decay[..., None] * at(sums.numerator, i) + update
        return Sums(put(sums.row, row, i), put(sums.numerator, numerator, i))

    return visit(visits, step, sums)


def finish(sums: Sums, q: jax.Array, k_heads: int, scale: float) -> tuple[jax.Array, jax.Array]:
    """Return output like q [B, T, H, D] and log2-sum-exp [Nq, B, K, R]; 0, -inf without keys."""
    maximum, denominator = sums.row[:, 0], sums.row[:, 1]
    denominator = jnp.where(denominator == 0.0, 1.0, denominator)
    out = (sums.numerator / denominator[..., None]).astype(q.dtype)
    return join(out, k_heads, q.shape), scale * LOG2_E * maximum + jnp.log2(denominator)


class Context(NamedTuple):
    """What the backward pass knows about each query row: d_out [Nq, B, K, R, D] in q's dtype;
    log2-sum-exp and delta = sum(d_out * output) [Nq, B, K, R], float32.
    """

    d_out: jax.Array
    lse: jax.Array
    delta: jax.Array


def output_context(d_out, out, lse, k_heads: int, block: int) -> Context:
    """Return the context in blocks from d_out and output [B, T, H, D] and the log-sum-exp."""
    d_out, out = split(d_out, k_heads, block), split(out, k_heads, block)
    delta = jnp.sum(d_out.astype(jnp.float32) * out.astype(jnp.float32), axis=-1)
    # A row without keys has lse = -inf; its scores are -inf too, and exp(-inf - 0) is 0.
    return Context(d_out, jnp.where(lse == -jnp.inf, 0.0, lse), delta)


def backward(
    sums: Gradients, q, k, v, q_positions, kv_positions, context: Context, visits, causal, scale
) -> Gradients:
    """Return the gradients with the visited pairs added; arguments in blocks as in `forward`."""
    scale_2 = scale * LOG2_E

    def step(sums, i, j, masked):
        q_i, k_j, v_j, d_out_i = at(q, i), at(k, j), at(v, j), at(context.d_out, i)
        # Keys before queries, so that the values of one query lie along the slower axis.
        s = product(k_j, q_i, -1, -1)
        if masked:
            seen = visible(at(q_positions, i), at(kv_positions, j), causal).swapaxes(-1, -2)
            grouped = s.reshape(*s.shape[:-1], -1, seen.shape[-1])
            seen = jnp.expand_dims(seen, (*range(1, s.ndim - 2), -2))
            s = jnp.where(seen, grouped, -jnp.inf).reshape(s.shape)
        p = exp2(scale_2 * s - at(context.lse, i)[..., None, :])
        d_s = p * (product(v_j, d_out_i, -1, -1) - at(context.delta, i)[..., None, :])
        p, d_s = p.astype(q.dtype), d_s.astype(q.dtype)
        # Fast products on a CPU sum over the last axis of one operand and the first of the other.
        # So k is transposed (d_s is larger). Without the barrier the compiler would undo this.
        turned = lax.optimization_barrier(k_j.swapaxes(-1, -2))
        return Gradients(
            put(sums.q, at(sums.q, i) + product(turned, d_s, -1, -2), i),
            put(sums.k, at(sums.k, j) + product(d_s, q_i, -1, -2), j),
            put(sums.v, at(sums.v, j) + product(p, d_out_i, -1, -2), j),
        )

    return visit(visits, step, sums)


def finish_gradients(gradients: Gradients, scale: float, q, k) -> tuple[jax.Array, ...]:
    """Return dq like q [B, T, H, D], dk and dv like k [B, S, K, D], in their dtype."""
    k_heads = k.shape[2]
    return (
        join((gradients.q.swapaxes(-1, -2) * scale).astype(q.dtype), k_heads, q.shape),
        join((gradients.k * scale).astype(k.dtype), k_heads, k.shape),
        join(gradients.v.astype(k.dtype), k_heads, k.shape),
    )


NAME = "attention"
# The operation that gives cuDNN's output and log-sum-exp; its name differs between JAX's tracing
# and lowering, but starts with this.
FLASH = "dot_product_attention_fwd"


def named(*arrays: jax.Array) -> tuple[jax.Array, ...]:
    """Return the arrays, marked for `keeps_attention` to keep."""
    return tuple(checkpoint_name(x, NAME) for x in arrays)


def keeps_attention(primitive: Any, *_, **parameters) -> bool:
    """Return whether an operation's results are kept: a policy of `jax.checkpoint`."""
    if primitive.name == "name":
        return parameters["name"] == NAME
    return primitive.name.startswith(FLASH)
