"""Every mesh of eight devices takes the step that one device takes; memory falls as promised."""

import dataclasses
from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax._src.cudnn import fused_attention_stablehlo
from support import compiling, synthetic

from agentic.training.loop import TrainingConfig, initial_state, make_step, state_like
from agentic.training.mesh import MeshShape, make_mesh, state_sharding
from agentic.training.sharded import deal, make_mesh_step, place_share

CONFIG = synthetic.policy_config("chunk of 3")
CONFIG = dataclasses.replace(CONFIG, layers=1)
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


@pytest.fixture(scope="module", autouse=True)
def compiled_plainly():
    with compiling.plainly():
        yield


@lru_cache
def batch(index: int):
    return synthetic.chain(LENGTHS, seed=index)


@lru_cache
def dealer(loss: str, sequence: int):
    return deal(CONFIG, loss, make_mesh(MeshShape(sequence=sequence)))


@lru_cache
def first_state():
    return jax.device_get(initial_state(CONFIG, TRAINING))


def steps_on(mesh, step, loss, state=None):
    """Return state and metrics after two steps."""
    # Put there instead of drawn there, which would be one more program to compile.
    state = state or jax.device_put(first_state(), state_sharding(mesh, first_state()))
    metrics = []
    for index in range(2):
        share = dealer(loss, mesh.shape["sequence"])(batch(index))
        state, found = step(state, place_share(share, mesh))
        metrics.append(jax.device_get(found))
    return state, metrics


@pytest.fixture(scope="module")
def alone():
    """Return {loss: (state, metrics)} of one device."""
    found = {}
    for loss in ("all", "last"):
        training = dataclasses.replace(TRAINING, loss=loss)
        step, state = make_step(CONFIG, training), jax.tree.map(jnp.asarray, first_state())
        metrics = []
        for index in range(2):
            state, taken = step(state, batch(index))
            metrics.append(jax.device_get(taken))
        found[loss] = state, metrics
    return found


def assert_same(found, expected):
    for actual, wanted in zip(found[1], expected[1], strict=True):
        np.testing.assert_allclose(actual, wanted, rtol=1e-5)
    for actual, wanted in zip(*map(jax.tree.leaves, (found[0], expected[0])), strict=True):
        np.testing.assert_allclose(actual, wanted, atol=1e-5)


@pytest.fixture
def ringing(monkeypatch):
    """Let keys and values of sequences this short travel a ring all the same."""
    monkeypatch.setattr("agentic.attention.dispatch.GATHERED", 0)


@pytest.mark.usefixtures("ringing")
@pytest.mark.parametrize("shape", MESHES, ids=str)
def test_every_mesh_takes_the_steps_of_one_device(alone, shape):
    mesh = make_mesh(shape)
    step = make_mesh_step(CONFIG, TRAINING, mesh)
    for loss, expected in alone.items():  # one program: which steps count comes with the batch
        assert_same(steps_on(mesh, step, loss), expected)
    assert step._cache_size() == 1


@pytest.mark.parametrize("shape", [MeshShape(2, 2, 2), MeshShape(1, 1, 8)], ids=str)
def test_gathered_keys_and_values_take_the_steps_of_one_device(alone, shape):
    mesh = make_mesh(shape)
    step = make_mesh_step(CONFIG, TRAINING, mesh)
    assert_same(steps_on(mesh, step, "all"), alone["all"])


@pytest.mark.usefixtures("ringing")
def test_a_loop_over_layers_computed_again_in_parts_takes_the_steps_of_one_device():
    policy = dataclasses.replace(CONFIG, layers=2)
    state = jax.device_get(initial_state(policy, TRAINING))
    step, mine, metrics = make_step(policy, TRAINING), jax.tree.map(jnp.asarray, state), []
    for index in range(2):
        mine, found = step(mine, batch(index))
        metrics.append(jax.device_get(found))
    mesh = make_mesh(MeshShape(2, 2, 2))
    training = dataclasses.replace(TRAINING, remat="layer", accumulate=2)
    placed = jax.device_put(state, state_sharding(mesh, state))
    found = steps_on(mesh, make_mesh_step(policy, training, mesh), "last", placed)
    assert_same(found, (mine, metrics))


@pytest.fixture
def cudnn(monkeypatch):
    """Let programs be traced, if not compiled, as on a GPU that has cuDNN."""
    for name, answer in (
        ("check_cudnn_version", 91000),
        ("check_compute_capability", True),
        ("is_cuda_compute_capability_equal", False),
    ):
        monkeypatch.setattr(fused_attention_stablehlo, name, lambda *_, answer=answer: answer)
    monkeypatch.setattr("agentic.network.stack._by_flash", lambda *_: True)


@pytest.mark.usefixtures("cudnn")
@pytest.mark.parametrize(("remat", "times"), [("block", 1), ("attention", 1), ("layer", 2)])
def test_a_mesh_attends_by_cudnn_once_unless_all_is_computed_again(remat, times):
    policy = dataclasses.replace(CONFIG, dtype="bfloat16", heads=2, dropout=0.0)
    training = dataclasses.replace(TRAINING, remat=remat)
    mesh = make_mesh(MeshShape(2, 2))
    share = place_share(deal(policy, "all", mesh)(batch(0)), mesh)
    step = make_mesh_step(policy, training, mesh)
    with jax.numpy_dtype_promotion("standard"):
        program = step.trace(state_like(policy, training, mesh), share).jaxpr
    found = compiling.primitives(program.jaxpr)
    calls = {name: n for name, n in found.items() if "dot_product_attention" in name}
    assert calls == {
        "dot_product_attention_fwd_wrapper": times, "dot_product_attention_bwd_wrapper": 1
    }  # fmt: skip


def test_micro_batches_take_the_step_of_the_whole_batch(alone):
    training = dataclasses.replace(TRAINING, accumulate=4)
    step, state, metrics = make_step(CONFIG, training), jax.tree.map(jnp.asarray, first_state()), []
    for index in range(2):
        state, found = step(state, batch(index))
        metrics.append(jax.device_get(found))
    assert_same((state, metrics), alone["last"])
    assert step._cache_size() == 1


def test_micro_batches_on_a_mesh_half_precision_and_dropout_repeat_themselves():
    policy = dataclasses.replace(CONFIG, dtype="bfloat16", dropout=0.3)
    mesh = make_mesh(MeshShape(1, 2, 2))
    step = make_mesh_step(policy, dataclasses.replace(TRAINING, accumulate=2), mesh)
    # In bfloat16 flax's layer norm relies on implicit promotion; our own code does not.
    with jax.numpy_dtype_promotion("standard"):
        first, metrics = steps_on(mesh, step, "all")
        drawn = initial_state(policy, TRAINING, mesh)
        second, _ = steps_on(mesh, step, "all", drawn)
    jax.tree.map(np.testing.assert_array_equal, first, second)
    assert np.isfinite(metrics).all()
    moments = jax.tree.leaves((first.parameters, first.optimizer))
    assert {x.dtype for x in moments} == {jnp.dtype("float32"), jnp.dtype("int32")}
    like = state_like(policy, TRAINING, mesh)
    assert jax.tree.map(lambda x: x.sharding, first) == jax.tree.map(lambda x: x.sharding, like)


FSDP = MeshShape(fsdp=8)


def compiled(policy, chain, shape: MeshShape, training=TRAINING):
    """Return XLA's account of one device's memory in a step; nothing runs."""
    mesh = make_mesh(shape)
    share = deal(policy, "all", mesh)(chain)
    step = make_mesh_step(policy, training, mesh)
    state = state_like(policy, training, mesh)
    return step.lower(state, place_share(share, mesh)).compile().memory_analysis()


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


@pytest.mark.usefixtures("ringing")
def test_a_devices_memory_stays_when_devices_and_tokens_grow_together():
    def temporary(devices: int) -> int:
        """Of chains with a trajectory for each device."""
        policy = dataclasses.replace(
            synthetic.policy_config("1", trajectories=devices, block=64), episode_length=4096
        )
        chain = synthetic.chain(np.full((1, devices), 4096), steps=4096)
        return compiled(policy, chain, MeshShape(sequence=devices)).temp_size_in_bytes

    one, eight = temporary(1), temporary(8)
    assert eight < 1.05 * one, (one, eight)
