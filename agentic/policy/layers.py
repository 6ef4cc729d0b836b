"""The layers as training runs them: scanned, recomputed as chosen, split over devices.

Axis letters: B batch, N chunks (`agentic.policy.inputs`), W width.
"""

from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name

from agentic.attention import (
    blockwise_attention,
    choose,
    flash_attention,
    keeps_attention,
    packing,
)
from agentic.errors import AgenticError
from agentic.mesh import LAYERS
from agentic.policy.blockwise import ATTENDED, PROJECTED
from agentic.policy.config import PolicyConfig
from agentic.policy.inputs import Inputs
from agentic.policy.parameters import Parameters, bind_frame, bind_layer, split_layers
from agentic.policy.transformer import AgenticTransformer

Remat = Literal["none", "block", "attention", "layer", "offload"]
REMATS: dict[Remat, str] = {
    "none": "keep what the backward pass needs",
    "block": "compute the feed-forward network again, block by block",
    "attention": "keep the layers' inputs and what attention gives, and compute the rest again",
    "layer": "keep the layers' inputs alone and compute all else again",
    "offload": "the same, with the layers' inputs in the host's memory",
}
# Up to here a loop over layers saves no compile time worth what it costs. Where layers are to be
# computed again there always is one: without, the compiler finds the same layers twice and keeps
# what they gave.
UNROLLED = 4


def _memories() -> list[str]:
    return sorted(memory.kind for memory in jax.devices()[0].addressable_memories())


def run_layers(
    config: PolicyConfig,
    parameters: Parameters,
    inputs: Inputs,
    key: jax.Array | None = None,
    remat: Remat = "block",
    sequence: str | None = None,
    gather: Callable[[str, Any], Any] | None = None,
    attend: Callable | None = None,
) -> tuple[AgenticTransformer, jax.Array]:
    """Return the network around the layers, and the latents [B, N, W] of flat inputs.

    Args:
      config, parameters: the network.
      inputs: chunks, in any order.
      key: turns dropout on.
      remat: what the backward pass finds and what it computes again: see REMATS.
      sequence: mesh axis over which N is split, where this runs inside shard_map.
      gather: makes whole parameters of this device's share: of the "frame", which stays whole for
        the step, or of one "layer" at a time, again in the backward pass, so that no more than one
        layer is ever whole. None where every device has them whole.
      attend: what attends where N is not split; by default what `choose` picks.

    Raises:
      AgenticError: remat is "offload" where devices cannot reach the host's memory.
    """
    if remat == "offload" and "pinned_host" not in _memories():
        raise AgenticError(
            f"remat is 'offload', and {jax.default_backend()} devices cannot put arrays into the "
            f"host's memory (they have {', '.join(_memories())}); take 'layer'."
        )
    around = {name: tree for name, tree in parameters.items() if name != LAYERS}
    whole = gather or (lambda _, tree: tree)
    frame = bind_frame(config, whole("frame", around))
    x, place, keys = frame.embed(inputs, key)
    packed = None
    if attend is None:
        attend = blockwise_attention
        if sequence is None and _by_flash(config, x.shape[1]):
            packed = packing(place)
            x, place = packed.pack(x), packed.pack(place)
            attend = _flash(packed.lengths)

    def layer(x: jax.Array, own: tuple) -> tuple[jax.Array, None]:
        shares, block_key = own
        x = checkpoint_name(x, "layer_input")
        block = bind_layer(config, whole("layer", shares))
        return block(x, place, block_key, sequence, remat != "none", attend), None

    if remat == "layer":
        layer = jax.checkpoint(layer)
    elif remat == "attention":
        layer = jax.checkpoint(layer, policy=keeps_attention)
    elif remat == "offload":
        policy = jax.checkpoint_policies.save_and_offload_only_these_names(
            names_which_can_be_saved=[],
            names_which_can_be_offloaded=["layer_input"],
            offload_src="device",
            offload_dst="pinned_host",
        )
        layer = jax.checkpoint(layer, policy=policy)
    elif gather is not None:
        keeps = _keeps_all_but_weights if remat == "none" else _keeps_all_but_feedforward
        layer = jax.checkpoint(layer, policy=keeps)
    again = gather is not None or remat not in ("none", "block")
    if config.layers <= UNROLLED and not again:
        for own in zip(split_layers(parameters[LAYERS]), keys[:-1], strict=True):
            x, _ = layer(x, own)
    else:
        layer_keys = None if key is None else jnp.stack(keys[:-1])
        x, _ = jax.lax.scan(layer, x, (parameters[LAYERS], layer_keys))
    if packed is not None:
        x = packed.unpack(x)
    return frame, frame.read(x, keys[-1])


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


def _by_flash(config: PolicyConfig, tokens: int) -> bool:
    """Say whether the dispatcher gives rows in their order to cuDNN."""
    return choose(tokens, tokens, config.head_size, config.dtype).kernel == "cudnn"


def _flash(lengths: jax.Array) -> Callable:
    """Return attention over packed rows, whose positions say no more than lengths [B]."""

    def attend(q, k, v, *, causal, q_positions, kv_positions) -> jax.Array:
        return flash_attention(q, k, v, causal=causal, lengths=lengths)

    return attend
