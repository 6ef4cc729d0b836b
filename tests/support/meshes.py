"""Meshes of simulated devices, and attention whose sequence is split over one."""

from functools import partial

import jax
import numpy as np
from jax.sharding import PartitionSpec as P

AUTO = jax.sharding.AxisType.Auto


def mesh_of(axis_type=AUTO, **axes):
    sizes = tuple(axes.values())
    return jax.make_mesh(
        sizes,
        tuple(axes),
        axis_types=(axis_type,) * len(axes),
        devices=jax.devices()[: int(np.prod(sizes))],
    )


ROWS = P(None, "sequence")


def split(attention, mesh, rows=ROWS, masks=(), specs=(), **settings):
    """Return attend(q, k, v, *masks) whose masks are passed on by the names in `masks`."""

    @partial(
        jax.shard_map,
        mesh=mesh,
        in_specs=(rows, rows, rows, *specs),
        out_specs=rows,
        check_vma=True,
    )
    def attend(q, k, v, *values):
        named = dict(zip(masks, values, strict=True))
        return attention(q, k, v, axis_name="sequence", **named, **settings)

    return attend
