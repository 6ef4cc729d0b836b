"""The Agentic Transformer: chains of hindsight in, actions in [-1, 1] out.

Source: Liu & Abbeel 2023, arXiv 2305.16554; blocks from arXiv 2305.19370. Axis letters: B batch,
n trajectories, T steps, C chunks, c steps per chunk, m tokens per chunk, W width, S cache slots.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from agentic.policy.blockwise import BlockwiseBlock, dropout
from agentic.policy.cache import Cache, LayerCache, Place, empty_cache, own_slots, settle
from agentic.policy.config import PolicyConfig
from agentic.policy.inputs import Inputs, flatten
from agentic.policy.layout import normalize
from agentic.trajectory import Chain, Window


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


class Embedding(nnx.Module):
    """Inputs to tokens: one linear map per input, step and trajectory embeddings, layer norm."""

    def __init__(self, config: PolicyConfig, rngs: nnx.Rngs):
        self.config = config
        dtype, width, c = jnp.dtype(config.dtype), config.width, config.action_chunk
        sizes = {
            "R": 1,
            "s": config.observation_size,
            "a": c * config.action_size,
            "r": c,
            "d": c,
        }
        self.inputs = nnx.Dict(
            {x: nnx.Linear(sizes[x], width, dtype=dtype, rngs=rngs) for x in config.inputs}
        )
        small = nnx.initializers.normal(0.02)
        self.chunk = nnx.Embed(config.chunks, width, embedding_init=small, dtype=dtype, rngs=rngs)
        if config.trajectory_embedding:
            self.trajectory = nnx.Embed(
                config.trajectories, width, embedding_init=small, dtype=dtype, rngs=rngs
            )
        self.norm = nnx.LayerNorm(width, dtype=dtype, rngs=rngs)

    def __call__(self, letter: str, values: jax.Array) -> jax.Array:
        """Embed one input: [..., features] -> [..., W]."""
        return self.inputs[letter](values.astype(jnp.dtype(self.config.dtype)))

    def place(self, tokens: jax.Array, trajectory: jax.Array, chunk: jax.Array) -> jax.Array:
        """Add what trajectory and which chunk tokens [..., W] belong to ([...] each), and norm.

        Episodes past the last trained place in the context keep that place's embedding.
        """
        tokens = tokens + self.chunk(chunk)
        if self.config.trajectory_embedding:
            tokens = tokens + self.trajectory(jnp.clip(trajectory, 0, self.config.trajectories - 1))
        return self.norm(tokens)


class Head(nnx.Module):
    """Latents to actions: tanh of a linear map, or for chunks a small network with the observation.

    The chunk head sees the latent (what to do) and the current observation (where it is), so that
    feedback is as fast as with one token a step.
    """

    def __init__(self, config: PolicyConfig, rngs: nnx.Rngs):
        self.config = config
        width, dtype = config.width, jnp.dtype(config.dtype)
        if config.action_chunk > 1:
            self.latent = nnx.Linear(width, width, dtype=dtype, rngs=rngs)
            self.observation = nnx.Linear(
                config.observation_size, width, use_bias=False, dtype=dtype, rngs=rngs
            )
            self.hidden = nnx.Linear(width, width, dtype=dtype, rngs=rngs)
        self.out = nnx.Linear(width, config.action_size, dtype=dtype, rngs=rngs)

    def __call__(self, latents: jax.Array, observations: jax.Array) -> jax.Array:
        """Return actions [..., A] float32 from latents [..., W] and normalised observations
        [..., O]; axes broadcast."""
        if self.config.action_chunk > 1:
            seen = self.observation(observations.astype(latents.dtype))
            latents = nnx.relu(self.hidden(nnx.relu(self.latent(latents) + seen)))
        return jnp.tanh(self.out(latents).astype(jnp.float32))


class AgenticTransformer(nnx.Module):
    """The policy network; `PolicyConfig` says which member of the family it is.

    Without `layers` it is the frame alone, everything around them: training runs the layers by
    themselves (`agentic.policy.layers`).
    """

    def __init__(self, config: PolicyConfig, rngs: nnx.Rngs, layers: bool = True):
        self.config = config
        self.embedding = Embedding(config, rngs)
        if layers:
            self.blocks = nnx.List([BlockwiseBlock(config, rngs) for _ in range(config.layers)])
        self.norm = nnx.LayerNorm(config.width, dtype=jnp.dtype(config.dtype), rngs=rngs)
        self.head = Head(config, rngs)

    def __call__(self, chain: Chain | Window, key: jax.Array | None = None) -> jax.Array:
        """Return the action at every step of a chain or window [B, n, T, ...]: [B, n, T, A].

        `key` turns dropout on.
        """
        inputs, (batch, n, steps) = flatten(self.config, chain), chain.mask.shape
        latents = self.latents(chain, key).reshape(batch, -1, self.config.width)
        actions = self.decode(latents, inputs.observations)
        return actions.reshape(batch, n, -1, actions.shape[-1])[:, :, :steps]

    def latents(self, chain: Chain | Window, key: jax.Array | None = None) -> jax.Array:
        """Return what each chunk's action is read from: [B, n, C, W]."""
        x, place, keys = self.tokens(chain, key)
        *block_keys, last = keys
        for block, block_key in zip(self.blocks, block_keys, strict=True):
            x = block(x, place, block_key)
        latents = self.read(x, last)
        return latents.reshape(x.shape[0], chain.mask.shape[1], -1, self.config.width)

    def decode(self, latents: jax.Array, observations: jax.Array) -> jax.Array:
        """Return actions [B, N, c, A] from latents [B, N, W] and raw observations [B, N, c, O]."""
        return self.head(latents[..., None, :], normalize(self.config, observations))

    def prefill(
        self, chain: Chain, cache: Cache | None = None, axis_name: str | None = None
    ) -> Cache:
        """Return the cache after the chain [B, n', T, ...], n' <= n, has been seen whole.

        `cache` is an empty one to fill, split over `axis_name` inside shard_map. Tokens go through
        all layers `config.block` at a time, so memory grows with the chain only by its embedding.
        """
        x, place, _ = self.tokens(chain, None)
        batch, count, width = x.shape
        cache = empty_cache(self.config, batch) if cache is None else cache
        block = min(self.config.block, count)
        blocks = -(-count // block)
        extra = blocks * block - count
        x = jnp.pad(x, ((0, 0), (0, extra), (0, 0)))
        place = jnp.pad(place, ((0, 0), (0, extra)), constant_values=-1)

        def add(cache: Cache, part: tuple[jax.Array, jax.Array]) -> tuple[Cache, None]:
            tokens, places = part
            # Places count full trajectories, and so do slots.
            where = settle(cache.positions, places, places, axis_name)
            return self._through(tokens, cache, where)[0], None

        x = x.reshape(batch, blocks, block, width).swapaxes(0, 1)
        place = place.reshape(batch, blocks, block).swapaxes(0, 1)
        return jax.lax.scan(add, cache, (x, place))[0]

    def extend(
        self, cache: Cache, step: Step, axis_name: str | None = None
    ) -> tuple[Cache, jax.Array]:
        """Add one situation (and the outcome before it) to each row; return the latents [B, W].

        `axis_name` is the mesh axis over which the cache is split, inside shard_map.
        """
        config = self.config
        length, n, m = config.tokens_per_trajectory, config.trajectories, config.tokens_per_chunk
        x, episode, chunk, offset = self._step_tokens(step)
        present = step.write[:, None] & (episode >= 0)
        place = jnp.where(present, episode * length + chunk * m + offset, -1)
        slots = (episode % n) * length + chunk * m + offset
        # The first token of an episode takes the place of the oldest whole trajectory.
        arriving = step.write & (step.chunk == 0)
        held = own_slots(cache.positions.shape[1], axis_name) // length
        oldest = held == (step.episode % n)[:, None]
        seen = jnp.where(arriving[:, None] & oldest, -1, cache.positions)
        cache, x = self._through(x, cache, settle(seen, place, slots, axis_name))
        return cache, self.norm(x[:, -1])

    def _through(self, x: jax.Array, cache: Cache, place: Place) -> tuple[Cache, jax.Array]:
        """Bring new tokens x [B, T, W] through all layers and into the cache."""
        layers: list[LayerCache] = []
        for block, layer in zip(self.blocks, cache.layers, strict=True):
            x, layer = block.extend(x, layer, place)
            layers.append(layer)
        return Cache(tuple(layers), place.positions), x

    def act(self, latents: jax.Array, observations: jax.Array) -> jax.Array:
        """Return actions [B, A] from latents [B, W] and raw observations [B, O]."""
        return self.head(latents, normalize(self.config, observations))

    def tokens(self, chain: Chain | Window, key: jax.Array | None):
        """Return embedded tokens [B, n*C*m, W], their places, and dropout keys: one a layer + 1."""
        return self.embed(flatten(self.config, chain), key)

    def embed(self, inputs: Inputs, key: jax.Array | None):
        """Return embedded tokens [B, N*m, W], their places, and dropout keys: one a layer + 1."""
        config, embed = self.config, self.embedding
        keys = [None] * (config.layers + 2)
        if key is not None:
            keys = list(jax.random.split(key, config.layers + 2))
        tokens = [embed(letter, inputs.values[letter]) for letter in config.inputs]
        x = sum(tokens)[..., None, :] if config.joint else jnp.stack(tokens, axis=-2)
        x = embed.place(x, inputs.trajectory[..., None], inputs.chunk[..., None])
        batch, count, m = inputs.place.shape
        x = dropout(x.reshape(batch, count * m, config.width), config.dropout, keys[0])
        return x, inputs.place.reshape(batch, count * m), keys[1:]

    def _step_tokens(self, step: Step):
        """Return a step's tokens [B, m', W] with their episode, chunk and offset, [B, m'] each.

        The action is read off the last one.
        """
        config, embed = self.config, self.embedding
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

    def read(self, x: jax.Array, key: jax.Array | None = None) -> jax.Array:
        """Pick and norm the tokens that actions are read from: [B, N*m, W] -> [B, N, W]."""
        config = self.config
        m = config.tokens_per_chunk
        offset = 0 if config.joint else config.inputs.index("s")
        x = x.reshape(x.shape[0], -1, m, config.width)[:, :, offset]
        return dropout(self.norm(x), config.dropout, key)
