"""A mesh is what its words say, or one sentence says why not; every array has its place on it."""

import jax
import numpy as np
import pytest
from jax.sharding import PartitionSpec

from agentic.errors import AgenticError
from agentic.training.mesh import (
    MeshShape,
    make_mesh,
    parameter_spec,
    parameter_specs,
    part_of,
    place_batch,
    process_share,
)


@pytest.mark.parametrize(
    ("text", "sizes"),
    [
        ("data=2,fsdp=2,sequence=2", (2, 2, 2)),
        ("sequence=8", (1, 1, 8)),
        (" fsdp=4 , data=2", (2, 4, 1)),
    ],
)
def test_words_name_the_sizes_of_axes(text, sizes):
    shape = MeshShape.parse(text)
    assert (shape.data, shape.fsdp, shape.sequence) == sizes
    assert MeshShape.parse(str(shape)) == shape
    assert shape.devices == 8 and shape.rows * shape.sequence == 8
    assert tuple(make_mesh(shape).shape.values()) == sizes


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("dta=2", "'dta' is not one of its axes data, fsdp, sequence; did you mean data=2"),
        ("sequnce=4,data=2", "did you mean sequence=4"),
        ("data=2,data=4", "names data twice"),
        ("data=two", "the size of data is 'two'; it must be a whole number"),
        ("data", "the size of data is ''"),
        ("fsdp=0", "mesh has fsdp=0; it must be at least 1"),
        ("", "did you mean"),
    ],
)
def test_other_words_end_in_one_sentence(text, words):
    with pytest.raises(AgenticError, match=words) as caught:
        MeshShape.parse(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("shape", "nearest"),
    [
        (MeshShape(sequence=16), "take sequence=8, or .* with --cpu-devices 16"),
        (MeshShape(data=2, fsdp=9), "take data=2,fsdp=3, or"),
        (MeshShape(data=11), "take no mesh at all, or"),
    ],
)
def test_more_devices_than_there_are_name_the_nearest_mesh(shape, nearest):
    with pytest.raises(AgenticError, match=f"needs .* devices and there are 8: {nearest}"):
        make_mesh(shape)


@pytest.mark.parametrize(
    ("shape", "fsdp", "cut"),
    [
        ((16, 64), 4, (None, "fsdp")),
        ((64, 16), 4, ("fsdp",)),
        ((16, 16), 4, (None, "fsdp")),
        ((3, 16, 12), 4, (None, "fsdp")),
        ((6, 7), 4, ()),  # nothing divides evenly: whole on every device
        ((6, 64, 7), 3, ("fsdp",)),
        ((64,), 4, ()),
        ((), 4, ()),
        ((16, 64), 1, ()),
    ],
)
def test_matrices_are_cut_along_the_largest_axis_that_divides(shape, fsdp, cut):
    assert parameter_spec(shape, fsdp) == PartitionSpec(*cut)


def test_stacked_layers_are_cut_as_each_of_them_would_be():
    """Never between layers, however many there are, and vectors stay whole."""
    mesh = make_mesh(MeshShape(fsdp=4))
    leaves = {"kernel": np.zeros((64, 8, 16)), "bias": np.zeros((64, 16))}
    found = parameter_specs(mesh, {"blocks": {"linear": leaves}, "linear": leaves})
    assert found["blocks"]["linear"]["kernel"] == PartitionSpec(None, None, "fsdp")
    assert not any(found["blocks"]["linear"]["bias"])
    assert found["linear"]["bias"] == PartitionSpec("fsdp")


def test_a_batch_lies_in_rows_and_pieces_of_rows():
    mesh = make_mesh(MeshShape(data=2, fsdp=2, sequence=2))
    assert process_share(mesh) == (0, 1)
    batch = {"a": np.arange(4 * 6).reshape(4, 6), "b": np.zeros((4, 2, 3), bool), "c": np.arange(4)}
    placed = place_batch(batch, mesh)
    for shard in placed["a"].addressable_shards:
        row, piece = divmod(int(np.argwhere(mesh.devices.reshape(-1) == shard.device)[0, 0]), 2)
        np.testing.assert_array_equal(
            shard.data, batch["a"][row : row + 1, 3 * piece : 3 * piece + 3]
        )
    numbers = [shard.data.tolist() for shard in placed["c"].addressable_shards]
    assert numbers == [[row] for row in (0, 0, 1, 1, 2, 2, 3, 3)]
    jax.tree.map(np.testing.assert_array_equal, placed, batch)


def test_processes_draw_the_rows_of_their_devices():
    """Of eight rows in all, one for each device."""
    for mine, share in [
        ([0, 1, 2, 3], (0, 2)),
        ([4, 5, 6, 7], (1, 2)),
        ([6, 7], (3, 4)),
        ([3], (3, 8)),
        (range(8), (0, 1)),
        ([1, 2], (0, 1)),  # no such part: all rows are drawn and these are taken of them
    ]:
        assert part_of(8, [slice(row, row + 1) for row in mine]) == share
