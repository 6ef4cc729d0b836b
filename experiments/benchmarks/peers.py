"""What our attention is measured against: the `ringattention` package, importable on today's JAX.

Its 0.1.2 fails to import, for its package imports kernels of other devices that use names which JAX
has removed. Here its one module for all devices is loaded without them, unchanged, and without
its mesh: inside a shard_map over one device. Install it with `pip install "agentic[peers]"`.
"""

import importlib.util
import sys
import types
from functools import partial

import jax
from jax.sharding import AxisType, PartitionSpec


def ring_attention_package():
    """Return the package's `ring_attention`, or None where it is not installed."""
    spec = importlib.util.find_spec("ringattention")
    if spec is None:
        return None
    if "ringattention" not in sys.modules:
        # An empty package in its place, so that its __init__ does not run.
        package = types.ModuleType("ringattention")
        package.__path__, package.__spec__ = list(spec.submodule_search_locations), spec
        sys.modules["ringattention"] = package
    return importlib.import_module("ringattention.ringattention_jax").ring_attention


def causal_attention(chunk: int):
    """Return the package's causal attention of [B, T, H, D] in chunks of so many rows, or None."""
    attend = ring_attention_package()
    if attend is None:
        return None
    options = {
        "causal_block_size": 1,
        "deterministic": True,
        "dropout_rng": None,
        "attn_pdrop": 0.0,
        "query_chunk_size": chunk,
        "key_chunk_size": chunk,
        "dtype": jax.numpy.float32,
        "policy": jax.checkpoint_policies.nothing_saveable,
        "precision": None,
        "prevent_cse": True,
    }
    mesh = jax.make_mesh(
        (1,), ("sequence",), axis_types=(AxisType.Auto,), devices=jax.devices()[:1]
    )
    rows = PartitionSpec(None, "sequence")

    @partial(jax.shard_map, mesh=mesh, in_specs=(rows, rows, rows), out_specs=rows, check_vma=False)
    def causal(q, k, v):
        return attend(q, k, v, None, None, None, "sequence", True, options)

    return causal
