"""How rows are cut into blocks, and which pairs of blocks have anything to compute.

Block layout: queries [Nq, B, K, R, D] with R = (H / K) * block rows that share one key head, keys
and values [Nk, B, K, block, D], positions [N, B or 1, block]. If B or K is 1, that axis is left
out, because the compiler's library of products takes at most one such axis. With two axes the
compiler reshapes the scores, and then it cannot compute a pass over them in place.
"""

from dataclasses import dataclass
from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np

from agentic.attention.positions import ABSENT
from agentic.errors import AgenticError

# Blocks of this size are not cut further only so that some of them can be left out.
SMALL = 256


@dataclass(frozen=True)
class BlockSpec:
    """Most rows per block. Scores of query x key pairs exist at once, for each head."""

    # Forward (forward+backward) in ms, float32, causal, jax 0.10.2, idle CPU:
    #   two cores                256          512x256          512         1024x512
    #   B1  T4096 H4  D64   115  (376)      68  (249)      69  (231)      73  (266)
    #   B1  T4000 H1  D128   52  (172)      43  (127)      32  (104)      32  (106)
    #   B1  T4096 H16 D64   507 (1747)     320 (1074)     357 (1115)     392 (1210)
    #   one core                 256          512x256          512         1024x512
    #   B1  T4096 H4  D64   113  (369)     112  (385)     114  (394)     132  (467)
    #   B1  T4000 H1  D128   51  (174)      53  (181)      50  (170)      55  (198)
    #   B1  T4096 H16 D64   545 (2051)     698 (2329)     738 (2137)     762 (2330)
    # The compiler's products of blocks of 256 are too small for it to share them among threads.
    # In a short sequence larger blocks compute more pairs that causality hides (measured with an
    # older kernel): B16 T400 H1 D128, blocks of 200 and 400: two cores 12 (44), 10 (50).
    query: int = 512
    key: int = 512

    def __post_init__(self):
        for name in ("query", "key"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise AgenticError(
                    f"BlockSpec({name}={value!r}): a block has a whole number of rows, at least 1"
                )

    def fit(self, queries: int, keys: int) -> "BlockSpec":
        """Return the blocks to use for T queries and S keys: one block if the area allows it."""
        sides = ((queries, self.query), (keys, self.key))
        most = [min(block, max(-(-rows // 4), SMALL)) for rows, block in sides]
        if queries * keys <= most[0] * most[1]:
            return BlockSpec(max(queries, 1), max(keys, 1))
        # Even blocks: 513 rows in blocks of 512 become 2 of 257, not 2 of 512 with half padding.
        query, key = (
            -(-rows // -(-rows // block)) for rows, block in zip((queries, keys), most, strict=True)
        )
        return BlockSpec(query, key)

    def halves(self, queries: int, keys: int) -> "BlockSpec":
        """Return the blocks for rows of an early and a late piece, so that none lies in both."""
        return self.fit(-(-queries // 2), -(-keys // 2))


# For a ring. Its devices also hold the blocks of keys, values and gradients that are under way, so
# blocks are smaller. Devices that share a CPU's threads need no larger blocks to keep them busy.
RING = BlockSpec(256, 256)
# Forward (forward+backward) in ms on one H100, bfloat16, causal, jax 0.11.2, B1 T16384 H16 D64:
#   512      1024     2048     4096     cuDNN
#   21 (65)  18 (48)  16 (43)  17 (43)  1.7 (5.1)
# Scores of 2048 rows take 17 MB for each head and row of the batch.
GPU = BlockSpec(2048, 2048)


def default_blocks(backend: str | None = None, ring: bool = False) -> BlockSpec:
    """Return the largest blocks of a backend (None: JAX's default), on one device or in a ring."""
    if (jax.default_backend() if backend is None else backend) == "gpu":
        return GPU
    return RING if ring else BlockSpec()


@dataclass(frozen=True)
class Visits:
    """Block pairs in the order of visits: pairs[:full] need no mask, pairs[full:stop] do."""

    pairs: jax.Array | np.ndarray  # [P, 2] int32: query block, key block
    full: jax.Array | int
    stop: jax.Array | int


def split(x: jax.Array, k_heads: int, block: int) -> jax.Array:
    """Return x [B, T, H, D] as blocks [N, B, K, R, D], padded with zero rows."""
    batch, rows, heads, size = x.shape
    count = -(-rows // block)
    x = jnp.pad(x, ((0, 0), (0, count * block - rows), (0, 0), (0, 0)))
    # One axis at a time, because a mesh with Explicit axes supports no larger reshape.
    x = x.reshape(batch, count, block, heads, size)
    x = x.reshape(batch, count, block, k_heads, heads // k_heads, size)
    x = x.transpose(1, 0, 3, 4, 2, 5).reshape(count, batch, k_heads, -1, size)
    return x.reshape(count, *_apart(batch, k_heads), *x.shape[3:])


def join(x: jax.Array, k_heads: int, shape: tuple[int, ...]) -> jax.Array:
    """Return blocks [N, B, K, R, D] as `shape`, which is [B, T, H, D]: the inverse of `split`."""
    batch, rows, heads, size = shape
    count, group = len(x), heads // k_heads
    block = x.shape[-2] // group
    x = x.reshape(count, batch, k_heads, *x.shape[-2:])
    x = x.reshape(count, batch, k_heads, group, block, size).transpose(1, 0, 4, 2, 3, 5)
    x = x.reshape(batch, count, block, heads, size)
    return x.reshape(batch, count * block, heads, size)[:, :rows]


def _apart(batch: int, k_heads: int) -> tuple[int, ...]:
    return tuple(size for size in (batch, k_heads) if size != 1)


def split_positions(positions: jax.Array, block: int) -> jax.Array:
    """Return positions [B, T] as [N, B, block], padded with absent rows."""
    batch, rows = positions.shape
    count = -(-rows // block)
    padding = ((0, 0), (0, count * block - rows))
    padded = jnp.pad(positions, padding, constant_values=ABSENT)
    return padded.reshape(batch, count, block).transpose(1, 0, 2)


def cut_operands(blocks: BlockSpec, q, k, v, q_positions, kv_positions) -> tuple[jax.Array, ...]:
    """Return the five operands of an attention call in block layout."""
    k_heads = k.shape[2]
    return (
        split(q, k_heads, blocks.query),
        split(k, k_heads, blocks.key),
        split(v, k_heads, blocks.key),
        split_positions(q_positions, blocks.query),
        split_positions(kv_positions, blocks.key),
    )


@lru_cache(maxsize=256)
def needed_blocks(
    queries: int, keys: int, blocks: BlockSpec, causal: bool, offset: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return two lists of block pairs [P, 2]: those that need no mask, and those that need one.

    In all other pairs no query sees a key.

    Query row i has position offset + i and key row j position j; all rows are present.
    """
    i, j = np.indices((-(-queries // blocks.query), -(-keys // blocks.key)), dtype=np.int32)
    first_query = offset + i * blocks.query
    last_query = offset + np.minimum((i + 1) * blocks.query, queries) - 1
    first_key, last_key = j * blocks.key, (j + 1) * blocks.key - 1
    whole = last_key < keys
    needed = np.ones_like(whole)
    if causal:
        needed = first_key <= last_query
        whole &= last_key <= first_query
    pairs = np.stack([i, j], axis=-1)
    return pairs[needed & whole], pairs[needed & ~whole]


def static_visits(queries: int, keys: int, blocks: BlockSpec, causal: bool, offset: int) -> Visits:
    """Return the visits if every row is present at its default position."""
    full, edge = needed_blocks(queries, keys, blocks, causal, offset)
    return Visits(np.concatenate([full, edge]), len(full), len(full) + len(edge))


def dynamic_visits(
    q_positions: jax.Array, kv_positions: jax.Array, causal: bool, pairs: np.ndarray | None = None
) -> Visits:
    """Return the visits for positions in blocks, known only when the program runs.

    A pair is left out if no row of the batch sees a key in it. The needed pairs are sorted to the
    front, so the loop can stop early and need not branch in every step.

    Args:
      q_positions, kv_positions: int32 [Nq, B or 1, block] and [Nk, B or 1, block].
      causal: whether a query sees no later key.
      pairs: the candidates [P, 2]; all pairs if None.
    """
    if pairs is None:
        grid = np.indices((q_positions.shape[0], kv_positions.shape[0]), dtype=np.int32)
        pairs = grid.reshape(2, -1).T
    latest = jnp.iinfo(jnp.int32).max
    i, j = pairs[:, 0], pairs[:, 1]
    q_first, q_last = q_positions.min(-1)[i], q_positions.max(-1)[i]
    k_first = jnp.where(kv_positions >= 0, kv_positions, latest).min(-1)[j]
    k_last, k_absent = kv_positions.max(-1)[j], kv_positions.min(-1)[j] < 0
    needed = (q_last >= 0) & (k_last >= 0)
    whole = (q_first >= 0) & ~k_absent
    if causal:
        needed &= k_first <= q_last
        whole &= k_last <= q_first
    needed, whole = needed.any(-1), whole.all(-1)
    order = jnp.argsort(jnp.where(whole, 0, jnp.where(needed, 1, 2)), stable=True)
    return Visits(jnp.asarray(pairs)[order], jnp.sum(whole), jnp.sum(needed | whole))
