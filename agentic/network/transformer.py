"""The Agentic Transformer: chains of hindsight in, actions in [-1, 1] out.

Source: Liu & Abbeel 2023, arXiv 2305.16554; blocks from arXiv 2305.19370. Axis letters: B batch,
n trajectories, T steps, C chunks, c steps per chunk, m tokens per chunk, W width.
"""

import jax
import jax.numpy as jnp
from flax import nnx

from agentic.network.block import BlockwiseBlock, dropout
from agentic.network.config import NetworkConfig
from agentic.network.tokens import Inputs, flatten, normalize
from agentic.trajectory import Chain, Window


class Embedding(nnx.Module):
    """Inputs to tokens: one linear map per input, step and trajectory embeddings, layer norm."""

    def __init__(self, config: NetworkConfig, rngs: nnx.Rngs):
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

    def __init__(self, config: NetworkConfig, rngs: nnx.Rngs):
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
    """The policy network; `NetworkConfig` says which member of the family it is.

    Without `layers` it is the frame alone, everything around them: training runs the layers by
    themselves (`agentic.network.stack`).
    """

    def __init__(self, config: NetworkConfig, rngs: nnx.Rngs, layers: bool = True):
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

    def read(self, x: jax.Array, key: jax.Array | None = None) -> jax.Array:
        """Pick and norm the tokens that actions are read from: [B, N*m, W] -> [B, N, W]."""
        config = self.config
        m = config.tokens_per_chunk
        offset = 0 if config.joint else config.inputs.index("s")
        x = x.reshape(x.shape[0], -1, m, config.width)[:, :, offset]
        return dropout(self.norm(x), config.dropout, key)
