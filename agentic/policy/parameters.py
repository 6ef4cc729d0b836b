"""Parameters as a plain nested dictionary, apart from the module that uses them.

The module tree is static and rebuilt while tracing, so that jit sees a pure function of the
parameters and walks no object graph at each call.
"""

from functools import lru_cache
from typing import Any

import jax
from flax import nnx

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
        return nnx.to_pure_dict(nnx.state(model, nnx.Param))

    return draw(key)


def bind(config: PolicyConfig, parameters: Parameters) -> AgenticTransformer:
    """Return the network with these parameters; meant for use inside a traced function."""
    return _bind(config, "whole", parameters)


def bind_frame(config: PolicyConfig, parameters: Parameters) -> AgenticTransformer:
    """Return the network without its layers; `parameters` has none of theirs either."""
    return _bind(config, "frame", parameters)


def bind_layer(config: PolicyConfig, parameters: Parameters) -> BlockwiseBlock:
    """Return one layer with its parameters, such as `parameters["blocks"][0]` of the whole."""
    return _bind(config, "layer", parameters)


def _bind(config: PolicyConfig, part: str, parameters: Parameters):
    graph, state = _skeleton(config, part)
    state = jax.tree.map(lambda leaf: leaf, state)
    nnx.replace_by_pure_dict(state, parameters)
    return nnx.merge(graph, state)


def count(parameters: Parameters) -> int:
    """Return the number of scalar parameters."""
    return sum(leaf.size for leaf in jax.tree.leaves(parameters))
