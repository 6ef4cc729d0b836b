"""Parameters as a plain nested dictionary, apart from the modules that use them.

jit then sees a pure function of arrays, and a call walks no graph of objects. Inside a traced
function the dictionary becomes a module again, which is a pytree like any other: it may be scanned
over, mapped and differentiated.

Under `LAYERS` lies one tree of arrays [layers, ...], the arrays of all layers stacked: training
loops over them with no copy, and programs have as many operands for 80 layers as for one.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import jax
from flax import nnx

from agentic.network.config import NetworkConfig
from agentic.network.transformer import AgenticTransformer

Parameters = dict[str, Any]
# What a tree of parameters keeps under this name has an axis of layers first.
LAYERS = "blocks"


class Skeleton:
    """A module without its parameters, which come as a dictionary when it is used."""

    def __init__(self, build: Callable[[nnx.Rngs], nnx.Module]):
        """Take the module that `build` makes; no array of it is made."""
        shapes = nnx.eval_shape(lambda: build(nnx.Rngs(0)))
        self._graph, self._state = nnx.split(shapes, nnx.Param)

    @property
    def shapes(self) -> Parameters:
        """The parameters' shapes and types."""
        return nnx.to_pure_dict(self._state)

    def bind(self, parameters: Parameters) -> Any:
        """Return the module with these parameters; meant for use inside a traced function."""
        state = jax.tree.map(lambda leaf: leaf, self._state)
        nnx.replace_by_pure_dict(state, parameters)
        return nnx.merge(self._graph, state)

    def __call__(self, parameters: Parameters, *inputs: jax.Array) -> Any:
        """Return the module's output."""
        return self.bind(parameters)(*inputs)


@lru_cache(maxsize=8)
def _skeleton(config: NetworkConfig, stacked: bool) -> Skeleton:
    return Skeleton(lambda rngs: AgenticTransformer(config, rngs, stacked))


def initialize(config: NetworkConfig, key: jax.Array) -> Parameters:
    """Return fresh parameters drawn from `key`."""

    @jax.jit
    def draw(key: jax.Array) -> Parameters:
        network = AgenticTransformer(config, nnx.Rngs(params=key))
        return nnx.to_pure_dict(nnx.state(network, nnx.Param))

    return draw(key)


def bind(config: NetworkConfig, parameters: Parameters) -> AgenticTransformer:
    """Return the network with these parameters, as `initialize` or as `unstack` returns them.

    Meant for use inside a traced function.
    """
    return _skeleton(config, 0 not in parameters[LAYERS]).bind(parameters)


def unstack(parameters: Parameters) -> Parameters:
    """Return the parameters with a tree for each layer, numbered from 0, under `LAYERS`.

    For programs that are called many times and use a layer by itself, as acting does: out of the
    stack they would copy all layers at every call. What is unstacked already stays as it is.
    """
    if 0 in parameters[LAYERS]:
        return parameters
    return parameters | {LAYERS: jax.jit(_layer_by_layer)(parameters[LAYERS])}


def _layer_by_layer(stacked: Parameters) -> dict[int, Parameters]:
    leaves, tree = jax.tree.flatten(stacked)
    parts = [jax.lax.split(leaf, (1,) * len(leaf)) for leaf in leaves]
    layers = zip(*parts, strict=True)
    return {index: tree.unflatten([part[0] for part in own]) for index, own in enumerate(layers)}


def count(parameters: Parameters) -> int:
    """Return the number of scalar parameters."""
    return sum(leaf.size for leaf in jax.tree.leaves(parameters))
