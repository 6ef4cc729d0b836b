"""Ring and gathered attention over N devices are dense attention over the whole sequence."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P
from support import attention_cases as cases
from support.meshes import ROWS, mesh_of, split

from agentic.attention import BlockSpec, gathered_attention, ring_attention, zigzag

AUTO, EXPLICIT = jax.sharding.AxisType.Auto, jax.sharding.AxisType.Explicit
BOTH = pytest.mark.parametrize("attention", [ring_attention, gathered_attention])


@BOTH
@pytest.mark.parametrize("devices", [1, 2, 4, 8])
def test_any_positions_on_any_number_of_devices(attention, devices):
    arrays = cases.operands(8, 24)
    attend = split(
        attention,
        mesh_of(sequence=devices),
        masks=("q_positions", "kv_positions"),
        specs=(ROWS, ROWS),
        blocks=BlockSpec(3, 2),
    )
    rng = np.random.default_rng(0)
    in_order = [x.astype(np.int32) for x in cases.positions(8, 24)]
    shuffled = [rng.permuted(x, axis=1) for x in in_order]
    holes = [np.where(rng.random(x.shape) < 0.4, -1, x).astype(np.int32) for x in shuffled]
    nobody = [in_order[0], np.full_like(in_order[1], -1)]
    for q_positions, kv_positions in (in_order, shuffled, holes, nobody):
        results = cases.value_and_gradients(attend, *arrays, q_positions, kv_positions)
        cases.agree(results, arrays, q_positions, kv_positions)


@BOTH
@pytest.mark.parametrize(
    ("devices", "queries", "keys", "causal", "dtype"),
    [(4, 12, 12, True, "float32"), (2, 6, 10, True, "bfloat16"), (2, 6, 6, False, "float32")],
)
def test_default_positions_number_the_whole_sequence(
    attention, devices, queries, keys, causal, dtype
):
    arrays = cases.operands(queries, keys, dtype=dtype)
    settings = {"causal": causal, "blocks": BlockSpec(2, 2), "scale": 0.3}
    attend = split(attention, mesh_of(sequence=devices), **settings)
    results = cases.value_and_gradients(attend, *arrays)
    cases.agree(results, arrays, *cases.positions(queries, keys), causal, 0.3)


@BOTH
@pytest.mark.parametrize(
    ("devices", "batch", "heads", "k_heads", "dtype", "axis_type"),
    [
        (1, 1, 4, 1, "bfloat16", EXPLICIT),
        (2, 1, 1, 1, "float32", AUTO),
        (2, 2, 4, 1, "bfloat16", AUTO),
        (4, 1, 4, 2, "bfloat16", EXPLICIT),
        (8, 2, 1, 1, "float32", EXPLICIT),
        (8, 1, 2, 2, "bfloat16", AUTO),
    ],
)
def test_lengths_with_a_batch_or_key_heads_of_one(
    attention, devices, batch, heads, k_heads, dtype, axis_type
):
    """Each way to lay out a block, on both kinds of mesh, in both precisions."""
    arrays = cases.operands(16, 16, heads=heads, k_heads=k_heads, batch=batch, dtype=dtype)
    mesh = mesh_of(axis_type, sequence=devices)
    attend = split(attention, mesh, masks=("lengths",), specs=(P(),), blocks=BlockSpec(3, 1))
    lengths = np.array([11, 16][:batch])
    with jax.set_mesh(mesh):
        placed = [jax.device_put(x, ROWS) for x in arrays]
        results = cases.value_and_gradients(attend, *placed, jax.device_put(lengths, P()))
    cases.agree(results, arrays, *cases.masked_lengths(lengths, 16, 16))


@BOTH
def test_blocks_that_are_not_needed_are_computed_neither_forward_nor_backward(attention):
    """Poison: what is masked still multiplies its NaN by 0, what is never read does not."""
    masks, blocks = ("q_positions", "kv_positions"), BlockSpec(2, 2)
    attend = split(attention, mesh_of(sequence=4), masks=masks, specs=(ROWS, ROWS), blocks=blocks)
    q, k, v, d_out = cases.operands(16, 16)
    for order in (np.arange(16), zigzag(4, 16)):
        places = np.stack([order, order]).astype(np.int32)
        early, late = order < 8, order >= 8
        poisoned = v.at[:, late].set(jnp.nan)
        out, d_q, *_ = cases.value_and_gradients(attend, q, k, poisoned, d_out, places, places)
        assert np.isfinite(out[:, early]).all() and np.isfinite(d_q[:, early]).all()
        assert np.isnan(out[:, late]).all() and np.isnan(d_q[:, late]).all()
        poisoned = d_out.at[:, early].set(jnp.nan)
        *_, d_k, d_v = cases.value_and_gradients(attend, q, k, v, poisoned, places, places)
        assert np.isfinite(d_k[:, late]).all() and np.isfinite(d_v[:, late]).all()
        assert np.isnan(d_k[:, early]).all() and np.isnan(d_v[:, early]).all()


@BOTH
def test_lengths_are_of_the_whole_sequence_and_the_batch_may_be_split_too(attention):
    """An Explicit mesh of data and sequence; lengths [0, 7] leave one row of the batch empty."""
    arrays = cases.operands(12, 12)
    mesh = mesh_of(EXPLICIT, data=2, sequence=2)
    rows, blocks = P("data", "sequence"), BlockSpec(4, 3)
    attend = split(attention, mesh, rows, ("lengths",), (P("data"),), blocks=blocks)
    with jax.set_mesh(mesh):
        placed = [jax.device_put(x, jax.P("data", "sequence")) for x in arrays]
        lengths = jax.device_put(jnp.array([0, 7]), jax.P("data"))
        results = cases.value_and_gradients(attend, *placed, lengths)
    cases.agree(results, arrays, *cases.masked_lengths([0, 7], 12, 12))


def sends(devices):
    """Count what ppermute sends in the traced forward and backward pass, in whole shares."""
    arrays = cases.operands(8, 8)
    attend = split(ring_attention, mesh_of(sequence=devices), blocks=BlockSpec(2, 1))
    forward = jax.make_jaxpr(attend)(*arrays[:3])
    both = jax.make_jaxpr(lambda q, k, v, w: jax.vjp(attend, q, k, v)[1](w))(*arrays)
    return (count(x.jaxpr) * devices / arrays[1].shape[1] for x in (forward, both))


def count(jaxpr):
    total = 0
    for equation in jaxpr.eqns:
        if equation.primitive.name == "ppermute":
            total += len(equation.invars)  # a block of one row each
        for value in equation.params.values():
            inner = getattr(value, "jaxpr", value)
            if hasattr(inner, "eqns"):
                total += equation.params.get("length", 1) * count(inner)
    return total


@pytest.mark.parametrize("devices", [1, 2, 4])
def test_keys_and_values_are_sent_one_time_less_than_there_are_devices(devices):
    """k, v and positions N - 1 times each way; dk and dv N times, none on a single device."""
    forward, both = sends(devices)
    assert forward == 3 * (devices - 1)
    assert both == 2 * 3 * (devices - 1) + (2 * devices if devices > 1 else 0)
