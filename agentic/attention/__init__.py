"""Exact attention in several forms with one signature, and a choice between them.

Dense attention is the oracle. Blockwise attention has linear memory. Ring and gathered attention
work on a sequence that is split over devices. Flash attention is cuDNN's on a GPU. `attend` picks
one of them, and `choose` says which and why. Axes: B batch, T queries, S keys, H query heads,
K key heads (H a multiple of K), D head size.
"""

from agentic.attention.balance import zigzag
from agentic.attention.blocks import BlockSpec
from agentic.attention.blockwise import blockwise_attention
from agentic.attention.dense import dense_attention
from agentic.attention.dispatch import Choice, attend, choose
from agentic.attention.flash import flash_attention, packing
from agentic.attention.kernel import keeps_attention
from agentic.attention.ring import gathered_attention, ring_attention

__all__ = [
    "BlockSpec",
    "Choice",
    "attend",
    "blockwise_attention",
    "choose",
    "dense_attention",
    "flash_attention",
    "gathered_attention",
    "keeps_attention",
    "packing",
    "ring_attention",
    "zigzag",
]
