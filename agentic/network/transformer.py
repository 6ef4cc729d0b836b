"""The Agentic Transformer: chunks of chains of hindsight in, actions in [-1, 1] out.

Source: Liu & Abbeel 2023, arXiv 2305.16554; blocks from arXiv 2305.19370. Axis letters: B batch,
N chunks, c steps per chunk, m tokens per chunk, W width, O observation, A action.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx

from agentic.network.block import BlockwiseBlock
from agentic.network.config import NetworkConfig
from agentic.network.dropout import dropout, fold, token_keys
from agentic.network.stack import Attention, Remat, run_layers
from agentic.network.tokens import Inputs, normalize


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
    """The network that `NetworkConfig` describes: chunks in, latents out, and actions from those.

    `blocks` are the layers. Stacked, as training uses them, they are one block whose arrays have an
    axis of layers first; else they are a list, as acting uses them.
    """

    def __init__(self, config: NetworkConfig, rngs: nnx.Rngs, stacked: bool = True):
        self.config = config
        self.embedding = Embedding(config, rngs)
        layers = [BlockwiseBlock(config, rngs) for _ in range(config.layers)]
        stack = jax.tree.map(lambda *own: jnp.stack(own), *layers) if stacked else nnx.List(layers)
        self.blocks = stack
        self.norm = nnx.LayerNorm(config.width, dtype=jnp.dtype(config.dtype), rngs=rngs)
        self.head = Head(config, rngs)

    def __call__(
        self,
        inputs: Inputs,
        key: jax.Array | None = None,
        remat: Remat = "block",
        attention: Attention | None = None,
        sequence: str | None = None,
        gather: Callable[[BlockwiseBlock], BlockwiseBlock] | None = None,
    ) -> jax.Array:
        """Return the latents [B, N, W] of chunks, which actions are read from.

        Args:
            inputs: chunks laid flat, in any order.
            key: turns dropout on.
            remat, attention, sequence, gather: how the layers are computed, as in
                `agentic.network.stack.run_layers`.
        """
        batch, count, m = inputs.place.shape
        place = inputs.place.reshape(batch, count * m)
        keys = None
        if key is not None and self.config.dropout:
            keys = token_keys(key, inputs.row, place)
        x = run_layers(
            self.blocks, self.embed(inputs, keys), place, keys, remat, attention, sequence, gather
        )
        return self.read(x, keys)

    def embed(self, inputs: Inputs, keys: jax.Array | None = None) -> jax.Array:
        """Return embedded tokens [B, N * m, W]; their keys [B, N * m] turn dropout on."""
        config, embed = self.config, self.embedding
        tokens = [embed(letter, inputs.values[letter]) for letter in config.inputs]
        x = sum(tokens)[..., None, :] if config.joint else jnp.stack(tokens, axis=-2)
        x = embed.place(x, inputs.trajectory[..., None], inputs.chunk[..., None])
        return dropout(x.reshape(x.shape[0], -1, config.width), config.dropout, fold(keys, 0))

    def read(self, x: jax.Array, keys: jax.Array | None = None) -> jax.Array:
        """Pick and norm the tokens that actions are read from: [B, N * m, W] -> [B, N, W]."""
        config = self.config
        offset = 0 if config.joint else config.inputs.index("s")
        rows = slice(offset, None, config.tokens_per_chunk)
        keys = None if keys is None else fold(keys[:, rows], 1)
        return dropout(self.norm(x[:, rows]), config.dropout, keys)

    def decode(self, latents: jax.Array, observations: jax.Array) -> jax.Array:
        """Return actions [B, N, c, A] from latents [B, N, W] and raw observations [B, N, c, O]."""
        return self.head(latents[..., None, :], normalize(self.config, observations))

    def act(self, latents: jax.Array, observations: jax.Array) -> jax.Array:
        """Return actions [B, A] from latents [B, W] and raw observations [B, O]."""
        return self.head(latents, normalize(self.config, observations))
