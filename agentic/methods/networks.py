"""Small networks as pure functions of their parameters, one step of Adam, actors and critics.

Axes: B batch, O observation, A action.
"""

import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

Parameters = dict[str, Any]


class MLP(nnx.Module):
    """Linear layers with relu between them; a `trunk` has layer norm and tanh after the first."""

    def __init__(self, sizes: Sequence[int], rngs: nnx.Rngs, trunk: bool = False):
        self.layers = nnx.List(
            [
                nnx.Linear(inputs, outputs, rngs=rngs)
                for inputs, outputs in itertools.pairwise(sizes)
            ]
        )
        self.norm = nnx.LayerNorm(sizes[1], rngs=rngs) if trunk else None

    def __call__(self, x: jax.Array) -> jax.Array:
        """Return the outputs [..., sizes[-1]] of inputs [..., sizes[0]]."""
        for index, layer in enumerate(self.layers):
            x = layer(x)
            if index == 0 and self.norm is not None:
                x = jnp.tanh(self.norm(x))
            elif index < len(self.layers) - 1:
                x = nnx.relu(x)
        return x


class Network:
    """A module apart from its parameters: jit sees plain arrays and walks no object graph."""

    def __init__(self, build: Callable[[nnx.Rngs], nnx.Module]):
        shapes = nnx.eval_shape(lambda: build(nnx.Rngs(0)))
        self._graph, self._state = nnx.split(shapes, nnx.Param)

    @property
    def shapes(self) -> Parameters:
        """The parameters' shapes and types."""
        return nnx.to_pure_dict(self._state)

    def init(self, generator: np.random.Generator) -> Parameters:
        """Return fresh parameters; NumPy draws them, since JAX would compile for every shape."""
        return _draw(self.shapes, generator)

    def bind(self, parameters: Parameters) -> Any:
        """Return the module with these parameters; meant for use inside a traced function."""
        state = jax.tree.map(lambda leaf: leaf, self._state)
        nnx.replace_by_pure_dict(state, parameters)
        return nnx.merge(self._graph, state)

    def __call__(self, parameters: Parameters, *inputs: jax.Array) -> Any:
        """Return the module's output."""
        return self.bind(parameters)(*inputs)


def _draw(shapes: Any, generator: np.random.Generator) -> Any:
    """Return normal weights of deviation fan_in^-1/2, biases uniform within it, and other zeros.

    Biases do not start at zero as in URLB: behind a layer norm, the network would then be blind to
    the scale of its input.
    """
    if not isinstance(shapes, dict):
        return jnp.zeros(shapes.shape, jnp.float32)
    if "kernel" in shapes:
        fan_in, fan_out = shapes["kernel"].shape
        drawn = {"kernel": generator.normal(0, fan_in**-0.5, (fan_in, fan_out))}
        if "bias" in shapes:
            drawn["bias"] = generator.uniform(-(fan_in**-0.5), fan_in**-0.5, fan_out)
    elif "scale" in shapes:
        drawn = {"scale": np.ones(shapes["scale"].shape), "bias": np.zeros(shapes["bias"].shape)}
    else:
        return {name: _draw(inner, generator) for name, inner in shapes.items()}
    return {name: jnp.asarray(array, jnp.float32) for name, array in drawn.items()}


class Optimized(NamedTuple):
    """Parameters and the state of the Adam that trains them."""

    parameters: Parameters
    optimizer: Any


def optimized(parameters: Parameters, rate: float | optax.Schedule) -> Optimized:
    """Return parameters before their first step of Adam."""
    return Optimized(parameters, optax.adam(rate).init(parameters))


def descend(
    state: Optimized, rate: float | optax.Schedule, loss: Callable[[Parameters], jax.Array]
) -> tuple[Optimized, jax.Array]:
    """Return parameters after one step of Adam (Kingma & Ba 2015) on `loss`, and the loss."""
    value, gradient = jax.value_and_grad(loss)(state.parameters)
    # optax counts steps in integers and relies on implicit promotion; our own code does not.
    with jax.numpy_dtype_promotion("standard"):
        updates, optimizer = optax.adam(rate).update(gradient, state.optimizer, state.parameters)
    return Optimized(optax.apply_updates(state.parameters, updates), optimizer), value


def unit(vectors: jax.Array) -> jax.Array:
    """Return vectors [..., F] scaled to length one."""
    return vectors / jnp.maximum(jnp.linalg.norm(vectors, axis=-1, keepdims=True), 1e-6)


class Actor(nnx.Module):
    """A deterministic policy: [B, O] -> [B, A] in [-1, 1]."""

    def __init__(self, sizes: tuple[int, ...], trunk: bool, rngs: nnx.Rngs):
        self.layers = MLP(sizes, rngs, trunk=trunk)

    def __call__(self, observations: jax.Array) -> jax.Array:
        """Return the actions."""
        return jnp.tanh(self.layers(observations))


class GaussianActor(Actor):
    """A Gaussian policy around the deterministic one, of one deviation in all states.

    As in IQL's public code the mean is squashed by tanh and the density is not; the logarithm of
    the deviation is kept within [-10, 2].
    """

    def __init__(self, sizes: tuple[int, ...], rngs: nnx.Rngs):
        super().__init__(sizes, False, rngs)
        self.log_deviation = nnx.Param(jnp.zeros(sizes[-1]))

    def log_density(self, observations: jax.Array, actions: jax.Array) -> jax.Array:
        """Return log pi(a | s) of actions [B, A]: [B]."""
        log_deviation = jnp.clip(self.log_deviation[...], -10.0, 2.0)
        error = (actions - self(observations)) * jnp.exp(-log_deviation)
        return (-0.5 * jnp.square(error) - log_deviation - 0.5 * jnp.log(2 * jnp.pi)).sum(axis=-1)


class TwinCritic(nnx.Module):
    """Two networks that estimate the value of actions: [B, O], [B, A] -> [2, B]."""

    def __init__(self, sizes: tuple[int, ...], trunk: bool, rngs: nnx.Rngs):
        self.twins = nnx.List([MLP(sizes, rngs, trunk=trunk) for _ in range(2)])

    def __call__(self, observations: jax.Array, actions: jax.Array) -> jax.Array:
        """Return both estimates."""
        inputs = jnp.concatenate([observations, actions], axis=-1)
        return jnp.stack([twin(inputs)[..., 0] for twin in self.twins])

    def first(self, observations: jax.Array, actions: jax.Array) -> jax.Array:
        """Return the first estimate alone: [B]."""
        return self.twins[0](jnp.concatenate([observations, actions], axis=-1))[..., 0]
