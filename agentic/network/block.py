"""The blockwise parallel Transformer block: attention and feed-forward, query block by query block.

Source: Blockwise Parallel Transformer, arXiv 2305.19370. The feed-forward network's wide activation
exists for one block of tokens at a time and is recomputed in the backward pass.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx
from jax.ad_checkpoint import checkpoint_name

from agentic.attention import blockwise_attention
from agentic.network.config import NetworkConfig
from agentic.network.dropout import dropout, fold

# Names for `jax.checkpoint`: queries, keys and values; and tokens that have attended.
PROJECTED, ATTENDED = "projected", "attended"
# A GPU has as many times more to keep busy than a CPU's caches hold.
GPU_BLOCKS = 16


def by_blocks(function: Callable, x: jax.Array, block: int) -> jax.Array:
    """Apply a token-wise `function` to x [B, T, W], at most `block` tokens of a row at a time."""
    batch, tokens, width = x.shape
    if tokens <= block:
        return function(x)
    count = -(-tokens // block)
    x = jnp.pad(x, ((0, 0), (0, count * block - tokens), (0, 0)))
    x = x.reshape(batch, count, block, width).swapaxes(0, 1)
    x = jax.lax.map(function, x)
    return x.swapaxes(0, 1).reshape(batch, count * block, width)[:, :tokens]


def feedforward_block(config: NetworkConfig) -> int:
    """Return the tokens of one block of the feed-forward network on the devices at hand."""
    return config.block * (GPU_BLOCKS if jax.default_backend() == "gpu" else 1)


class BlockwiseBlock(nnx.Module):
    """One pre-norm Transformer layer with ReLU feed-forward and grouped-query attention."""

    def __init__(self, config: NetworkConfig, rngs: nnx.Rngs):
        self.config = config
        width, size = config.width, config.head_size
        dtype = jnp.dtype(config.dtype)
        plain = nnx.initializers.normal(0.02)
        residual = nnx.initializers.normal(0.02 / (2 * config.layers) ** 0.5)

        def linear(inputs: int, outputs: int, init=plain) -> nnx.Linear:
            return nnx.Linear(inputs, outputs, kernel_init=init, dtype=dtype, rngs=rngs)

        self.attention_norm = nnx.LayerNorm(width, dtype=dtype, rngs=rngs)
        self.projection_in = linear(width, (config.heads + 2 * config.groups) * size)
        self.projection_out = linear(config.heads * size, width, residual)
        self.feedforward_norm = nnx.LayerNorm(width, dtype=dtype, rngs=rngs)
        self.feedforward_in = linear(width, config.feedforward * width)
        self.feedforward_out = linear(config.feedforward * width, width, residual)

    def __call__(
        self,
        x: jax.Array,
        positions: jax.Array,
        keys: jax.Array | None = None,
        recompute: bool = True,
        attend: Callable = blockwise_attention,
    ) -> jax.Array:
        """Map tokens x [B, T, W] at positions [B, T] (-1: absent) to [B, T, W].

        Args:
            x, positions: the tokens; the positions say which token sees which.
            keys: [B, T], the tokens' keys in this layer, turn dropout on.
            recompute: whether the backward pass computes the feed-forward network again instead of
                keeping its insides.
            attend: what attends, called as `blockwise_attention` is.
        """
        q, k, v = (checkpoint_name(part, PROJECTED) for part in self.project(x))
        y = attend(q, k, v, causal=True, q_positions=positions, kv_positions=positions)
        return self.residual(x, y, keys, recompute)

    def project(self, x: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Return queries [B, T, H, D], keys and values [B, T, K, D] of tokens x [B, T, W]."""
        heads, groups, size = self.config.heads, self.config.groups, self.config.head_size
        qkv = self.projection_in(self.attention_norm(x))
        qkv = qkv.reshape(*x.shape[:2], heads + 2 * groups, size)
        return qkv[:, :, :heads], qkv[:, :, heads : heads + groups], qkv[:, :, heads + groups :]

    def residual(
        self, x: jax.Array, y: jax.Array, keys: jax.Array | None = None, recompute: bool = True
    ) -> jax.Array:
        """Add attention y [B, T, H, D] to x [B, T, W], and what the feed-forward makes of that."""
        rate = self.config.dropout
        y = self.projection_out(y.reshape(*y.shape[:2], -1))
        x = checkpoint_name(x + dropout(y, rate, fold(keys, 0)), ATTENDED)

        def feedforward(tokens: jax.Array) -> jax.Array:
            hidden = nnx.relu(self.feedforward_in(self.feedforward_norm(tokens)))
            return self.feedforward_out(hidden)

        # What fits one block of a CPU is kept: computing it again would save next to nothing.
        if recompute and x.shape[1] > self.config.block:
            feedforward = jax.checkpoint(feedforward)
        y = by_blocks(feedforward, x, feedforward_block(self.config))
        return x + dropout(y, rate, fold(keys, 1))
