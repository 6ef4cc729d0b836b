"""Attention over a sequence split across devices that fetches all keys and values at once.

For short sequences one collective is quicker than a ring of them, and there is room for all keys
and values on every device. Backward, their gradients are summed on the way home.
"""

import jax
from jax import lax

from agentic.attention import kernel
from agentic.attention.blocks import BlockSpec
from agentic.attention.blockwise import blockwise_attention
from agentic.attention.positions import check_operands, share_positions


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
