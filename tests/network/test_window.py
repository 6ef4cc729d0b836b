"""A policy makes of a window the tokens that the whole chain has there."""

import jax
import numpy as np
import pytest
from support import compiling, synthetic

from agentic.dataset import ChainSampler, Dataset
from agentic.network.stack import bind
from agentic.training.loop import chain_loss
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
        x, place, _ = bind(config, synthetic.parameters(config)).tokens(batch, None)
        x = x.reshape(*batch.mask.shape[:2], -1, m, config.width)
        return x, place.reshape(x.shape[:-1])

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
def test_a_window_as_long_as_the_episodes_has_the_loss_of_the_chain(layout, loss):
    config = synthetic.policy_config(layout)
    whole, cut = samplers(config, dataset(6, 5, 6, 6), 6)
    parameters = synthetic.parameters(config)
    ours, theirs = (
        jax.jit(lambda batch: chain_loss(config, parameters, batch, loss, None))(sampler(0))
        for sampler in (cut, whole)
    )
    assert float(ours) == pytest.approx(float(theirs), rel=1e-6)


def test_chains_compile_as_if_there_were_no_windows():
    """Only a window's program knows its start: a chain's has as many inputs as a chain."""
    config, data = synthetic.policy_config("chunk of 3"), dataset(6, 6, 6)
    parameters = synthetic.parameters(config)
    whole, cut = (sampler(0) for sampler in samplers(config, data, 3))

    def inputs(batch) -> int:
        step = jax.make_jaxpr(lambda batch: chain_loss(config, parameters, batch, "all", None))
        return len(step(batch).in_avals)

    assert (inputs(whole), inputs(cut)) == (6, 10)
