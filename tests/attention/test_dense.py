"""Dense attention is the float64 definition; it is the oracle of everything that is faster."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.attention_cases import (
    agree,
    masked_lengths,
    operands,
    position_rows,
    positions,
    value_and_gradients,
)

from agentic.attention import BlockSpec, blockwise_attention, dense_attention
from agentic.errors import AgenticError


def at_positions(q, k, v, q_positions, kv_positions):
    return dense_attention(q, k, v, q_positions=q_positions, kv_positions=kv_positions)


@settings(max_examples=25, deadline=None)
@given(position_rows(5), position_rows(7))
def test_any_positions(q_positions, kv_positions):
    arrays = operands(5, 7)
    agree(
        value_and_gradients(at_positions, *arrays, q_positions, kv_positions),
        arrays,
        q_positions,
        kv_positions,
    )


@pytest.mark.parametrize(
    ("queries", "keys", "causal", "dtype"),
    [(6, 6, True, "bfloat16"), (3, 7, True, "float32"), (7, 3, False, "float32")],
)
def test_default_positions(queries, keys, causal, dtype):
    arrays = operands(queries, keys, dtype=dtype)

    def attend(q, k, v):
        return dense_attention(q, k, v, causal=causal, scale=0.3)

    results = value_and_gradients(attend, *arrays)
    agree(results, arrays, *positions(queries, keys), causal, 0.3)


@pytest.mark.parametrize("keys", [4, 6])
def test_lengths_are_the_valid_prefix(keys):
    arrays = operands(4, keys)

    def attend(q, k, v, lengths):
        return dense_attention(q, k, v, lengths=lengths)

    for lengths in ([0, 3], [4, 1]):
        results = value_and_gradients(attend, *arrays, jnp.array(lengths))
        agree(results, arrays, *masked_lengths(lengths, 4, keys))


WRONG = {
    "multiple of the second, the nearest is 2 key heads": {"k": (2, 4, 3, 8)},
    "batch and head size must agree": {"k": (2, 4, 2, 5)},
    "share one shape": {"v": (2, 5, 2, 8)},
    "needs 4 axes": {"q": (2, 4, 8)},
    "give both": {"q_positions": (2, 4)},
    "it must be \\(2,\\)": {"lengths": (3,)},
}


@pytest.mark.parametrize("attend", [dense_attention, blockwise_attention])
@pytest.mark.parametrize("message", WRONG)
def test_operands_that_do_not_fit(attend, message):
    shapes = {"q": (2, 4, 4, 8), "k": (2, 4, 2, 8), **WRONG[message]}
    shapes.setdefault("v", shapes["k"])
    arrays = {
        name: np.zeros(shape, np.float32 if name in "qkv" else np.int32)
        for name, shape in shapes.items()
    }
    with pytest.raises(AgenticError, match=message):
        attend(arrays.pop("q"), arrays.pop("k"), arrays.pop("v"), **arrays)


def test_dtypes_that_do_not_fit():
    q, k, v, _ = operands(4, 4)
    with pytest.raises(AgenticError, match="share one floating dtype"):
        dense_attention(q, k.astype(jnp.bfloat16), v)
    with pytest.raises(AgenticError, match="must be int32"):
        dense_attention(q, k, v, lengths=jnp.ones(2))


@pytest.mark.parametrize("rows", [0, -3, 2.5])
def test_blocks_have_at_least_one_row(rows):
    with pytest.raises(AgenticError, match="at least 1"):
        BlockSpec(query=rows)


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 50), st.integers(1, 50))
def test_blocks_fit_within_the_asked_area(queries, keys, query, key):
    blocks = BlockSpec(query, key).fit(queries, keys)
    assert blocks.query * blocks.key <= query * key
    assert blocks.query <= queries and blocks.key <= keys
    hash(blocks)


@pytest.mark.parametrize(
    ("rows", "block"), [(200, 200), (400, 200), (1000, 250), (1600, 400), (4096, 512), (4100, 456)]
)
def test_a_short_sequence_is_cut_small_enough_to_leave_blocks_out(rows, block):
    assert BlockSpec().fit(rows, rows) == BlockSpec(block, block)
