"""Zigzag order gives every device of a ring the same work; counted, not timed."""

from functools import partial

import jax
import numpy as np
import pytest
from support import attention_cases as cases
from support.meshes import ROWS, mesh_of

from agentic.attention import BlockSpec, attend, zigzag
from agentic.attention.balance import balance, block_products
from agentic.attention.blocks import dynamic_visits, split_positions
from agentic.bench.ring import attention_bytes

BLOCKS = BlockSpec(8, 8)


@pytest.mark.parametrize("devices", [1, 2, 4, 8])
def test_zigzag_is_a_permutation_of_early_and_late_pieces(devices):
    order = zigzag(devices, 2 * devices * 3)
    assert sorted(order) == list(range(len(order)))
    shares = order.reshape(devices, 2, 3) // 3
    for device, (early, late) in enumerate(shares):
        assert set(early) == {device} and set(late) == {2 * devices - 1 - device}


@pytest.mark.parametrize("devices", [2, 4, 8])
def test_zigzag_balances_causal_work_and_contiguous_shares_do_not(devices):
    rows = devices * 64
    shares = zigzag(devices, rows).reshape(devices, -1)
    found = balance(block_products(shares, BLOCKS))
    assert 1.0 <= found <= 1.05
    contiguous = balance(block_products(np.arange(rows).reshape(devices, -1), BLOCKS))
    # The last of N devices has N parts of a mean of (N + 1) / 2.
    assert contiguous > 0.9 * 2 * devices / (devices + 1) > found
    # Every hop takes as long as its busiest device, and in zigzag none is busier than another.
    counts = block_products(shares, BLOCKS)[:, 1:]
    assert (counts.max(axis=0) == counts.min(axis=0)).all()


def test_counted_pairs_are_those_that_the_ring_visits():
    positions = np.random.default_rng(0).permutation(48).reshape(2, 24)
    positions[0, :5] = -1
    counts = block_products(positions, BlockSpec(4, 4))
    for device, hop in np.ndindex(2, 2):
        q, k = (split_positions(positions[[i]], 4) for i in (device, (device - hop) % 2))
        assert counts[device, hop] == int(dynamic_visits(q, k, causal=True).stop)


def test_all_tokens_seen_by_all_are_balanced_in_any_order():
    counts = block_products(np.arange(64).reshape(4, 16), BLOCKS, causal=False)
    assert balance(counts) == 1.0 and counts.sum() == 8 * 8


def test_memory_of_a_device_stays_as_devices_and_tokens_grow_together():
    """Forward and backward: alone, of two and of eight; keys and values that travel are copies."""
    tokens, size = 16384, 64
    alone, two, eight = (
        attention_bytes(devices, tokens, 1, size, BlockSpec(128, 128)) for devices in (1, 2, 8)
    )
    assert eight <= 1.01 * two
    assert eight <= 1.05 * (alone + 2 * 4 * tokens * size)


def test_gathered_and_ring_are_dense_on_rows_in_zigzag_order():
    devices, rows = 4, 32
    arrays = cases.operands(rows, rows)
    order = zigzag(devices, rows)
    position = np.where(order % 7 == 3, -1, order).astype(np.int32)
    places = np.stack([position, np.where(order < 20, order, -1).astype(np.int32)])
    for kernel in ("ring", "gathered"):

        @partial(
            jax.shard_map, mesh=mesh_of(sequence=devices), in_specs=(ROWS,) * 4, out_specs=ROWS
        )
        def split(q, k, v, places, kernel=kernel):
            return attend(
                q, k, v, q_positions=places, kv_positions=places,
                axis_name="sequence", kernel=kernel,
            )  # fmt: skip

        results = cases.value_and_gradients(split, *arrays, places)
        cases.agree(results, arrays, places, places)
