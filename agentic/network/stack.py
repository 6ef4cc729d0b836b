"""The layers as training runs them: scanned, recomputed as chosen, split over devices.

Axis letters: B batch, N chunks (`agentic.network.tokens`), W width.

Parameters as a plain nested dictionary, apart from the module that uses them.

The module tree is static and rebuilt while tracing, so that jit sees a pure function of the
parameters and walks no object graph at each call.

Under `LAYERS` lies one tree of arrays [layers, ...], each the layers' own stacked: training loops
over them with no copy, and programs have as many operands for 80 layers as for one.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, Literal

import jax
import jax.numpy as jnp
from flax import nnx
from jax.ad_checkpoint import checkpoint_name

from agentic.attention import blockwise_attention, choose, flash_attention, keeps_attention, packing
from agentic.errors import AgenticError
from agentic.network.block import ATTENDED, PROJECTED, BlockwiseBlock
from agentic.network.config import NetworkConfig
from agentic.network.tokens import Inputs
from agentic.network.transformer import AgenticTransformer

Parameters = dict[str, Any]
# What a tree of parameters keeps under this name has an axis of layers first.
LAYERS = "blocks"


@lru_cache(maxsize=8)
def _skeleton(config: NetworkConfig, part: str) -> tuple[nnx.GraphDef, nnx.State]:
    build = {
        "whole": AgenticTransformer,
        "frame": lambda config, rngs: AgenticTransformer(config, rngs, layers=False),
        "layer": BlockwiseBlock,
    }[part]
    model = nnx.eval_shape(lambda: build(config, nnx.Rngs(0)))
    return nnx.split(model, nnx.Param)


def initialize(config: NetworkConfig, key: jax.Array) -> Parameters:
    """Return fresh parameters drawn from `key`."""

    @jax.jit
    def draw(key: jax.Array) -> Parameters:
        model = AgenticTransformer(config, nnx.Rngs(params=key))
        parameters = nnx.to_pure_dict(nnx.state(model, nnx.Param))
        layers = (parameters[LAYERS][index] for index in range(config.layers))
        return parameters | {LAYERS: jax.tree.map(lambda *own: jnp.stack(own), *layers)}

    return draw(key)


def split_layers(stacked: Parameters) -> list[Parameters]:
    """Return the parameters of every layer, out of arrays [layers, ...]."""
    leaves, tree = jax.tree.flatten(stacked)
    # Of a split the gradient is one concatenation; of slices it would be a sum of padded arrays.
    parts = [jax.lax.split(leaf, (1,) * len(leaf)) for leaf in leaves]
    return [tree.unflatten([part[0] for part in own]) for own in zip(*parts, strict=True)]


def unstack(parameters: Parameters) -> Parameters:
    """Return the parameters with a tree for each layer, numbered from 0, under `LAYERS`.

    For programs that are called many times and use a layer by itself, as acting does: out of the
    stack they would copy all layers at every call. What is unstacked already stays as it is.
    """
    if 0 in parameters[LAYERS]:
        return parameters
    layers = jax.jit(split_layers)(parameters[LAYERS])
    return parameters | {LAYERS: dict(enumerate(layers))}


def bind(config: NetworkConfig, parameters: Parameters) -> AgenticTransformer:
    """Return the network with these parameters, as `initialize` or as `unstack` returns them.

    Meant for use inside a traced function.
    """
    return _bind(config, "whole", unstack(parameters))


def bind_frame(config: NetworkConfig, parameters: Parameters) -> AgenticTransformer:
    """Return the network without its layers; `parameters` has none of theirs either."""
    return _bind(config, "frame", parameters)


def bind_layer(config: NetworkConfig, parameters: Parameters) -> BlockwiseBlock:
    """Return one layer with its parameters, one of those that `split_layers` returns."""
    return _bind(config, "layer", parameters)


def _bind(config: NetworkConfig, part: str, parameters: Parameters):
    graph, state = _skeleton(config, part)
    state = jax.tree.map(lambda leaf: leaf, state)
    nnx.replace_by_pure_dict(state, parameters)
    return nnx.merge(graph, state)


def count(parameters: Parameters) -> int:
    """Return the number of scalar parameters."""
    return sum(leaf.size for leaf in jax.tree.leaves(parameters))


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
    config: NetworkConfig,
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


def _by_flash(config: NetworkConfig, tokens: int) -> bool:
    """Say whether the dispatcher gives rows in their order to cuDNN."""
    return choose(tokens, tokens, config.head_size, config.dtype).kernel == "cudnn"


def _flash(lengths: jax.Array) -> Callable:
    """Return attention over packed rows, whose positions say no more than lengths [B]."""

    def attend(q, k, v, *, causal, q_positions, kv_positions) -> jax.Array:
        return flash_attention(q, k, v, causal=causal, lengths=lengths)

    return attend
