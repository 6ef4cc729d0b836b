"""The key/value cache: updated in place, split over devices, narrow, filled in blocks."""

import dataclasses

import jax
import numpy as np
import pytest
from support import synthetic
from support.lived import act_through, as_lived

from agentic.acting.compiled import cache_mesh, compiled
from agentic.acting.context import ContextPolicy
from agentic.attention import dense_attention
from agentic.attention.cached import cached_attention
from agentic.errors import AgenticError
from agentic.network.cache import empty_cache
from agentic.network.decoding import Step
from agentic.network.parameters import initialize, unstack
from agentic.trajectory import Chain

LONG = np.array([[7, 4, 6, 1], [2, 7, 5, 7]])


def policy_of(config, **options) -> ContextPolicy:
    return ContextPolicy(config, synthetic.parameters(config), synthetic.TARGET, **options)


def one_step(config, batch: int) -> Step:
    whole, c = np.zeros(batch, np.int32), config.action_chunk
    outcome = np.zeros((batch, c), np.float32)
    return Step(
        np.zeros(batch, np.float32), np.zeros((batch, config.observation_size), np.float32),
        np.zeros((batch, c, config.action_size), np.float32), outcome, outcome,
        whole, whole, whole - 1, whole - 1, np.ones(batch, bool),
    )  # fmt: skip


def memory(work: str, dtype: str, devices: int, block: int = 8):
    """Return XLA's account of a device, and the bytes that it keeps of a cache and of one layer's
    keys: of a "step" of two contexts of 12,000 steps, or of the "prefill" of one.
    """
    config = synthetic.policy_config("5", block=block)
    config = dataclasses.replace(config, episode_length=4000)
    mesh = None if devices == 1 else cache_mesh(devices)
    functions = compiled(config, dtype, mesh)
    batch = 2 if work == "step" else 1
    cache = functions.empty.lower(batch).compile().output_shardings
    shapes = jax.eval_shape(lambda: empty_cache(config, batch, dtype, devices))
    cache = jax.tree.map(
        lambda x, place: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place), shapes, cache
    )
    weights = jax.eval_shape(lambda: unstack(initialize(config, jax.random.key(0))))
    if work == "step":
        latents = jax.ShapeDtypeStruct((batch, config.width), np.float32)
        program = functions.extend.lower(weights, cache, latents, one_step(config, batch))
    else:
        chain = synthetic.chain(np.full((1, 3), 4000), steps=4000)
        program = functions.prefill.lower(weights, cache, chain)
    whole, layer = (sum(map(nbytes, jax.tree.leaves(x))) for x in (shapes, shapes.layers[0].keys))
    return program.compile().memory_analysis(), whole // devices, layer // devices


def nbytes(x) -> int:
    return x.size * x.dtype.itemsize


@pytest.mark.parametrize(
    ("dtype", "devices"), [("float32", 1), ("bfloat16", 1), ("float32", 2), ("bfloat16", 4)]
)
def test_a_step_updates_the_cache_in_place(dtype, devices):
    """Of the compiled step: its output is its input's memory, and no copy of a layer lies aside."""
    found, whole, layer = memory("step", dtype, devices)
    assert found.alias_size_in_bytes == whole + 2 * synthetic.policy_config("5").width * 4
    assert found.temp_size_in_bytes < layer


@pytest.mark.parametrize("devices", [1, 2])
def test_a_prompt_is_filled_in_place_and_takes_the_memory_of_a_block(devices):
    found, whole, _ = memory("prefill", "float32", devices, block=64)
    at_once, *_ = memory("prefill", "float32", devices, block=10**6)
    assert found.alias_size_in_bytes == at_once.alias_size_in_bytes == whole
    assert found.temp_size_in_bytes < 0.5 * at_once.temp_size_in_bytes


@pytest.mark.parametrize("devices", [2, 4])
def test_a_cache_split_over_devices_acts_as_one_device_does(devices):
    """Three trajectories of seven tokens: no number of devices here divides the slots."""
    config, chain = synthetic.policy_config("1"), as_lived(synthetic.chain(LONG))
    actual = {}
    for name, mesh in (("one", None), ("split", cache_mesh(devices))):
        policy = policy_of(config, mesh=mesh)
        policy.prefill(Chain(*(x[:, :2] for x in chain)))
        actual[name] = act_through(policy, Chain(*(x[:, 2:] for x in chain)))
        held = [x.sharding.shard_shape(x.shape)[2] for x in jax.tree.leaves(policy._cache.layers)]
        slots = -(-config.trajectories * config.tokens_per_trajectory // devices)
        assert name == "one" or set(held) == {slots}
    np.testing.assert_allclose(actual["split"], actual["one"], atol=1e-5)


@pytest.mark.parametrize("devices", [1, 2])
def test_nothing_is_compiled_after_the_first_step_whatever_ends_or_is_evicted(devices, caplog):
    config, chain = synthetic.policy_config("chunk of 3"), as_lived(synthetic.chain(LONG))
    compiled.cache_clear()
    policy = policy_of(config, mesh=None if devices == 1 else cache_mesh(devices))
    policy.reset(2)
    with jax.log_compiles():
        policy.act(chain.observations[:, 0, 0])
        # Seen here, or the silence below would prove nothing.
        assert "Compiling jit(extend)" in caplog.text and "Compiling jit(act)" in caplog.text
        caplog.clear()
        policy.reset(2)
        act_through(policy, chain)
    assert "Compiling" not in caplog.text


def test_a_narrow_cache_acts_nearly_as_a_wide_one():
    config, chain = synthetic.policy_config("1"), as_lived(synthetic.chain(LONG))
    wide, narrow = policy_of(config), policy_of(config, cache_dtype="bfloat16")
    for policy in (wide, narrow):
        policy.reset(2)
    difference = np.abs(act_through(wide, chain) - act_through(narrow, chain))
    # Eight bits of mantissa: 2^-8 of values of order one, through one layer and tanh.
    assert 0 < np.nanmax(difference) < 0.05
    with pytest.raises(AgenticError, match="cache_dtype is 'float16'"):
        policy_of(config, cache_dtype="float16").reset(1)


@pytest.mark.parametrize(
    ("used", "block", "size"), [(13, 9, 8), (13, 3, 8), (18, 16, 8), (18, None, 2**15)]
)
def test_blocks_of_the_cache_add_up_to_dense_attention(used, block, size):
    """Blocks that divide the 18 slots and others, and of such wide heads 8 slots by default;
    grouped heads; an absent query."""
    rng = np.random.default_rng(0)
    q = rng.normal(size=(2, 3, 4, size)).astype(np.float32)
    k, v = rng.normal(size=(2, 2, 2, 18, size)).astype(np.float32)
    places = np.where(rng.random((2, 18)) < 0.7, rng.permutation(18), -1).astype(np.int32)
    places[:, used:] = -1
    mine = np.array([[3, 9, 15], [7, -1, 0]], np.int32)
    actual = cached_attention(
        q, k, v, q_positions=mine, kv_positions=places, used=used, block=block
    )
    expected = dense_attention(
        q, k.swapaxes(1, 2), v.swapaxes(1, 2), q_positions=mine, kv_positions=places
    )
    np.testing.assert_allclose(actual, expected, atol=1e-5)
    assert (np.asarray(actual)[1, 1] == 0).all()


@pytest.mark.parametrize("block", [4, 5])
def test_a_prompt_is_filled_in_blocks_as_in_one(block):
    config = synthetic.policy_config("5", block=64)
    chain = as_lived(synthetic.chain())
    once = policy_of(config)
    once.prefill(chain)
    parts = policy_of(dataclasses.replace(config, block=block))
    parts.prefill(chain)
    for a, b in zip(jax.tree.leaves(once._cache), jax.tree.leaves(parts._cache), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
