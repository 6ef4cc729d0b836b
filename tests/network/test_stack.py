"""Layers in a loop are the layers one by one; what is recomputed or packed changes nothing."""

from functools import partial

import jax
import numpy as np
import pytest
from support import compiling, synthetic

from agentic.attention import blockwise_attention
from agentic.errors import AgenticError
from agentic.network.parameters import bind, unstack
from agentic.network.stack import REMATS, WRITTEN_OUT, Attention, check_remat
from agentic.network.tokens import flatten
from agentic.training.batch import make_batch
from agentic.training.loss import error_sums


@pytest.fixture(scope="module", autouse=True)
def compiled_plainly():
    with compiling.plainly():
        yield


def loss_and_gradient(config, order=None, **how):
    """Return the compiled loss over all steps; the chunks are put in `order` first."""

    def loss(parameters, chain):
        batch = make_batch(config, "all", 1, chain)
        if order is not None:
            batch = synthetic.reordered(batch, order)
        error, weight = error_sums(bind(config, parameters), batch, **how)
        return error / weight

    return jax.jit(jax.value_and_grad(loss))


def assert_close(expected, found, atol):
    jax.tree.map(partial(np.testing.assert_allclose, atol=atol), found, expected)


@pytest.fixture(scope="module")
def kept():
    """Return a deep configuration, and its loss and gradient with everything kept."""
    config = synthetic.policy_config("1", layers=WRITTEN_OUT + 1, block=4)
    case = synthetic.parameters(config), synthetic.chain()
    return config, case, loss_and_gradient(config, remat="none")(*case)


@pytest.mark.parametrize("remat", [name for name in REMATS if name != "none"])
def test_what_is_computed_again_is_the_same(kept, remat):
    config, case, expected = kept
    assert_close(expected, loss_and_gradient(config, remat=remat)(*case), atol=1e-5)


def test_offloading_where_it_cannot_be_done_is_one_sentence():
    with pytest.raises(AgenticError, match=r"host's memory \(they have device\); take 'layer'"):
        check_remat("offload", ["device"])
    check_remat("offload", ["device", "pinned_host"])
    check_remat("layer", ["device"])


@pytest.mark.parametrize("count", [2, WRITTEN_OUT + 1])
def test_layers_in_a_loop_are_the_layers_one_by_one(count):
    config = synthetic.policy_config("1", layers=count)
    parameters, inputs = synthetic.parameters(config), flatten(config, synthetic.chain())

    @jax.jit
    def one_by_one(parameters):
        network = bind(config, unstack(parameters))
        x, place = network.embed(inputs), inputs.place[..., 0]
        for block in network.blocks:
            x = block(x, place)
        return network.read(x)

    looped = jax.jit(lambda parameters: bind(config, parameters)(inputs))(parameters)
    np.testing.assert_allclose(looped, one_by_one(parameters), atol=1e-5)


def test_packed_rows_give_the_loss_of_rows_as_they_are():
    """As on a GPU, with blocks in cuDNN's place; with dropout, which follows the tokens."""
    config = synthetic.policy_config("5", dropout=0.3)
    case = synthetic.parameters(config), synthetic.chain()
    count = flatten(config, case[1]).chunk.shape[1]
    order = np.random.default_rng(1).permutation(count)
    key = jax.random.key(0)
    expected = loss_and_gradient(config, key=key)(*case)
    packed = Attention(packed=blockwise_attention)
    found = loss_and_gradient(config, order, key=key, remat="attention", attention=packed)(*case)
    assert_close(expected, found, atol=2e-5)


def test_attention_that_is_kept_is_not_computed_again(kept):
    config = synthetic.policy_config("1", layers=1)
    parameters, chain = synthetic.parameters(config), kept[1][1]

    def exponentials(remat):
        step = loss_and_gradient(config, remat=remat)
        return compiling.primitives(jax.make_jaxpr(step)(parameters, chain).jaxpr)["exp"]

    assert exponentials("attention") == exponentials("block") < exponentials("layer")
