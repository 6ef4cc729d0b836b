"""Which trajectories a policy looks at: attention mass from trajectory to trajectory.

The mass that a query token gives to a trajectory is the sum of its softmax weights there. Attention
computes exactly that sum when the values are one-hot codes of the keys' trajectories, so the
policy's own blockwise attention is asked, and no matrix of weights is ever held.

Axis letters: B batch, n trajectories, T steps, H heads, S tokens of the whole chain.
"""

from functools import partial

import jax
import jax.numpy as jnp

from agentic.attention import BlockSpec, blockwise_attention
from agentic.errors import AgenticError
from agentic.network.config import NetworkConfig
from agentic.network.parameters import Parameters, bind, unstack
from agentic.network.tokens import flatten, positions
from agentic.trajectory import Chain


def attention_map(config: NetworkConfig, parameters: Parameters, chain: Chain) -> jax.Array:
    """Return how much attention each trajectory of a chain pays to itself and to earlier ones.

    Args:
        config, parameters: the policy, such as a ContextPolicy's attributes of these names.
        chain: [B, n, T, ...] with T at most the policy's episode_length.

    Returns:
        [layers, B, H, n, n] float32: the weight on all tokens of trajectory j (last axis), averaged
        over the tokens of trajectory i. Row i sums to 1, and is 0 where trajectory i is absent.

    Raises:
        AgenticError: a chain of longer trajectories than the policy's.
    """
    return _attention_map(config, parameters, _checked(config, chain))


def uniform_attention_map(config: NetworkConfig, chain: Chain) -> jax.Array:
    """Return the map [B, n, n] of a model whose tokens look at all they can see alike.

    The reference for `attention_map`: more than this on an earlier trajectory is attention paid to
    it, less is attention withheld. Arguments and errors are the same.
    """
    return _uniform_attention_map(config, _checked(config, chain))


@partial(jax.jit, static_argnums=0)
def _attention_map(config: NetworkConfig, parameters: Parameters, chain: Chain) -> jax.Array:
    model, inputs = bind(config, unstack(parameters)), flatten(config, chain)
    x = model.embed(inputs)
    place = inputs.place.reshape(x.shape[:2])
    layers = []
    for block in model.blocks:
        q, k, _ = block.project(x)
        layers.append(_mass(config, q, k, place, chain.mask.shape[1]))
        x = block(x, place)
    return jnp.stack(layers)


@partial(jax.jit, static_argnums=0)
def _uniform_attention_map(config: NetworkConfig, chain: Chain) -> jax.Array:
    # Steps are a prefix of their trajectory, so a chunk exists where its first step does.
    place = positions(config, chain.mask[..., :: config.action_chunk])
    # Queries of zero score every key alike.
    zeros = jnp.zeros((*place.shape, 1, 1), jnp.float32)
    return _mass(config, zeros, zeros, place, chain.mask.shape[1])[:, 0]


def _mass(config: NetworkConfig, q: jax.Array, k: jax.Array, place: jax.Array, n: int) -> jax.Array:
    """Return [B, H, n, n] from q [B, S, H, D], k [B, S, K, D] and the tokens' places [B, S]."""
    batch, tokens, heads, size = q.shape
    # Values must have the keys' shape: the narrower of the two is filled up with zeros.
    width = max(size, n)
    q, k = (jnp.pad(x.astype(jnp.float32), [(0, 0)] * 3 + [(0, width - size)]) for x in (q, k))
    trajectory = jnp.arange(tokens) // (tokens // n)
    v = jnp.broadcast_to(jax.nn.one_hot(trajectory, width)[:, None], k.shape)
    blocks = BlockSpec(query=config.block, key=config.block)
    mass = blockwise_attention(
        q, k, v,
        causal=True, q_positions=place, kv_positions=place, scale=size**-0.5, blocks=blocks,
    )  # fmt: skip
    total = mass[..., :n].reshape(batch, n, -1, heads, n).sum(axis=2).swapaxes(1, 2)
    count = (place >= 0).reshape(batch, n, -1).sum(axis=-1)
    return total / jnp.maximum(count, 1)[:, None, :, None].astype(jnp.float32)


def _checked(config: NetworkConfig, chain: Chain) -> Chain:
    steps = chain.mask.shape[-1]
    if steps > config.episode_length:
        raise AgenticError(
            f"the chain's trajectories have {steps} steps; this policy's have at most "
            f"{config.episode_length}."
        )
    return Chain(*map(jnp.asarray, chain))
