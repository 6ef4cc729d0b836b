"""Devices as a grid: which part of a batch, and which part of every parameter, lives where.

    data       rows (chains) of the batch; every device of the axis holds the same parameters
    fsdp       rows of the batch too, and parameters and optimiser state in shards
    sequence   the chunks of every row, dealt so that each device has as much causal work

One device is a mesh, too: of size 1 along every axis. Axis letters: B chains of a batch, N chunks
of a chain.
"""

import difflib
import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from agentic.errors import AgenticError
from agentic.network.parameters import LAYERS

# Rows of the batch lie over both, chunks of a row over the third.
ROWS, SEQUENCE, FSDP = ("data", "fsdp"), "sequence", "fsdp"


@dataclass(frozen=True)
class MeshShape:
    """How many devices stand along each axis; their product is the number of devices.

    Attributes:
        data: copies of the parameters, each with its own rows of the batch.
        fsdp: shards of parameters and optimiser state, each with its own rows of the batch.
        sequence: parts that every row is cut into.
    """

    data: int = 1
    fsdp: int = 1
    sequence: int = 1

    def __post_init__(self):
        for name in AXES:
            if getattr(self, name) < 1:
                raise AgenticError(f"mesh has {name}={getattr(self, name)}; it must be at least 1.")

    @classmethod
    def parse(cls, text: str) -> "MeshShape":
        """Return the shape that "data=2,fsdp=2,sequence=2" names; axes left out are 1.

        Raises AgenticError for an unknown axis, one named twice or a size that is no number.
        """
        sizes: dict[str, int] = {}
        for part in text.split(","):
            name, _, size = part.strip().partition("=")
            if name not in AXES:
                near = difflib.get_close_matches(name, AXES, n=1, cutoff=0.0)[0]
                raise AgenticError(
                    f"mesh is {text!r} and {name!r} is not one of its axes {', '.join(AXES)}; "
                    f"did you mean {near}={size or 2}?"
                )
            if name in sizes:
                raise AgenticError(f"mesh is {text!r} and names {name} twice; name it once.")
            if not size.isdecimal():
                raise AgenticError(
                    f"mesh is {text!r} and the size of {name} is {size!r}; it must be a whole "
                    f"number, such as {name}=2."
                )
            sizes[name] = int(size)
        return cls(**sizes)

    def __str__(self) -> str:
        return ",".join(f"{name}={getattr(self, name)}" for name in AXES if getattr(self, name) > 1)

    @property
    def rows(self) -> int:
        """Parts that the batch is cut into along B."""
        return self.data * self.fsdp

    @property
    def devices(self) -> int:
        """Devices in the mesh."""
        return self.rows * self.sequence


AXES = tuple(field.name for field in fields(MeshShape))


def make_mesh(shape: MeshShape) -> Mesh:
    """Return the mesh over the first devices of all processes.

    Raises AgenticError where there are too few, or where a process would be left without one.
    """
    found = jax.devices()
    if shape.devices > len(found):
        raise AgenticError(
            f"mesh {shape} needs {shape.devices} devices and there {_are(len(found))}: take "
            f"{_nearest(shape, len(found))}, or try it on simulated ones with "
            f"--cpu-devices {shape.devices}."
        )
    if jax.process_count() > 1 and shape.devices != len(found):
        raise AgenticError(
            f"mesh {shape} has {shape.devices} devices and {jax.process_count()} processes hold "
            f"{len(found)}; the product of its axes must be {len(found)}, such as "
            f"data={len(found)}."
        )
    sizes = tuple(getattr(shape, name) for name in AXES)
    return jax.make_mesh(
        sizes, AXES, axis_types=(AxisType.Auto,) * len(AXES), devices=found[: shape.devices]
    )


def _are(count: int) -> str:
    return "is 1" if count == 1 else f"are {count}"


def _nearest(shape: MeshShape, devices: int) -> str:
    """Return the mesh of at most `devices` that keeps most of `shape`."""
    sizes = {name: getattr(shape, name) for name in AXES}
    while math.prod(sizes.values()) > devices:
        largest = max(sizes, key=sizes.get)
        smaller = (n for n in range(sizes[largest] - 1, 0, -1) if sizes[largest] % n == 0)
        sizes[largest] = next(smaller)
    return str(MeshShape(**sizes)) or "no mesh at all"


def parameter_spec(shape: tuple[int, ...], fsdp: int) -> PartitionSpec:
    """Return how an array of parameters or optimiser state is cut: along its largest axis.

    Of a matrix's axes that `fsdp` divides, the largest is cut, the later one of equals; vectors
    and scalars stay whole on every device, and so does what cannot be cut evenly.
    """
    axes = [axis for axis, size in enumerate(shape) if size % fsdp == 0]
    if fsdp == 1 or len(shape) < 2 or not axes:
        return PartitionSpec()
    chosen = max(axes, key=lambda axis: (shape[axis], axis))
    return PartitionSpec(*(FSDP if axis == chosen else None for axis in range(chosen + 1)))


def parameter_specs(mesh: Mesh, tree: Any) -> Any:
    """Return how every array is cut, of a pytree that has parameters in it (or their shapes).

    Arrays of stacked layers are cut as each layer's own would be.
    """

    def spec(path: tuple, x: Any) -> PartitionSpec:
        if any(getattr(key, "key", None) == LAYERS for key in path):
            return PartitionSpec(None, *parameter_spec(x.shape[1:], mesh.shape[FSDP]))
        return parameter_spec(x.shape, mesh.shape[FSDP])

    return jax.tree_util.tree_map_with_path(spec, tree)


def state_sharding(mesh: Mesh, state: Any) -> Any:
    """Return the sharding of every array of a training state (arrays or their shapes)."""
    return jax.tree.map(lambda spec: NamedSharding(mesh, spec), parameter_specs(mesh, state))


def process_share(mesh: Mesh) -> tuple[int, int]:
    """Return (index, count): this process draws number `index` of `count` equal parts of a batch.

    Where its devices hold parts of all rows, or of rows that are no such part, it is (0, 1).
    """
    rows = mesh.shape["data"] * mesh.shape[FSDP]
    places = NamedSharding(mesh, PartitionSpec(ROWS)).addressable_devices_indices_map((rows,))
    return part_of(rows, [place for (place,) in places.values()])


def part_of(rows: int, mine: Sequence[slice]) -> tuple[int, int]:
    """Return (index, count) of the equal part of `rows` that is `mine`, or (0, 1)."""
    bounds = [place.indices(rows)[:2] for place in mine]
    low, high = min(low for low, _ in bounds), max(high for _, high in bounds)
    size = high - low
    return (low // size, rows // size) if rows % size == 0 and low % size == 0 else (0, 1)


def batch_specs(batch: Any) -> Any:
    """Return how every array of a batch is cut: [B, ...] by rows, [B, N, ...] by chunks, too."""
    return jax.tree.map(lambda x: PartitionSpec(*(ROWS, SEQUENCE)[: x.ndim]), batch)


def place_batch(batch: Any, mesh: Mesh) -> Any:
    """Return a batch as global arrays on the mesh, from what `process_share` made this one draw.

    Args:
        batch: a pytree of host arrays [B / count, ...].
        mesh: the devices.
    """
    index, count = process_share(mesh)

    def put(array: np.ndarray, spec: PartitionSpec) -> jax.Array:
        rows, first = len(array) * count, len(array) * index

        def piece(where: tuple[slice, ...]) -> np.ndarray:
            low, high, _ = where[0].indices(rows)
            return array[(slice(low - first, high - first), *where[1:])]

        sharding = NamedSharding(mesh, spec)
        return jax.make_array_from_callback((rows, *array.shape[1:]), sharding, piece)

    return jax.tree.map(put, batch, batch_specs(batch))
