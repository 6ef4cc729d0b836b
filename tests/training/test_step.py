"""Every mesh of eight devices takes the step that one device takes; memory falls as promised."""

import dataclasses
from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax._src.cudnn import fused_attention_stablehlo
from support import compiling, synthetic

from agentic.attention import flash_attention, ring_attention
from agentic.network.stack import Attention
from agentic.training.batch import batch_maker
from agentic.training.loop import TrainingConfig, initial_state, make_step, state_like
from agentic.training.mesh import MeshShape, make_mesh, place_batch, state_sharding

CONFIG = synthetic.policy_config("chunk of 3", layers=1)
DROPPING = dataclasses.replace(CONFIG, dropout=0.3)
TRAINING = TrainingConfig(steps=3, warmup=1)
# Ragged, with absent trajectories; rows of different weight, so that a mean of means is wrong.
LENGTHS = np.array(
    [[7, 5, 6], [4, 7, 2], [1, 2, 7], [7, 0, 0], [3, 3, 0], [2, 7, 7], [6, 5, 1], [1, 1, 1]]
)
MESHES = [
    MeshShape(data, fsdp, 8 // data // fsdp)
    for data in (1, 2, 4, 8)
    for fsdp in (1, 2, 4, 8)
    if data * fsdp <= 8
]
# Sequences this short would be gathered on every device.
RING = Attention(split=ring_attention)


@pytest.fixture(scope="module", autouse=True)
def compiled_plainly():
    with compiling.plainly():
        yield


@lru_cache
def batches(loss: str, sequence: int):
    """Return two batches for devices that share every row."""
    make = batch_maker(CONFIG, loss, make_mesh(MeshShape(sequence=sequence)))
    return [make(synthetic.chain(LENGTHS, seed=index)) for index in range(2)]


@lru_cache
def first_state():
    return jax.device_get(initial_state(CONFIG, TRAINING, make_mesh(MeshShape())))


def steps_of(step, shape: MeshShape, loss: str = "all", state=None):
    """Return the state after two steps, and both steps' metrics."""
    mesh, state = make_mesh(shape), state or first_state()
    # Put there instead of drawn there, which would be one more program to compile.
    state, metrics = jax.device_put(state, state_sharding(mesh, state)), []
    for batch in batches(loss, shape.sequence):
        state, found = step(state, place_batch(batch, mesh))
        metrics.append(jax.device_get(found))
    return jax.device_get(state), metrics


def taken(config, shape: MeshShape, loss: str = "all", attention=None, **options):
    """Return what `steps_of` does, of a step compiled for it."""
    training = dataclasses.replace(TRAINING, **options)
    return steps_of(make_step(config, training, make_mesh(shape), attention), shape, loss)


@pytest.fixture(scope="module")
def alone():
    """Return {(dropping, loss): (state, metrics)} of one device."""
    cases = {}
    for config in (CONFIG, DROPPING):
        step = make_step(config, TRAINING, make_mesh(MeshShape()))
        for loss in ("all", "last"):
            cases[config is DROPPING, loss] = steps_of(step, MeshShape(), loss)
    return cases


def assert_same(found, expected):
    for actual, wanted in zip(found[1], expected[1], strict=True):
        np.testing.assert_allclose(actual, wanted, rtol=1e-5)
    for actual, wanted in zip(*map(jax.tree.leaves, (found[0], expected[0])), strict=True):
        np.testing.assert_allclose(actual, wanted, atol=1e-5)


@pytest.mark.parametrize("shape", MESHES, ids=str)
def test_every_mesh_takes_the_steps_of_one_device_with_dropout_too(alone, shape):
    step = make_step(DROPPING, TRAINING, make_mesh(shape), RING)
    for loss in ("all", "last"):
        assert_same(steps_of(step, shape, loss), alone[True, loss])


@pytest.mark.parametrize("shape", [MeshShape(2, 2, 2), MeshShape(1, 1, 8)], ids=str)
def test_gathered_keys_and_values_take_the_steps_of_one_device(alone, shape):
    assert_same(taken(CONFIG, shape), alone[False, "all"])


def test_micro_batches_take_the_step_of_the_whole_batch_with_dropout_too(alone):
    assert_same(taken(DROPPING, MeshShape(), "last", accumulate=4), alone[True, "last"])


def test_dropout_changes_the_step(alone):
    """Or the laws above would say nothing about it."""
    losses = {key: float(metrics[0].loss) for key, (_, metrics) in alone.items()}
    assert abs(losses[True, "all"] - losses[False, "all"]) > 1e-3


def test_a_loop_over_layers_computed_again_in_parts_takes_the_steps_of_one_device():
    config = dataclasses.replace(DROPPING, layers=2)
    state = jax.device_get(initial_state(config, TRAINING, make_mesh(MeshShape())))
    found = []
    for shape, options in (
        (MeshShape(), {}),
        (MeshShape(2, 2, 2), {"remat": "layer", "accumulate": 2}),
    ):
        step = make_step(config, dataclasses.replace(TRAINING, **options), make_mesh(shape), RING)
        found.append(steps_of(step, shape, "last", state))
    assert_same(*found)


@pytest.fixture
def cudnn(monkeypatch):
    """Let JAX trace programs, if not compile them, as on a GPU that has cuDNN."""
    for name, answer in (
        ("check_cudnn_version", 91000),
        ("check_compute_capability", True),
        ("is_cuda_compute_capability_equal", False),
    ):
        monkeypatch.setattr(fused_attention_stablehlo, name, lambda *_, answer=answer: answer)


@pytest.mark.usefixtures("cudnn")
@pytest.mark.parametrize(("remat", "times"), [("block", 1), ("attention", 1), ("layer", 2)])
def test_a_mesh_attends_by_cudnn_once_unless_all_is_computed_again(remat, times):
    config = dataclasses.replace(CONFIG, dtype="bfloat16", heads=2)
    training = dataclasses.replace(TRAINING, remat=remat)
    mesh = make_mesh(MeshShape(2, 2))
    batch = place_batch(batches("all", 1)[0], mesh)
    step = make_step(config, training, mesh, Attention(packed=flash_attention))
    with jax.numpy_dtype_promotion("standard"):
        program = step.trace(state_like(config, training, mesh), batch).jaxpr
    found = compiling.primitives(program.jaxpr)
    calls = {name: n for name, n in found.items() if "dot_product_attention" in name}
    assert calls == {
        "dot_product_attention_fwd_wrapper": times, "dot_product_attention_bwd_wrapper": 1
    }  # fmt: skip


def test_micro_batches_on_a_mesh_half_precision_and_dropout_repeat_themselves():
    config, mesh = dataclasses.replace(DROPPING, dtype="bfloat16"), make_mesh(MeshShape(1, 2, 2))
    step = make_step(config, dataclasses.replace(TRAINING, accumulate=2), mesh)

    def loss(number: int) -> float:
        state = first_state()._replace(step=np.int32(number))
        state = jax.device_put(state, state_sharding(mesh, state))
        return float(step(state, place_batch(batches("all", 2)[0], mesh))[1].loss)

    # In bfloat16 flax's layer norm relies on implicit promotion; our own code does not.
    with jax.numpy_dtype_promotion("standard"):
        first, metrics = steps_of(step, MeshShape(1, 2, 2))
        second, _ = steps_of(step, MeshShape(1, 2, 2), state=initial_state(config, TRAINING, mesh))
        losses = loss(7), loss(7), loss(8)
    jax.tree.map(np.testing.assert_array_equal, first, second)
    assert np.isfinite(metrics).all()
    leaves = zip(*map(jax.tree.leaves, (first_state().parameters, first.parameters)), strict=True)
    assert all(new.dtype == jnp.float32 and (old != new).any() for old, new in leaves)
    # A resumed run drops out what the first one would have.
    assert losses[0] == losses[1] != losses[2]


def test_a_state_keeps_its_place_on_the_mesh_and_nothing_is_compiled_twice():
    mesh = make_mesh(MeshShape(1, 2, 2))
    step, state = make_step(CONFIG, TRAINING, mesh), initial_state(CONFIG, TRAINING, mesh)
    for batch in (*batches("all", 2), *batches("all", 2)):
        state, _ = step(state, place_batch(batch, mesh))
    assert step._cache_size() == 1 and int(state.step) == 4
    like = state_like(CONFIG, TRAINING, mesh)
    assert jax.tree.map(lambda x: x.sharding, state) == jax.tree.map(lambda x: x.sharding, like)


FSDP = MeshShape(fsdp=8)


def compiled(policy, chain, shape: MeshShape, training=TRAINING, attention=None):
    """Return XLA's account of one device's memory in a step; nothing runs."""
    mesh = make_mesh(shape)
    batch = place_batch(batch_maker(policy, "all", mesh)(chain), mesh)
    step = make_step(policy, training, mesh, attention)
    return step.lower(state_like(policy, training, mesh), batch).compile().memory_analysis()


def test_a_devices_share_of_the_state_falls_with_fsdp():
    policy = synthetic.policy_config("1", width=64, feedforward=4)
    state = initial_state(policy, TRAINING, make_mesh(MeshShape(fsdp=8)))
    whole = sum(x.nbytes for x in jax.tree.leaves(state))
    mine = sum(x.addressable_shards[0].data.nbytes for x in jax.tree.leaves(state))
    assert mine < whole / 6  # vectors and what 8 does not divide stay whole
    chain = synthetic.chain(LENGTHS)
    one, eight = (compiled(policy, chain, MeshShape(fsdp=n, data=8 // n)) for n in (1, 8))
    saved = one.argument_size_in_bytes - eight.argument_size_in_bytes
    assert saved > 0.8 * (whole - mine)
    assert eight.alias_size_in_bytes >= mine  # the state's buffers are taken over


@pytest.mark.parametrize(("remat", "dtype"), [("none", "float32"), ("block", "bfloat16")])
def test_no_more_than_one_layer_is_ever_whole(remat, dtype):
    """In all a step on eight devices holds less than what all weights take where they are kept."""
    training = dataclasses.replace(TRAINING, remat=remat)
    policy = synthetic.policy_config("1", width=128, layers=8, dtype=dtype)
    weights = 8 * (4 + 2 * 2) * 128**2 * np.dtype("float32").itemsize
    with jax.numpy_dtype_promotion("standard"):
        found = compiled(policy, synthetic.chain(np.ones((8, 1), int)), FSDP, training)
    assert found.temp_size_in_bytes < 0.6 * weights


def test_sharded_layers_compute_the_feedforward_network_again():
    """The whole width of it, for all tokens, is most of what is kept otherwise."""
    policy = synthetic.policy_config("1", width=32, layers=2, feedforward=8, trajectories=1)
    policy = dataclasses.replace(policy, episode_length=256)
    chain = synthetic.chain(np.full((8, 1), 256), steps=256)
    kept, again = (
        compiled(policy, chain, FSDP, dataclasses.replace(TRAINING, remat=remat)).temp_size_in_bytes
        for remat in ("none", "block")
    )
    assert again < 0.6 * kept


def test_a_devices_memory_stays_when_devices_and_tokens_grow_together():
    def temporary(devices: int) -> int:
        """Of chains with a trajectory for each device."""
        policy = dataclasses.replace(
            synthetic.policy_config("1", trajectories=devices, block=64), episode_length=4096
        )
        chain = synthetic.chain(np.full((1, devices), 4096), steps=4096)
        found = compiled(policy, chain, MeshShape(sequence=devices), attention=RING)
        return found.temp_size_in_bytes

    one, eight = temporary(1), temporary(8)
    assert eight < 1.05 * one, (one, eight)
