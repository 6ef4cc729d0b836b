"""The work and the memory of each device of a ring, as devices and tokens grow together.

Nothing runs. Work is the number of block pairs that ring attention computes (`block_products`): the
device with the most over the mean, once with tokens in zigzag order and once in plain order. Memory
is XLA's analysis of a program for so many devices (a CPU simulates any number): a training step on
one chain by a network of three layers whose attention has the given shape, and the forward and
backward pass of attention alone.
"""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from agentic.attention import BlockSpec, ring_attention, zigzag
from agentic.attention.balance import balance, block_products
from agentic.attention.blocks import default_blocks
from agentic.bench import Row, problem
from agentic.bench.problem import at_least_one, pair
from agentic.errors import AgenticError
from agentic.training.batch import batch_maker
from agentic.training.loop import TrainingConfig, make_step, state_like
from agentic.training.mesh import MeshShape, make_mesh, place_batch


@dataclass(frozen=True)
class Options:
    """Measure the work and the memory of each device of a ring.

    Attributes:
        devices: sizes of the ring.
        tokens: numbers of tokens per device.
        shapes: heads times their size, such as 1x128 16x64.
    """

    devices: tuple[int, ...] = (1, 2, 4, 8)
    tokens: tuple[int, ...] = (4096, 16384, 65536)
    shapes: tuple[str, ...] = ("1x128", "16x64")

    def __post_init__(self):
        for shape in self.shapes:
            pair("shapes", shape, "heads times size")
        at_least_one(self, "devices", "tokens")


def run(options: Options, say: Callable[[str], None]) -> list[Row]:
    """Return a row per shape, number of tokens and size of the ring."""
    _request_devices(max(options.devices))
    rows = []
    for shape in options.shapes:
        heads, size = pair("shapes", shape, "heads times size")
        for tokens in options.tokens:
            first = ()
            for devices in options.devices:
                say(f"{shape}: compiling for {devices} devices of {tokens} tokens")
                step = step_bytes(devices, tokens, heads, size)
                alone = attention_bytes(devices, tokens, heads, size)
                first = first or (step, alone)
                order = zigzag(devices, devices * tokens), np.arange(devices * tokens)
                blocks = default_blocks(ring=True)
                shares = [block_products(x.reshape(devices, tokens), blocks) for x in order]
                rows.append(
                    {
                        "heads x size": shape,
                        "tokens of a device": tokens,
                        "devices": devices,
                        "tokens": devices * tokens,
                        "MB of a step": step / 1e6,
                        "over the first ring": step / first[0],
                        "MB of attention": alone / 1e6,
                        "attention over the first ring": alone / first[1],
                        "work max/mean": balance(shares[0]),
                        "in order": balance(shares[1]),
                    }
                )
    return rows


def step_bytes(devices: int, tokens: int, heads: int, size: int) -> int:
    """Return the temporary bytes of one device in a training step on one chain, one token per step.

    The chain has one trajectory of `tokens` steps for each device.
    """
    config = problem.network(tokens, devices, action_chunk=1, heads=heads, width=heads * size)
    training, mesh = TrainingConfig(loss="all"), make_mesh(MeshShape(sequence=devices))
    batch = place_batch(batch_maker(config, "all", mesh)(problem.chain(config, rows=1)), mesh)
    step = make_step(config, training, mesh)
    program = step.lower(state_like(config, training, mesh), batch).compile()
    return program.memory_analysis().temp_size_in_bytes


def attention_bytes(
    devices: int, tokens: int, heads: int, size: int, blocks: BlockSpec | None = None
) -> int:
    """Return the temporary bytes of one device, forward and backward, float32 and causal."""
    mesh = jax.make_mesh(
        (devices,),
        ("sequence",),
        axis_types=(jax.sharding.AxisType.Auto,),
        devices=jax.devices()[:devices],
    )
    rows = jax.P(None, "sequence")
    attend = partial(ring_attention, axis_name="sequence", blocks=blocks)

    @partial(jax.shard_map, mesh=mesh, in_specs=(rows,) * 4, out_specs=(rows,) * 4)
    def both(q, k, v, d_out):
        out, pullback = jax.vjp(attend, q, k, v)
        return out, *pullback(d_out)

    shape = jax.ShapeDtypeStruct(
        (1, devices * tokens, heads, size),
        jnp.float32,
        sharding=jax.NamedSharding(mesh, rows),
    )
    program = jax.jit(both).lower(*[shape] * 4).compile()
    return program.memory_analysis().temp_size_in_bytes


def _request_devices(devices: int) -> None:
    """Ask for so many CPU devices, which is possible until the first is used."""
    with contextlib.suppress(RuntimeError):
        jax.config.update("jax_num_cpu_devices", devices)
    if len(jax.devices()) < devices:
        raise AgenticError(
            f"devices has {devices}, and this machine has {len(jax.devices())}; ask for fewer, "
            "or set JAX_PLATFORMS=cpu."
        )
