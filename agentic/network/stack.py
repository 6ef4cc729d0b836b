"""The layers as training runs them: one after another, recomputed as chosen, split over devices.

Axis letters: B batch, T tokens, W width.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name

from agentic.attention import (
    attend,
    blockwise_attention,
    choose,
    flash_attention,
    keeps_attention,
    packing,
)
from agentic.errors import AgenticError
from agentic.network.block import ATTENDED, PROJECTED, BlockwiseBlock
from agentic.network.dropout import fold

Remat = Literal["none", "block", "attention", "layer", "offload"]
REMATS: dict[Remat, str] = {
    "none": "keep what the backward pass needs",
    "block": "compute the feed-forward network again, block by block",
    "attention": "keep the layers' inputs and what attention gives, and compute the rest again",
    "layer": "keep the layers' inputs alone and compute all else again",
    "offload": "the same, with the layers' inputs in the host's memory",
}
# Of so few layers the program is written out: a loop saves no compile time worth what it costs.
# Layers that are computed again are always looped over: written out, the compiler finds the same
# layers twice and keeps what they gave.
WRITTEN_OUT = 4


class Attention(NamedTuple):
    """What attends in the layers.

    whole: where all tokens of a row are here, called as `blockwise_attention` is; split: where a
    row is split over a mesh axis, called with `axis_name` besides; packed: with `lengths` instead
    of positions, on rows whose tokens are brought into order and to the front first. None leaves
    whole rows as they are.
    """

    whole: Callable = blockwise_attention
    split: Callable = attend
    packed: Callable | None = None


def attention_for(layer: BlockwiseBlock, tokens: int) -> Attention:
    """Return what the dispatcher picks for rows of so many tokens: cuDNN wants packed ones."""
    config = layer.config
    kernel = choose(tokens, tokens, config.head_size, config.dtype).kernel
    return Attention(packed=flash_attention if kernel == "cudnn" else None)


def check_remat(remat: Remat, memories: Sequence[str] | None = None) -> None:
    """Raise AgenticError where the devices cannot do what `remat` asks for.

    `memories` are the kinds of memory that a device reaches, by default of those at hand.
    """
    if memories is None:
        memories = sorted(memory.kind for memory in jax.devices()[0].addressable_memories())
    if remat == "offload" and "pinned_host" not in memories:
        raise AgenticError(
            f"remat is 'offload', and {jax.default_backend()} devices cannot put arrays into the "
            f"host's memory (they have {', '.join(memories)}); take 'layer'."
        )


def run_layers(
    layers: BlockwiseBlock,
    x: jax.Array,
    place: jax.Array,
    keys: jax.Array | None = None,
    remat: Remat = "block",
    attention: Attention | None = None,
    sequence: str | None = None,
    gather: Callable[[BlockwiseBlock], BlockwiseBlock] | None = None,
) -> jax.Array:
    """Bring tokens x [B, T, W] through all layers, one after another.

    Args:
        layers: a block whose arrays have an axis of layers first.
        x, place: the tokens, in any order, and their places [B, T] in the context, -1 for absent.
        keys: [B, T], the tokens' keys, turn dropout on.
        remat: what the backward pass finds and what it computes again: see REMATS.
        attention: what attends; by default what the dispatcher picks.
        sequence: mesh axis over which T is split, where this runs inside shard_map.
        gather: makes a whole layer of this device's share of one, again in the backward pass, so
            that no more than one layer is ever whole. None where every device has them whole.

    Raises:
        AgenticError: remat is "offload" where devices cannot reach the host's memory.
    """
    check_remat(remat)
    attention = attention or attention_for(layers, x.shape[1])
    packed, attends = None, attention.whole
    if sequence is not None:
        attends = partial(attention.split, axis_name=sequence)
    elif attention.packed is not None:
        packed = packing(place)
        x, place = packed.pack(x), packed.pack(place)
        keys = None if keys is None else packed.pack(keys)
        attends = _by_lengths(packed.lengths, attention.packed)

    def layer(x: jax.Array, numbered: tuple[BlockwiseBlock, jax.Array]) -> tuple[jax.Array, None]:
        block, number = numbered
        x = checkpoint_name(x, "layer_input")
        block = block if gather is None else gather(block)
        # The first two numbers are the embedding's and the latents'.
        return block(x, place, fold(keys, 2 + number), remat != "none", attends), None

    step, count = _recomputed(layer, remat, gathered=gather is not None), layers.config.layers
    unroll = count if count <= WRITTEN_OUT and step is layer else 1
    x, _ = jax.lax.scan(step, x, (layers, jnp.arange(count)), unroll=unroll)
    return x if packed is None else packed.unpack(x)


def _by_lengths(lengths: jax.Array, attends: Callable) -> Callable:
    """Return attention over packed rows, whose positions say no more than lengths [B]."""

    def packed(q, k, v, *, causal, q_positions, kv_positions) -> jax.Array:
        return attends(q, k, v, causal=causal, lengths=lengths)

    return packed


def _recomputed(layer: Callable, remat: Remat, gathered: bool) -> Callable:
    """Return the layer, wrapped where the backward pass computes a part of it again.

    The whole parameters of a `gathered` layer are always made again.
    """
    if remat == "layer":
        return jax.checkpoint(layer)
    if remat == "attention":
        return jax.checkpoint(layer, policy=keeps_attention)
    if remat == "offload":
        policy = jax.checkpoint_policies.save_and_offload_only_these_names(
            names_which_can_be_saved=[],
            names_which_can_be_offloaded=["layer_input"],
            offload_src="device",
            offload_dst="pinned_host",
        )
        return jax.checkpoint(layer, policy=policy)
    if gathered:
        keeps = _keeps_all_but_weights if remat == "none" else _keeps_all_but_feedforward
        return jax.checkpoint(layer, policy=keeps)
    return layer


def _keeps_all_but_feedforward(primitive: Any, *operands: Any, **parameters: Any) -> bool:
    """Say what remat "block" keeps of a layer whose parameters are not: a policy of `checkpoint`.

    It speaks for the checkpoint around the feed-forward network, too, which is inside the layer's.
    """
    if primitive.name == "name" and parameters["name"] in (PROJECTED, ATTENDED):
        return True
    return keeps_attention(primitive, *operands, **parameters)


def _keeps_all_but_weights(primitive: Any, *operands: Any, **_) -> bool:
    """Say no to parameters made whole, and to what they are cast to: a policy of `checkpoint`.

    Those have two axes at most. Keys and values that are gathered have more; their positions are
    gathered again, too.
    """
    on_weights = primitive.name in ("all_gather", "convert_element_type")
    return not (on_weights and operands[0].ndim <= 2)
