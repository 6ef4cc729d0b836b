"""The key/value cache: a context that grows step by step, or is filled at once from a chain.

Axis letters: B batch, n trajectories, T new tokens, W width, S cache slots, K key heads, D head
size, O observation, A action, c steps per chunk.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from agentic.attention import attend
from agentic.policy.blockwise import BlockwiseBlock
from agentic.policy.config import PolicyConfig
from agentic.policy.layout import normalize
from agentic.policy.transformer import AgenticTransformer
from agentic.trajectory import Chain


class LayerCache(NamedTuple):
    """Keys and values that one layer has seen: [B, S, K, D] each."""

    keys: jax.Array
    values: jax.Array


class Step(NamedTuple):
    """What acting adds to B contexts: the situation now, and the outcome of the chunk before.

    returns_to_go [B] raw; observations [B, O] raw; actions [B, c, A], rewards, completions [B, c]
    of the chunk before, zeros where there is none; episode, chunk [B] place the situation;
    previous_episode, previous_chunk [B] place the outcome (-1: none); write [B] bool, False leaves
    a row's context as it is.
    """

    returns_to_go: jax.Array
    observations: jax.Array
    actions: jax.Array
    rewards: jax.Array
    completions: jax.Array
    episode: jax.Array
    chunk: jax.Array
    previous_episode: jax.Array
    previous_chunk: jax.Array
    write: jax.Array


class Cache(NamedTuple):
    """Keys and values of a context: per layer [B, S, K, D]; positions [B, S], -1 where empty.

    Slot s holds a token of trajectory s // L (L tokens a trajectory), so that the trajectory which
    leaves a full context is overwritten in place by the one that comes.
    """

    layers: tuple[LayerCache, ...]
    positions: jax.Array


def empty_cache(config: PolicyConfig, batch: int) -> Cache:
    """Return the cache of `batch` empty contexts."""
    slots = config.trajectories * config.tokens_per_trajectory
    shape = (batch, slots, config.groups, config.head_size)
    dtype = jnp.dtype(config.dtype)
    layers = tuple(
        LayerCache(jnp.zeros(shape, dtype), jnp.zeros(shape, dtype)) for _ in range(config.layers)
    )
    return Cache(layers, jnp.full((batch, slots), -1, jnp.int32))


def prefill(model: AgenticTransformer, chain: Chain) -> Cache:
    """Return the cache after the chain [B, n', T, ...], n' <= n, has been seen whole."""
    x, place, _ = model.tokens(chain, None)
    cache = empty_cache(model.config, x.shape[0])
    # Places count full trajectories, and so do slots: an absent token's slot is out of range.
    slots = jnp.where(place >= 0, place, cache.positions.shape[1])
    rows = jnp.arange(x.shape[0])[:, None]
    seen = cache.positions.at[rows, slots].set(place, mode="drop")
    return _through(model, cache, x, place, slots, seen)[0]


def extend(model: AgenticTransformer, cache: Cache, step: Step) -> tuple[Cache, jax.Array]:
    """Add one situation (and the outcome before it) to each row; return the latents [B, W]."""
    config = model.config
    length, n, m = config.tokens_per_trajectory, config.trajectories, config.tokens_per_chunk
    slots_count = cache.positions.shape[1]
    x, episode, chunk, offset = _step_tokens(model, step)
    present = step.write[:, None] & (episode >= 0)
    place = jnp.where(present, episode * length + chunk * m + offset, -1)
    slots = jnp.where(present, (episode % n) * length + chunk * m + offset, slots_count)
    # The first token of an episode takes the place of the oldest whole trajectory.
    arriving = step.write & (step.chunk == 0)
    oldest = jnp.arange(slots_count) // length == (step.episode % n)[:, None]
    seen = jnp.where(arriving[:, None] & oldest, -1, cache.positions)
    rows = jnp.arange(x.shape[0])[:, None]
    seen = seen.at[rows, slots].set(place, mode="drop")
    cache, x = _through(model, cache, x, place, slots, seen)
    return cache, model.norm(x[:, -1])


def _through(
    model: AgenticTransformer, cache: Cache, x: jax.Array, positions: jax.Array, slots: jax.Array,
    seen: jax.Array,
) -> tuple[Cache, jax.Array]:  # fmt: skip
    """Send new tokens x [B, T, W] through all layers; `seen` [B, S] has their positions too."""
    layers = []
    for block, layer in zip(model.blocks, cache.layers, strict=True):
        x, layer = _extend_layer(block, x, positions, layer, slots, seen)
        layers.append(layer)
    return Cache(tuple(layers), seen), x


def _extend_layer(
    block: BlockwiseBlock, x: jax.Array, positions: jax.Array, cache: LayerCache, slots: jax.Array,
    cached_positions: jax.Array,
) -> tuple[jax.Array, LayerCache]:  # fmt: skip
    """Map new tokens x [B, T, W] that see the cache and each other; write them to `slots`.

    slots [B, T] past the cache's end write nothing; cached_positions [B, S] has the new ones.
    """
    q, k, v = block.project(x)
    rows = jnp.arange(x.shape[0])[:, None]
    cache = LayerCache(
        cache.keys.at[rows, slots].set(k, mode="drop"),
        cache.values.at[rows, slots].set(v, mode="drop"),
    )
    y = attend(
        q, cache.keys, cache.values,
        causal=True, q_positions=positions, kv_positions=cached_positions,
    )  # fmt: skip
    return block.residual(x, y), cache


def _step_tokens(model: AgenticTransformer, step: Step):
    """Return a step's tokens [B, m', W] with their episode, chunk and offset, [B, m'] each.

    The action is read off the last one.
    """
    config, embed = model.config, model.embedding
    scale = config.normalization.return_scale
    situation = {
        "R": step.returns_to_go[:, None] / scale,
        "s": normalize(config, step.observations),
    }
    outcome = {
        "a": step.actions.reshape(step.actions.shape[0], -1),
        "r": step.rewards,
        "d": step.completions,
    }
    if config.joint:
        values = situation | outcome
        x = sum(embed(letter, values[letter]) for letter in config.inputs)[:, None]
        episode, chunk = step.episode[:, None], step.chunk[:, None]
        return embed.place(x, episode, chunk), episode, chunk, jnp.zeros((1, 1), jnp.int32)
    before = [x for x in config.inputs if x in outcome]
    now = [x for x in config.inputs if x in situation]
    x = jnp.stack(
        [embed(x, outcome[x]) for x in before] + [embed(x, situation[x]) for x in now], axis=1
    )

    def spread(earlier: jax.Array, current: jax.Array) -> jax.Array:
        return jnp.stack([earlier] * len(before) + [current] * len(now), axis=1)

    episode = spread(step.previous_episode, step.episode)
    chunk = spread(step.previous_chunk, step.chunk)
    offset = jnp.asarray([config.inputs.index(x) for x in before + now], jnp.int32)[None]
    return embed.place(x, episode, jnp.maximum(chunk, 0)), episode, chunk, offset
