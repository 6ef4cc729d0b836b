"""Contexts that grow through the key/value cache: step by step, or filled from a whole chain.

Axis letters: B contexts, n trajectories, T new tokens, W width, O observation, A action, c steps
per chunk. Where a cache is split over devices, `axis_name` is the mesh axis, inside shard_map.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from agentic.network.cache import Cache, Place, own_slots, remember, settle
from agentic.network.tokens import flatten, normalize
from agentic.network.transformer import AgenticTransformer
from agentic.trajectory import Chain


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


def prefill(
    model: AgenticTransformer, chain: Chain, cache: Cache, axis_name: str | None = None
) -> Cache:
    """Return the cache after the chain [B, n', T, ...], n' <= n, has been seen whole.

    `cache` is the empty one to fill. Tokens go through all layers `config.block` at a time, so
    memory grows with the chain only by its embedding.
    """
    inputs = flatten(model.config, chain)
    x = model.embed(inputs)
    batch, count, width = x.shape
    place = inputs.place.reshape(batch, count)
    block = min(model.config.block, count)
    blocks = -(-count // block)
    extra = blocks * block - count
    x = jnp.pad(x, ((0, 0), (0, extra), (0, 0)))
    place = jnp.pad(place, ((0, 0), (0, extra)), constant_values=-1)

    def add(cache: Cache, part: tuple[jax.Array, jax.Array]) -> tuple[Cache, None]:
        tokens, places = part
        # Places count full trajectories, and so do slots.
        where = settle(cache.positions, places, places, axis_name)
        return _through(model, cache, tokens, where)[0], None

    x = x.reshape(batch, blocks, block, width).swapaxes(0, 1)
    place = place.reshape(batch, blocks, block).swapaxes(0, 1)
    return jax.lax.scan(add, cache, (x, place))[0]


def extend(
    model: AgenticTransformer, cache: Cache, step: Step, axis_name: str | None = None
) -> tuple[Cache, jax.Array]:
    """Add one situation (and the outcome before it) to each row; return the latents [B, W]."""
    config = model.config
    length, n, m = config.tokens_per_trajectory, config.trajectories, config.tokens_per_chunk
    x, episode, chunk, offset = _step_tokens(model, step)
    present = step.write[:, None] & (episode >= 0)
    place = jnp.where(present, episode * length + chunk * m + offset, -1)
    slots = (episode % n) * length + chunk * m + offset
    # The first token of an episode takes the place of the oldest whole trajectory.
    arriving = step.write & (step.chunk == 0)
    held = own_slots(cache.positions.shape[1], axis_name) // length
    oldest = held == (step.episode % n)[:, None]
    seen = jnp.where(arriving[:, None] & oldest, -1, cache.positions)
    cache, x = _through(model, cache, x, settle(seen, place, slots, axis_name))
    return cache, model.norm(x[:, -1])


def _through(
    model: AgenticTransformer, cache: Cache, x: jax.Array, place: Place
) -> tuple[Cache, jax.Array]:
    """Bring new tokens x [B, T, W] through all layers and into the cache."""
    layers = []
    for block, layer in zip(model.blocks, cache.layers, strict=True):
        layer, y = remember(layer, *block.project(x), place)
        x = block.residual(x, y)
        layers.append(layer)
    return Cache(tuple(layers), place.positions), x


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
