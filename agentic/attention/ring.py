"""Attention over a sequence that is split across devices: by a ring, or with all keys gathered.

Ring: queries stay, keys and values travel. Each of N devices adds the keys and values that it holds
to the running sums of its own queries and then passes them on: N - 1 sends. In the backward pass
the gradients of keys and values travel with them and need one more send to return (Liu et al. 2023,
arXiv 2310.01889). Keys and values travel block by block, each while it is used, and an arriving
block takes the place of the one that left. So a device holds its own share and a few blocks under
way, however many devices there are.

Gathered: every device fetches all keys and values at once. For short sequences one collective is
faster than a ring of them, and every device has room for all keys and values. In the backward pass
their gradients are summed while they return.
"""

from functools import partial

import jax
from jax import lax

from agentic.attention import kernel
from agentic.attention.blocks import BlockSpec, cut_operands, default_blocks, dynamic_visits
from agentic.attention.blockwise import blockwise_attention
from agentic.attention.kernel import named
from agentic.attention.positions import check_operands, resolve_scale, share_positions


def ring_attention(
    q: jax.Array,
    k: jax.Array,
    v: jax.Array,
    *,
    axis_name: str | tuple[str, ...],
    causal: bool = True,
    lengths: jax.Array | None = None,
    q_positions: jax.Array | None = None,
    kv_positions: jax.Array | None = None,
    scale: float | None = None,
    blocks: BlockSpec | None = None,
) -> jax.Array:
    """Return this device's rows of the result of `dense_attention` for the whole sequence.

    It runs inside `jax.shard_map` with T and S split over `axis_name`, equal shares in order.

    Args:
      q, k, v: this device's share, [B, T, H, D] and [B, S, K, D].
      axis_name: the mesh axis, or axes, over which the sequence is split.
      causal, scale: as in `dense_attention`.
      lengths: int32 [B], the valid prefix of the whole sequence.
      q_positions, kv_positions: this device's share of the positions, in any order; without them
        rows are numbered through the whole sequence.
      blocks: rows per block within one device's share; by default the device's.

    Returns:
      [B, T, H, D] in q's dtype.

    Raises:
      AgenticError: shapes or dtypes that do not fit.
    """
    check_operands(q, k, v, lengths, q_positions, kv_positions)
    queries, keys = q.shape[1], k.shape[1]
    positions, device = share_positions(
        axis_name, queries, keys, lengths, q_positions, kv_positions
    )
    scale = resolve_scale(scale, q.shape[-1])
    # The device index is included because everything that travels must vary over the ring's axis.
    *operands, _ = kernel.vary_alike(q, k, v, *positions, device)
    blocks = (blocks or default_blocks(ring=True)).halves(queries, keys)
    return _attend(axis_name, causal, scale, blocks, *operands)


@partial(jax.custom_vjp, nondiff_argnums=(0, 1, 2, 3))
def _attend(axis_name, causal, scale, blocks, *operands):
    return _attend_forward(axis_name, causal, scale, blocks, *operands)[0]


def _attend_forward(axis_name, causal, scale, blocks, *operands):
    q, k, v, q_positions, kv_positions = cut_operands(blocks, *operands)

    def fold(sums, k, v, kv_positions):
        visits = dynamic_visits(q_positions, kv_positions, causal)
        return kernel.forward(sums, q, k, v, q_positions, kv_positions, visits, causal, scale)

    def pass_on(j, state):
        sums, travelling = state
        block = kernel.pick(travelling, j)
        sums = fold(sums, *block)
        return sums, kernel.place(travelling, send(block, axis_name), j)

    def hop(_, state):
        return lax.fori_loop(0, len(k), pass_on, state)

    state = kernel.empty_sums(q), [k, v, kv_positions]
    sums, travelling = lax.fori_loop(0, lax.axis_size(axis_name) - 1, hop, state)
    sums = fold(sums, *travelling)
    out, lse = named(*kernel.finish(sums, operands[0], operands[1].shape[2], scale))
    return out, (*operands, out, lse)


def _attend_backward(axis_name, causal, scale, blocks, saved, d_out):
    *operands, out, lse = saved
    q, k, v, q_positions, kv_positions = cut_operands(blocks, *operands)
    context = kernel.output_context(d_out, out, lse, operands[1].shape[2], blocks.query)

    def fold(gradients, k, v, kv_positions):
        visits = dynamic_visits(q_positions, kv_positions, causal)
        rows = q, k, v, q_positions, kv_positions
        return kernel.backward(gradients, *rows, context, visits, causal, scale)

    def pass_on(j, state):
        (d_q, *d_kv), travelling = state
        block = kernel.pick(travelling, j)
        d_q, *block_gradients = fold(kernel.Gradients(d_q, *kernel.pick(d_kv, j)), *block)
        d_kv = kernel.place(d_kv, send(block_gradients, axis_name), j)
        return kernel.Gradients(d_q, *d_kv), kernel.place(travelling, send(block, axis_name), j)

    def bring_home(j, d_kv):
        return kernel.place(d_kv, send(kernel.pick(d_kv, j), axis_name), j)

    def hop(_, state):
        return lax.fori_loop(0, len(k), pass_on, state)

    state = kernel.empty_gradients(q, k), [k, v, kv_positions]
    gradients, travelling = lax.fori_loop(0, lax.axis_size(axis_name) - 1, hop, state)
    d_q, *d_kv = fold(gradients, *travelling)
    if lax.axis_size(axis_name) > 1:
        d_kv = lax.fori_loop(0, len(k), bring_home, d_kv)
    gradients = kernel.Gradients(d_q, *d_kv)
    return *kernel.finish_gradients(gradients, scale, *operands[:2]), None, None


_attend.defvjp(_attend_forward, _attend_backward)


def send(travelling, axis_name):
    """Return what the previous device of the ring holds, having passed our own to the next."""
    devices = lax.axis_size(axis_name)
    if devices == 1:
        return travelling
    ring = [(device, (device + 1) % devices) for device in range(devices)]
    return lax.ppermute(travelling, axis_name, ring)


def gathered_attention(
    q: jax.Array,
    k: jax.Array,
    v: jax.Array,
    *,
    axis_name: str | tuple[str, ...],
    causal: bool = True,
    lengths: jax.Array | None = None,
    q_positions: jax.Array | None = None,
    kv_positions: jax.Array | None = None,
    scale: float | None = None,
    blocks: BlockSpec | None = None,
) -> jax.Array:
    """Return what `ring_attention` returns; arguments, place and errors are the same."""
    check_operands(q, k, v, lengths, q_positions, kv_positions)
    queries, keys = q.shape[1], k.shape[1]
    positions, device = share_positions(
        axis_name, queries, keys, lengths, q_positions, kv_positions
    )
    q, k, v, *positions, _ = kernel.vary_alike(q, k, v, *positions, device)
    k, v, kv_positions = (
        lax.all_gather(x, axis_name, axis=1, tiled=True) for x in (k, v, positions[1])
    )
    batch = q.shape[0]
    q_positions, kv_positions = (
        lax.broadcast_in_dim(x[0], (batch, x.shape[1]), (1,)) if len(x) < batch else x
        for x in (positions[0], kv_positions)
    )
    return blockwise_attention(
        q, k, v, causal=causal, q_positions=q_positions, kv_positions=kv_positions,
        scale=scale, blocks=blocks,
    )  # fmt: skip
