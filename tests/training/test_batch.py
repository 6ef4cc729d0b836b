"""Batches: which steps count, who gets which chunks, and which of them are decoded."""

import jax
import numpy as np
import pytest
from support import synthetic

from agentic.network.tokens import by_chunks, flatten
from agentic.training.batch import batch_maker, loss_weight, make_batch
from agentic.training.mesh import MeshShape, make_mesh, place_batch

flattened = jax.jit(flatten, static_argnums=0)
chunked = jax.jit(by_chunks, static_argnums=0)
made = jax.jit(make_batch, static_argnums=(0, 1, 2))
weighed = jax.jit(loss_weight, static_argnums=(0, 1))
CONFIG = synthetic.policy_config("chunk of 3")
LENGTHS = np.array([[7, 5, 6], [4, 7, 2], [7, 0, 0], [3, 3, 0]])


def test_existing_steps_count_and_of_the_last_trajectory_alone_if_asked():
    chain = synthetic.chain(LENGTHS)
    everything, last = (
        np.asarray(weighed(CONFIG, loss, chain.mask)).reshape(*LENGTHS.shape, -1)
        for loss in ("all", "last")
    )
    best = [2, 2, 0, 1]
    for row, k in np.ndindex(LENGTHS.shape):
        expected = np.arange(9) < LENGTHS[row, k]
        np.testing.assert_array_equal(everything[row, k], expected)
        np.testing.assert_array_equal(last[row, k], expected & (k == best[row]))


@pytest.mark.parametrize("loss", ["all", "last"])
@pytest.mark.parametrize("devices", [1, 2, 4])
def test_a_device_decodes_its_own_chunks_and_every_step_that_counts_is_decoded(loss, devices):
    """Asked chunk by chunk, by its place: what is compared is what the chain has there."""
    chain = synthetic.chain(LENGTHS)
    batch = jax.device_get(made(CONFIG, loss, devices, chain))
    flat = jax.device_get(flattened(CONFIG, chain))
    observations, actions = (chunked(CONFIG, x) for x in (chain.observations, chain.actions))
    steps = [np.asarray(x) for x in (observations, actions, weighed(CONFIG, loss, chain.mask))]
    rows, chunks = flat.chunk.shape
    place = batch.inputs.place.reshape(rows, devices, -1)
    decoded = batch.decoded
    if decoded is None:
        decoded = np.broadcast_to(np.arange(place.shape[2]), place.shape)
    decoded = decoded.reshape(rows, devices, -1)
    if loss == "last":
        # No more than a trajectory has, or than a device has of a row.
        assert decoded.shape[2] == min(chunks // 3, place.shape[2])
    shape = decoded.shape
    mine = [x.reshape(*shape, *x.shape[2:]) for x in (batch.observations, batch.actions)]
    mine.append(batch.weight.reshape(*shape, -1))
    counted = np.zeros(rows)
    for at in np.ndindex(shape):
        here = place[(*at[:2], decoded[at])]
        if here < 0:
            assert not mine[2][at].any()
            continue
        (chunk,) = np.flatnonzero(flat.place[at[0], :, 0] == here)
        for ours, theirs in zip(mine, steps, strict=True):
            np.testing.assert_array_equal(ours[at], theirs[at[0], chunk])
        counted[at[0]] += mine[2][at].sum()
    np.testing.assert_array_equal(counted, steps[2].sum(axis=(1, 2)))
    for row in range(rows):
        np.testing.assert_array_equal(
            np.sort(place[row][place[row] >= 0]), flat.place[row][flat.place[row] >= 0]
        )


def test_devices_get_early_and_late_pieces_of_every_row():
    chain = synthetic.chain(np.full((1, 4), 6), steps=6)
    config = synthetic.policy_config("1", trajectories=4)
    place = np.asarray(made(config, "all", 2, chain).inputs.place)[0, :, 0]
    quarters = np.unique(place).reshape(4, -1)
    np.testing.assert_array_equal(place, np.concatenate([quarters[i] for i in (0, 3, 1, 2)]))


def test_rows_are_numbered_and_a_batch_lies_on_its_mesh():
    mesh = make_mesh(MeshShape(2, 2, 2))
    batch = batch_maker(CONFIG, "last", mesh)(synthetic.chain(LENGTHS))
    np.testing.assert_array_equal(batch.inputs.row, np.arange(4))
    placed = place_batch(batch, mesh)
    jax.tree.map(np.testing.assert_array_equal, placed, batch)
    row, place = placed.inputs.row.sharding.spec, placed.inputs.place.sharding.spec
    assert (tuple(row), tuple(place)) == ((("data", "fsdp"),), (("data", "fsdp"), "sequence"))
