"""Attention block by block: exact, memory linear in the sequence, own backward pass."""

from dataclasses import dataclass
from functools import partial

import jax
import numpy as np

from agentic.attention import kernel
from agentic.attention.blocks import (
    BlockSpec,
    Visits,
    cut_operands,
    default_blocks,
    dynamic_visits,
    static_visits,
)
from agentic.attention.kernel import named
from agentic.attention.positions import (
    check_operands,
    default_offset,
    resolve_positions,
    resolve_scale,
)


@dataclass(frozen=True)
class Plan:
    """Everything that is known about one call before it runs."""

    causal: bool
    scale: float
    blocks: BlockSpec
    offset: int | None  # position of query 0 if positions are the default ones, else None
    all_present: bool  # no row is absent and positions are the default ones


def blockwise_attention(
    q: jax.Array,
    k: jax.Array,
    v: jax.Array,
    *,
    causal: bool = True,
    lengths: jax.Array | None = None,
    q_positions: jax.Array | None = None,
    kv_positions: jax.Array | None = None,
    scale: float | None = None,
    blocks: BlockSpec | None = None,
) -> jax.Array:
    """Return the result of `dense_attention`, with memory linear in T and S.

    Only pairs of blocks in which some query sees some key are computed. For default positions
    these pairs are known before the run; for given positions and lengths they are found during
    the run. The backward pass computes the probabilities again. It keeps q, k, v, the output and
    the log-sum-exp.

    Args:
      q, k, v, causal, lengths, q_positions, kv_positions, scale: as in `dense_attention`; scale
        is a Python number.
      blocks: rows per block, any size, by default the device's; T and S need not be multiples.

    Returns:
      [B, T, H, D] in q's dtype.

    Raises:
      AgenticError: shapes or dtypes that do not fit.
    """
    check_operands(q, k, v, lengths, q_positions, kv_positions)
    queries, keys = q.shape[1], k.shape[1]
    plan = Plan(
        causal=causal,
        scale=resolve_scale(scale, q.shape[-1]),
        blocks=(blocks or default_blocks()).fit(queries, keys),
        offset=default_offset(queries, keys) if q_positions is None else None,
        all_present=q_positions is None and lengths is None,
    )
    positions = resolve_positions(queries, keys, lengths, q_positions, kv_positions)
    return _attend(plan, *kernel.vary_alike(q, k, v, *positions))


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _attend(plan, q, k, v, q_positions, kv_positions):
    return _attend_forward(plan, q, k, v, q_positions, kv_positions)[0]


def _attend_forward(plan, *operands):
    q, k = operands[:2]
    cut = cut_operands(plan.blocks, *operands)
    visits = _visits(plan, q.shape[1], k.shape[1], *cut[3:])
    sums = kernel.forward(kernel.empty_sums(cut[0]), *cut, visits, plan.causal, plan.scale)
    out, lse = named(*kernel.finish(sums, q, k.shape[2], plan.scale))
    return out, (*operands, out, lse)


def _attend_backward(plan, saved, d_out):
    *operands, out, lse = saved
    q, k = operands[:2]
    cut = cut_operands(plan.blocks, *operands)
    visits = _visits(plan, q.shape[1], k.shape[1], *cut[3:])
    context = kernel.output_context(d_out, out, lse, k.shape[2], plan.blocks.query)
    gradients = kernel.backward(
        kernel.empty_gradients(*cut[:2]), *cut, context, visits, plan.causal, plan.scale
    )
    return *kernel.finish_gradients(gradients, plan.scale, q, k), None, None


def _visits(plan: Plan, queries: int, keys: int, q_positions, kv_positions) -> Visits:
    pairs = None
    if plan.offset is not None:
        visits = static_visits(queries, keys, plan.blocks, plan.causal, plan.offset)
        if plan.all_present:
            return visits
        pairs = visits.pairs
    if q_positions.shape[0] * kv_positions.shape[0] == 1:
        return Visits(np.zeros((1, 2), np.int32), 0, 1)
    return dynamic_visits(q_positions, kv_positions, plan.causal, pairs)


_attend.defvjp(_attend_forward, _attend_backward)
