"""Blockwise attention is dense attention: in value, in gradient, at less memory and work."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import attention_cases as cases

from agentic.attention import BlockSpec, blockwise_attention, dense_attention
from agentic.attention.blocks import dynamic_visits, needed_blocks, split_positions
from agentic.attention.positions import visible


@pytest.mark.parametrize(
    ("queries", "keys", "blocks", "causal", "dtype"),
    [
        (13, 13, BlockSpec(4, 5), True, "float32"),
        (7, 7, BlockSpec(1, 1), True, "float32"),
        (13, 13, BlockSpec(64, 64), True, "float32"),
        (13, 13, BlockSpec(5, 3), True, "bfloat16"),
        (5, 13, BlockSpec(2, 3), True, "float32"),
        (13, 5, BlockSpec(2, 4), False, "float32"),
    ],
)
def test_default_positions(queries, keys, blocks, causal, dtype):
    arrays = cases.operands(queries, keys, dtype=dtype)

    def attend(q, k, v):
        return blockwise_attention(q, k, v, causal=causal, blocks=blocks, scale=0.4)

    results = cases.value_and_gradients(attend, *arrays)
    cases.agree(results, arrays, *cases.positions(queries, keys), causal, 0.4)


def test_sums_over_many_blocks_of_half_precision_are_kept_in_float32():
    """Added up in bfloat16, the sums of 1,024 keys alone would err by more than this."""
    arrays = cases.operands(1024, 1024, heads=1, k_heads=1, batch=1, dtype="bfloat16")
    attend = partial(blockwise_attention, causal=False, blocks=BlockSpec(64, 64))
    results = cases.value_and_gradients(attend, *arrays)
    masks = (*cases.positions(1024, 1024, 1), False, None)
    expected = (
        oracles.attention(*arrays[:3], *masks), *oracles.attention_gradients(*arrays, *masks)
    )  # fmt: skip
    for result, wanted in zip(results, expected, strict=True):
        error = np.asarray(result, np.float64) - wanted
        assert np.sqrt(np.mean(error**2)) < 4e-3 * np.sqrt(np.mean(wanted**2))


@pytest.mark.parametrize(
    ("batch", "heads", "k_heads"), [(1, 1, 1), (1, 4, 2), (2, 4, 1), (1, 2, 1)]
)
def test_a_batch_or_key_heads_of_one(batch, heads, k_heads):
    """The axis that is left out of the blocks, and with it the mask of each row of the batch."""
    arrays = cases.operands(9, 9, heads=heads, k_heads=k_heads, batch=batch)
    lengths = np.array([6, 9][:batch])
    results = cases.value_and_gradients(with_lengths, *arrays, jnp.array(lengths))
    cases.agree(results, arrays, *cases.masked_lengths(lengths, 9, 9))


def at_positions(q, k, v, q_positions, kv_positions):
    return blockwise_attention(
        q, k, v, q_positions=q_positions, kv_positions=kv_positions, blocks=BlockSpec(2, 3)
    )


@settings(max_examples=40, deadline=None)
@given(cases.position_rows(5), cases.position_rows(8))
def test_any_positions(q_positions, kv_positions):
    arrays = cases.operands(5, 8)
    results = cases.value_and_gradients(at_positions, *arrays, q_positions, kv_positions)
    cases.agree(results, arrays, q_positions, kv_positions)


@settings(max_examples=15, deadline=None)
@given(st.tuples(st.integers(0, 9), st.integers(0, 9)))
def test_lengths(lengths):
    arrays = cases.operands(9, 9, k_heads=1)
    results = cases.value_and_gradients(with_lengths, *arrays, jnp.array(lengths))
    cases.agree(results, arrays, *cases.masked_lengths(lengths, 9, 9))


def with_lengths(q, k, v, lengths):
    return blockwise_attention(q, k, v, lengths=lengths, blocks=BlockSpec(4, 4))


@settings(max_examples=15, deadline=None)
@given(cases.position_rows(1), cases.position_rows(16))
def test_one_query_on_a_cache(q_positions, kv_positions):
    """Decoding: all cache slots fit one block for a single query, whatever order they are in."""
    arrays = cases.operands(1, 16)
    results = cases.value_and_gradients(at_cache, *arrays, q_positions, kv_positions)
    cases.agree(results, arrays, q_positions, kv_positions)


def at_cache(q, k, v, q_positions, kv_positions):
    return blockwise_attention(
        q, k, v, q_positions=q_positions, kv_positions=kv_positions, blocks=BlockSpec(4, 4)
    )


def test_under_vmap_each_example_skips_for_itself():
    arrays = cases.operands(6, 6, batch=2)
    tables = np.array([[[5, 4, 3, 2, 1, 0]], [[-1, 0, 1, -1, 2, -1]]], np.int32)
    alone = [x[:, None] for x in arrays]
    results = cases.value_and_gradients(jax.vmap(at_positions), *alone, tables, tables)
    cases.agree([x[:, 0] for x in results], arrays, tables[:, 0], tables[:, 0])


@pytest.mark.parametrize(("queries", "keys"), [(1, 7), (4, 4), (7, 1), (6, 7), (7, 7)])
@pytest.mark.parametrize("causal", [True, False])
def test_needed_blocks_are_the_visible_ones(queries, keys, causal):
    offset = max(keys - queries, 0)
    seen = np.asarray(visible(*(x[0] for x in cases.positions(queries, keys)), causal))
    for blocks in (BlockSpec(1, 1), BlockSpec(2, 3), BlockSpec(3, 2), BlockSpec(8, 8)):
        whole, edge = (
            {tuple(pair) for pair in pairs.tolist()}
            for pairs in needed_blocks(queries, keys, blocks, causal, offset)
        )
        for i in range(-(-queries // blocks.query)):
            for j in range(-(-keys // blocks.key)):
                rows = slice(i * blocks.query, (i + 1) * blocks.query)
                block = seen[rows, j * blocks.key : (j + 1) * blocks.key]
                full = block.all() and block.shape[1] == blocks.key
                assert ((i, j) in whole) == full
                assert ((i, j) in edge) == (block.any() and not full)


def test_causal_leaves_out_the_upper_half():
    whole, edge = needed_blocks(4096, 4096, BlockSpec(512, 512), True, 0)
    assert (len(whole), len(edge)) == (8 * 7 // 2, 8)


@settings(max_examples=30, deadline=None)
@given(cases.position_rows(5), cases.position_rows(8), st.booleans())
def test_dynamic_visits_are_the_visible_ones(q_positions, kv_positions, causal):
    q_blocks, k_blocks = split_positions(q_positions, 2), split_positions(kv_positions, 3)
    visits = dynamic_visits(q_blocks, k_blocks, causal)
    full, stop = int(visits.full), int(visits.stop)
    pairs = [tuple(pair) for pair in np.asarray(visits.pairs).tolist()]
    assert sorted(pairs) == [(i, j) for i in range(3) for j in range(3)]
    for place, (i, j) in enumerate(pairs):
        seen = np.asarray(visible(q_blocks[i], k_blocks[j], causal))
        assert (place < full) == bool(seen.all())
        # Smallest key against latest query may keep a pair that absent rows leave empty.
        assert place < stop or not seen.any()


@pytest.mark.parametrize("given_positions", [False, True])
def test_blocks_that_are_not_needed_are_computed_neither_forward_nor_backward(given_positions):
    """Poison: what is masked still multiplies its NaN by 0, what is never read does not."""
    q, k, v, d_out = cases.operands(12, 12)
    rows = jnp.broadcast_to(jnp.arange(12), (2, 12))
    masks = {"q_positions": rows, "kv_positions": rows} if given_positions else {}
    attend = partial(blockwise_attention, blocks=BlockSpec(4, 4), **masks)
    poisoned = v.at[:, 8:].set(jnp.nan)
    out, d_q, *_ = cases.value_and_gradients(attend, q, k, poisoned, d_out)
    assert np.isfinite(out[:, :8]).all() and np.isfinite(d_q[:, :8]).all()
    assert np.isnan(out[:, 8:]).all() and np.isnan(d_q[:, 8:]).all()
    poisoned = d_out.at[:, :4].set(jnp.nan)
    *_, d_k, d_v = cases.value_and_gradients(attend, q, k, v, poisoned)
    assert np.isfinite(d_k[:, 4:]).all() and np.isfinite(d_v[:, 4:]).all()
    assert np.isnan(d_k[:, :4]).all() and np.isnan(d_v[:, :4]).all()


def test_of_its_own_only_output_and_log_sum_exp_are_kept_for_the_backward_pass():
    arrays = cases.operands(16, 16)
    attend = partial(blockwise_attention, blocks=BlockSpec(4, 4))
    out, pullback = jax.vjp(attend, *arrays[:3])
    kept = sum(x.size for x in jax.tree.leaves(pullback) if x.dtype == jnp.float32)
    log_sum_exp = out.size // out.shape[-1]
    assert kept == sum(x.size for x in arrays[:3]) + out.size + log_sum_exp


@pytest.mark.parametrize("query", range(1, 7))
def test_every_block_size(query):
    """1 to one more than there are rows, of queries and of keys, each in a row of the batch."""
    arrays = cases.operands(5, 5, batch=6)

    def attend(*operands):
        rows = zip(*(jnp.split(x, 6) for x in operands), strict=True)
        outs = [blockwise_attention(*row, blocks=BlockSpec(query, key + 1)) for key, row in
                enumerate(rows)]  # fmt: skip
        return jnp.concatenate(outs)

    results = cases.value_and_gradients(attend, *arrays)
    cases.agree(results, arrays, *cases.positions(5, 5, 6))


def test_a_masked_key_does_not_matter():
    """Lengths give what the shorter sequence gives, whatever the padding holds."""
    q, k, v, d_out = cases.operands(12, 12)
    short = cases.value_and_gradients(
        with_lengths, q[:, :7], k[:, :7], v[:, :7], d_out[:, :7], jnp.array([7, 7])
    )
    loud = [x.at[:, 7:].multiply(1e4) for x in (q, k, v, d_out)]
    padded = cases.value_and_gradients(with_lengths, *loud, jnp.array([7, 7]))
    for one, other in zip(short, padded, strict=True):
        np.testing.assert_allclose(one, other[:, :7], rtol=1e-5, atol=1e-5)


def temporary_bytes(attend, length):
    shape = jax.ShapeDtypeStruct((1, length, 2, 16), jnp.float32)
    gradient = jax.grad(lambda q, k, v: attend(q, k, v).sum(), argnums=(0, 1, 2))
    compiled = jax.jit(gradient).lower(shape, shape, shape).compile()
    return compiled.memory_analysis().temp_size_in_bytes


def test_memory_is_linear_in_the_sequence():
    def attend(q, k, v):
        return blockwise_attention(q, k, v, blocks=BlockSpec(128, 128))

    one, two = temporary_bytes(attend, 2048), temporary_bytes(attend, 4096)
    assert two <= 2.1 * one
    assert 10 * one < temporary_bytes(dense_attention, 2048)


def test_gradients_keep_shardings_on_an_explicit_mesh():
    """The batch split over an Explicit axis: loops must start from state that is split alike."""
    axis = jax.sharding.AxisType.Explicit
    mesh = jax.make_mesh((2,), ("data",), axis_types=(axis,), devices=jax.devices()[:2])
    arrays = cases.operands(6, 6)
    with jax.set_mesh(mesh):
        placed = [jax.device_put(x, jax.P("data")) for x in arrays]
        results = cases.value_and_gradients(small_blocks, *placed)
    for result, array in zip(results, placed[:1] + placed[:3], strict=True):
        assert result.sharding.is_equivalent_to(array.sharding, array.ndim)
    cases.agree(results, arrays, *cases.positions(6, 6))


def small_blocks(q, k, v):
    return blockwise_attention(q, k, v, blocks=BlockSpec(2, 3))
