"""Exact attention in three forms with one signature: dense (the oracle), blockwise and ring.

Axes: B batch, T queries, S keys, H query heads, K key heads (H a multiple of K), D head size.
"""

from agentic.attention.blocks import BlockSpec
from agentic.attention.blockwise import blockwise_attention
from agentic.attention.dense import dense_attention
from agentic.attention.ring import ring_attention

__all__ = ["BlockSpec", "blockwise_attention", "dense_attention", "ring_attention"]
