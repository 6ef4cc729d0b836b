"""Parameters as a plain nested dictionary, apart from the module that uses them.

The module tree is static and rebuilt while tracing, so that jit sees a pure function of the
parameters and walks no object graph at each call.
"""

from functools import lru_cache
from typing import Any

import jax
from flax import nnx

from agentic.policy.config import PolicyConfig
from agentic.policy.transformer import AgenticTransformer

Parameters = dict[str, Any]


@lru_cache(maxsize=8)
def _skeleton(config: PolicyConfig) -> tuple[nnx.GraphDef, nnx.State]:
    model = nnx.eval_shape(lambda: AgenticTransformer(config, nnx.Rngs(0)))
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
    graph, state = _skeleton(config)
    state = jax.tree.map(lambda leaf: leaf, state)
    nnx.replace_by_pure_dict(state, parameters)
    return nnx.merge(graph, state)


def count(parameters: Parameters) -> int:
    """Return the number of scalar parameters."""
    return sum(leaf.size for leaf in jax.tree.leaves(parameters))
