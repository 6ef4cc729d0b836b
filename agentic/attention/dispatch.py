"""The choice of the form of attention for a call, and the reason for it."""

from dataclasses import dataclass
from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
from jax import lax

from agentic.attention.blocks import BlockSpec, default_blocks
from agentic.attention.blockwise import blockwise_attention
from agentic.attention.dense import dense_attention
from agentic.attention.flash import flash_attention
from agentic.attention.ring import gathered_attention, ring_attention
from agentic.errors import AgenticError, closest

Kernel = Literal["dense", "blockwise", "cudnn", "ring", "gathered"]
KERNELS: tuple[Kernel, ...] = ("dense", "blockwise", "cudnn", "ring", "gathered")
# Up to this many keys, a device fetches the keys and values of the whole sequence at once. The hops
# of a ring would carry a few hundred rows each and cost their latency. This is a rule of thumb; it
# was not measured on any network.
GATHERED = 8192
# For one new token, or the few tokens of a step, against a cache. A single row of blocks is the
# same work as dense attention.
FEW_QUERIES = 16


@dataclass(frozen=True)
class Choice:
    """A kernel, the blocks it works in (dense and cudnn have none), and the reason in words."""

    kernel: Kernel
    blocks: BlockSpec
    why: str

    def __str__(self) -> str:
        return f"{self.kernel}: {self.why}"


def choose(
    queries: int,
    keys: int,
    head_size: int,
    dtype: str = "float32",
    *,
    devices: int = 1,
    positions: bool = False,
    backend: str | None = None,
) -> Choice:
    """Return the kernel for T queries and S keys on each of `devices`, and the reason.

    Args:
      queries, keys: T and S, the rows of one device.
      head_size: D.
      dtype: of q, k and v.
      devices: number of devices that the sequence is split over.
      positions: whether the call gives positions of its own.
      backend: "cpu", "gpu" or "tpu"; JAX's default if None.
    """
    backend = jax.default_backend() if backend is None else backend
    spec = default_blocks(backend)
    if devices > 1:
        if keys * devices <= GATHERED:
            blocks = spec.halves(queries, keys)
            return Choice("gathered", blocks, f"{keys * devices} keys fit on every device")
        blocks = default_blocks(backend, ring=True).halves(queries, keys)
        return Choice("ring", blocks, f"{keys * devices} keys over {devices} devices")
    blocks = spec.fit(queries, keys)
    half = jnp.dtype(dtype).itemsize == 2
    # With fewer queries than keys, cuDNN takes the queries for the first ones; here they are the
    # last ones.
    fits = half and head_size % 8 == 0 and head_size <= 128 and queries == keys
    if backend == "gpu" and fits and not positions and serves_flash(jax.devices()[0]):
        return Choice("cudnn", blocks, f"{dtype} with heads of {head_size} on a GPU")
    if queries <= FEW_QUERIES:
        return Choice("dense", blocks, f"{queries} queries have few scores")
    why = f"blocks of {blocks.query} by {blocks.key}"
    if backend == "gpu":
        reason = f"{queries} queries of {keys} keys"
        if not half or head_size % 8 or head_size > 128:
            reason = f"{dtype}, heads of {head_size}"
        if fits:
            needs = "it needs Ampere or later, and jax 0.10.2"
            reason = "positions are given" if positions else needs
        why += f"; cudnn cannot: {reason}"
    return Choice("blockwise", blocks, why)


def serves_flash(device: jax.Device) -> bool:
    """Return whether cuDNN's flash attention runs on a device.

    If the device is not a GPU, nothing is known about the GPU that `choose` is asked about, and the
    answer is yes.
    """
    # Earlier versions lose the axes of a mesh, and gradients inside shard_map cannot be traced.
    if jax.__version_info__ < (0, 10, 2):
        return False
    if device.platform != "gpu":
        return True
    major = str(getattr(device, "compute_capability", "0")).partition(".")[0]
    return "cuda" in device.client.platform_version.lower() and int(major) >= 8


def attend(
    q: jax.Array,
    k: jax.Array,
    v: jax.Array,
    *,
    causal: bool = True,
    lengths: jax.Array | None = None,
    q_positions: jax.Array | None = None,
    kv_positions: jax.Array | None = None,
    scale: float | None = None,
    axis_name: str | None = None,
    kernel: Kernel | None = None,
) -> jax.Array:
    """Return attention, computed by the kernel that `choose` picks or by the given one.

    Args:
      q, k, v, causal, lengths, q_positions, kv_positions, scale: as in `dense_attention`.
      axis_name: mesh axis over which the sequence is split, inside shard_map; see `ring_attention`.
      kernel: one of KERNELS.

    Raises:
      AgenticError: as in `dense_attention`; an unknown kernel, or one that cannot do this call.
    """
    choice = choose(
        q.shape[1],
        k.shape[1],
        q.shape[-1],
        str(q.dtype),
        devices=1 if axis_name is None else lax.axis_size(axis_name),
        positions=q_positions is not None or (lengths is not None and q.shape[1] != k.shape[1]),
    )
    if kernel is not None and kernel not in KERNELS:
        raise AgenticError(f"kernel is {kernel!r}; {closest(str(kernel), KERNELS)}.")
    name = kernel or choice.kernel
    if name in ("ring", "gathered") and axis_name is None:
        raise AgenticError(
            f"kernel {name!r} works on a sequence split over an axis; name the axis."
        )
    forms = {
        "dense": dense_attention,
        "blockwise": partial(blockwise_attention, blocks=choice.blocks),
        "cudnn": _cudnn,
        "ring": partial(ring_attention, axis_name=axis_name, blocks=choice.blocks),
        "gathered": partial(gathered_attention, axis_name=axis_name, blocks=choice.blocks),
    }
    return forms[name](
        q, k, v, causal=causal, lengths=lengths,
        q_positions=q_positions, kv_positions=kv_positions, scale=scale,
    )  # fmt: skip


def _cudnn(q, k, v, *, causal, lengths, q_positions, kv_positions, scale) -> jax.Array:
    if q_positions is not None:
        raise AgenticError("kernel 'cudnn' takes lengths but no positions; use 'blockwise'.")
    if q.shape[1] != k.shape[1]:
        raise AgenticError(
            f"kernel 'cudnn' takes as many queries as keys, not {q.shape[1]} and {k.shape[1]}; "
            "use 'blockwise'."
        )
    return flash_attention(q, k, v, causal=causal, lengths=lengths, scale=scale)
