"""Flat inputs: any order gives the same latents and loss; what is recomputed changes nothing."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import compiling, synthetic

from agentic.attention import blockwise_attention
from agentic.errors import AgenticError
from agentic.network.stack import REMATS, UNROLLED, bind, run_layers
from agentic.network.tokens import flatten
from agentic.training.loop import chain_loss, loss_weight, squared_error


@pytest.fixture(scope="module", autouse=True)
def compiled_plainly():
    with compiling.plainly():
        yield


def flat_loss(config, loss, order=None, **options):
    """Return the compiled loss of flat inputs, their chunks put in `order` first."""

    def value(parameters, chain):
        inputs = flatten(config, chain)
        weight = loss_weight(inputs, loss)
        if order is not None:
            inputs, weight = jax.tree.map(lambda x: x[:, order], (inputs, weight))
        network, latents = run_layers(config, parameters, inputs, **options)
        error = squared_error(network, latents, inputs.observations, inputs.actions, weight)
        return error / weight.sum()

    return jax.jit(jax.value_and_grad(value))


@pytest.mark.parametrize("layout, loss", [("5", "last"), ("1", "all"), ("chunk of 3", "last")])
def test_every_order_of_the_chunks_gives_the_loss_of_the_chain(layout, loss):
    config = synthetic.policy_config(layout)
    parameters, chain = synthetic.parameters(config), synthetic.chain()
    count = flatten(config, chain).chunk.shape[1]
    order = np.random.default_rng(0).permutation(count)
    expected = jax.jit(jax.value_and_grad(lambda p: chain_loss(config, p, chain, loss, None)))(
        parameters
    )
    found = flat_loss(config, loss, order)(parameters, chain)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-5), expected, found)


@pytest.fixture(scope="module")
def kept():
    """Return a deep configuration, and its loss and gradient with everything kept."""
    config = synthetic.policy_config("1", layers=UNROLLED + 1, block=4)
    case = synthetic.parameters(config), synthetic.chain()
    return config, case, flat_loss(config, "all", remat="none")(*case)


@pytest.mark.parametrize("remat", [name for name in REMATS if name != "none"])
def test_what_is_computed_again_is_the_same(kept, remat):
    config, case, expected = kept
    found = flat_loss(config, "all", remat=remat)(*case)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), expected, found)


def test_offloading_where_it_cannot_be_done_is_one_sentence(kept, monkeypatch):
    config, (parameters, chain), _ = kept
    monkeypatch.setattr("agentic.network.stack._memories", lambda: ["device"])
    with pytest.raises(AgenticError, match=r"host's memory \(they have device\); take 'layer'"):
        run_layers(config, parameters, flatten(config, chain), remat="offload")


def test_many_layers_in_a_loop_are_the_layers_one_by_one(kept):
    config, (parameters, chain), _ = kept
    one_by_one = jax.jit(lambda p, chain: bind(config, p).latents(chain))(parameters, chain)
    looped = jax.jit(lambda p, chain: run_layers(config, p, flatten(config, chain))[1])(
        parameters, chain
    )
    np.testing.assert_allclose(one_by_one.reshape(looped.shape), looped, atol=1e-5)


@pytest.fixture
def packed(monkeypatch):
    """Let layers run as on a GPU, on packed rows, and blocks stand in for cuDNN."""
    monkeypatch.setattr("agentic.network.stack._by_flash", lambda *_: True)
    monkeypatch.setattr("agentic.network.stack.flash_attention", blockwise_attention)


def test_packed_rows_give_the_loss_of_rows_as_they_are(request):
    config = synthetic.policy_config("5")
    case = synthetic.parameters(config), synthetic.chain()
    order = np.random.default_rng(1).permutation(flatten(config, case[1]).chunk.shape[1])
    expected = flat_loss(config, "all")(*case)
    request.getfixturevalue("packed")
    found = flat_loss(config, "all", order, remat="attention")(*case)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-5), expected, found)


def test_attention_that_is_kept_is_not_computed_again(kept):
    config = synthetic.policy_config("1", layers=1)
    parameters, chain = synthetic.parameters(config), kept[1][1]

    def exponentials(remat):
        step = flat_loss(config, "all", remat=remat)
        return compiling.primitives(jax.make_jaxpr(step)(parameters, chain).jaxpr)["exp"]

    assert exponentials("attention") == exponentials("block") < exponentials("layer")


def test_long_sequences_are_decoded_in_blocks_to_the_same_loss(monkeypatch):
    config = synthetic.policy_config("chunk of 3")
    parameters, chain = synthetic.parameters(config), synthetic.chain()
    whole = flat_loss(config, "all")(parameters, chain)
    monkeypatch.setattr("agentic.training.loop.DECODED", 4)
    blocks = flat_loss(config, "all")(parameters, chain)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), whole, blocks)


def test_with_dropout_a_loop_over_layers_draws_for_each_its_own(kept):
    config = synthetic.policy_config("1", layers=UNROLLED + 1, dropout=0.5)
    parameters, chain = kept[1]
    inputs = flatten(config, chain)
    run = jax.jit(lambda key: run_layers(config, parameters, inputs, key)[1])
    first, again, other = (run(jax.random.key(seed)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert jnp.isfinite(first).all() and (first != other).any()
