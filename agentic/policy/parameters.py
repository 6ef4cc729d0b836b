"""Parameters as a plain nested dictionary, apart from the module that uses them.

The module tree is static and rebuilt while tracing, so that jit sees a pure function of the
parameters and walks no object graph at each call.

Under `LAYERS` lies one tree of arrays [layers, ...], each the layers' own stacked: training loops
over them with no copy, and programs have as many operands for 80 layers as for one.
"""

from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from agentic.mesh import LAYERS
from agentic.policy.blockwise import BlockwiseBlock
from agentic.policy.config import PolicyConfig
from agentic.policy.transformer import AgenticTransformer

Parameters = dict[str, Any]


@lru_cache(maxsize=8)
def _skeleton(config: PolicyConfig, part: str) -> tuple[nnx.GraphDef, nnx.State]:
    build = {
        "whole": AgenticTransformer,
        "frame": lambda config, rngs: AgenticTransformer(config, rngs, layers=False),
        "layer": BlockwiseBlock,
    }[part]
    model = nnx.eval_shape(lambda: build(config, nnx.Rngs(0)))
    return nnx.split(model, nnx.Param)


def initialize(config: PolicyConfig, key: jax.Array) -> Parameters:
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


def bind(config: PolicyConfig, parameters: Parameters) -> AgenticTransformer:
    """Return the network with these parameters, as `initialize` or as `unstack` returns them.

    Meant for use inside a traced function.
    """
    return _bind(config, "whole", unstack(parameters))


def bind_frame(config: PolicyConfig, parameters: Parameters) -> AgenticTransformer:
    """Return the network without its layers; `parameters` has none of theirs either."""
    return _bind(config, "frame", parameters)


def bind_layer(config: PolicyConfig, parameters: Parameters) -> BlockwiseBlock:
    """Return one layer with its parameters, one of those that `split_layers` returns."""
    return _bind(config, "layer", parameters)


def _bind(config: PolicyConfig, part: str, parameters: Parameters):
    graph, state = _skeleton(config, part)
    state = jax.tree.map(lambda leaf: leaf, state)
    nnx.replace_by_pure_dict(state, parameters)
    return nnx.merge(graph, state)


def count(parameters: Parameters) -> int:
    """Return the number of scalar parameters."""
    return sum(leaf.size for leaf in jax.tree.leaves(parameters))
