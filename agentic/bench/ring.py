"""A ring's devices: what each computes and holds, as devices and tokens grow together.

Nothing runs. Work is counted in pairs of blocks that ring attention computes (`block_products`),
the largest device's over the mean, in zigzag order and in shares in order. Memory is XLA's analysis
of a program for that many of the machine's devices (a CPU gives as many as are asked for): of a
training step on one chain, with a model of three layers whose attention has that shape, and of
attention's forward and backward pass alone.
"""

import contextlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from agentic.attention import BlockSpec, ring_attention, zigzag
from agentic.attention.balance import balance, block_products
from agentic.attention.blocks import default_blocks
from agentic.bench import Row
from agentic.errors import AgenticError
from agentic.network.config import NetworkConfig, Normalization
from agentic.training.loop import TrainingConfig, state_like
from agentic.training.mesh import MeshShape, make_mesh
from agentic.training.sharded import deal, make_mesh_step, place_share
from agentic.trajectory import Chain

# Of walker.
OBSERVATIONS, ACTIONS = 24, 6


@dataclass(frozen=True)
class Options:
    """Measure what the devices of a ring compute and hold.

    Attributes:
        devices: sizes of the ring.
        tokens: of one device; several for several sizes.
        shapes: heads times their size, such as 1x128 16x64.
    """

    devices: tuple[int, ...] = (1, 2, 4, 8)
    tokens: tuple[int, ...] = (4096, 16384, 65536)
    shapes: tuple[str, ...] = ("1x128", "16x64")

    def __post_init__(self):
        for shape in self.shapes:
            if not re.fullmatch(r"[1-9]\d*x[1-9]\d*", shape):
                raise AgenticError(f"shapes has {shape!r}; give heads times size, such as 16x64.")
        for name in ("devices", "tokens"):
            if min(getattr(self, name), default=0) < 1:
                raise AgenticError(f"{name} is {getattr(self, name)}; give numbers from 1 on.")


def run(options: Options, say: Callable[[str], None]) -> list[Row]:
    """Return a row for every shape, tokens of a device, and size of the ring."""
    _want(max(options.devices))
    rows = []
    for shape in options.shapes:
        heads, size = map(int, shape.split("x"))
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
    """Return the temporary bytes of one device in a training step on one chain, one token a step.

    The chain has one trajectory of `tokens` steps for each device.
    """
    config = NetworkConfig(
        OBSERVATIONS, ACTIONS, tokens, devices, action_chunk=1, heads=heads, width=heads * size,
        normalization=Normalization((0.0,) * OBSERVATIONS, (1.0,) * OBSERVATIONS),
    )  # fmt: skip
    training, mesh = TrainingConfig(loss="all"), make_mesh(MeshShape(sequence=devices))
    lead = (1, devices, tokens)
    one = np.zeros(lead, np.float32)
    chain = Chain(
        np.zeros((*lead, OBSERVATIONS), np.float32), np.zeros((*lead, ACTIONS), np.float32),
        one, one, one, np.ones(lead, bool),
    )  # fmt: skip
    share = place_share(deal(config, "all", mesh)(chain), mesh)
    step = make_mesh_step(config, training, mesh)
    program = step.lower(state_like(config, training, mesh), share).compile()
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


def _want(devices: int) -> None:
    """Ask for that many devices of a CPU, which is possible until the first is used."""
    with contextlib.suppress(RuntimeError):
        jax.config.update("jax_num_cpu_devices", devices)
    if len(jax.devices()) < devices:
        raise AgenticError(
            f"devices has {devices}, and this machine has {len(jax.devices())}; ask for fewer, "
            "or set JAX_PLATFORMS=cpu."
        )
