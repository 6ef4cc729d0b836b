"""A network makes of a window the tokens that the whole chain has there."""

from functools import partial

import jax
import numpy as np
import pytest
from support import compiling, synthetic

from agentic.dataset import ChainSampler, Dataset
from agentic.network.parameters import bind
from agentic.network.tokens import flatten
from agentic.training.batch import make_batch
from agentic.trajectory import Trajectory


@pytest.fixture(scope="module", autouse=True)
def compiled_plainly():
    with compiling.plainly():
        yield


def dataset(*lengths: int) -> Dataset:
    rng = np.random.default_rng(2)
    return Dataset.from_trajectories("made_up", [
        Trajectory(
            rng.normal(size=(steps, synthetic.OBSERVATIONS)).astype(np.float32),
            rng.uniform(-1, 1, (steps, synthetic.ACTIONS)).astype(np.float32),
            rng.random(steps).astype(np.float32),
        )
        for steps in lengths
    ])  # fmt: skip


def samplers(config, data, window):
    options = {"trajectories": 3, "batch_size": 4, "count": "uniform", "best_fraction": 1.0}
    align = config.action_chunk
    return ChainSampler(data, **options), ChainSampler(data, window=window, align=align, **options)


@pytest.mark.parametrize("layout", ["5", "1", "chunk of 3"])
def test_the_tokens_of_a_window_are_those_of_the_whole_chain_there(layout):
    config, data = synthetic.policy_config(layout), dataset(7, 5, 7, 6, 7)
    c, m = config.action_chunk, config.tokens_per_chunk
    whole, cut = samplers(config, data, 3)

    @jax.jit
    def tokens(batch):
        inputs = flatten(config, batch)
        x = bind(config, synthetic.parameters(config)).embed(inputs)
        x = x.reshape(*batch.mask.shape[:2], -1, m, config.width)
        return x, inputs.place.reshape(x.shape[:-1])

    starts = set()
    for step in range(6):
        chain, window = whole(step), cut(step)
        (x, _), (ours, place) = jax.device_get((tokens(chain), tokens(window)))
        assert ((place >= 0).any(-1).sum(-1) == -(-window.mask.sum(-1) // c)).all()
        for b, k, t in zip(*np.nonzero(window.mask[..., ::c]), strict=True):
            there = x[b, k, window.start[b] // c + t]
            np.testing.assert_allclose(ours[b, k, t], there, atol=1e-5)
        starts |= set(window.start.tolist())
    assert len(starts) > 1


@pytest.mark.parametrize("loss", ["all", "last"])
@pytest.mark.parametrize("layout", ["5", "chunk of 3"])
def test_a_window_as_long_as_the_episodes_is_the_batch_of_the_chain(layout, loss):
    config = synthetic.policy_config(layout)
    whole, cut = samplers(config, dataset(6, 5, 6, 6), 6)
    made = jax.jit(partial(make_batch, config, loss, 1))
    ours, theirs = (made(sampler(0)) for sampler in (cut, whole))
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)


def test_chains_compile_as_if_there_were_no_windows():
    """Only a window's program knows its start: a chain's has as many inputs as a chain."""
    config, data = synthetic.policy_config("chunk of 3"), dataset(6, 6, 6)
    whole, cut = (sampler(0) for sampler in samplers(config, data, 3))

    def inputs(batch) -> int:
        return len(jax.make_jaxpr(partial(make_batch, config, "all", 1))(batch).in_avals)

    assert (inputs(whole), inputs(cut)) == (6, 10)
