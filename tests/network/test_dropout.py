"""Dropout is a function of the key and the token, at the right rate, in every place another."""

import jax
import numpy as np
import pytest
from support import compiling, synthetic

from agentic.network.dropout import dropout, fold, token_keys
from agentic.network.parameters import bind
from agentic.network.stack import WRITTEN_OUT
from agentic.network.tokens import flatten

ROWS, TOKENS, WIDTH, RATE = 3, 40, 64, 0.3


@pytest.fixture(scope="module", autouse=True)
def compiled_plainly():
    with compiling.plainly():
        yield


@jax.jit
def dropped(seed, number, row, place):
    """Return which of ones [rows, tokens, WIDTH] are dropped."""
    keys = fold(token_keys(jax.random.key(seed), row, place), number)
    return dropout(np.ones((*place.shape, WIDTH), np.float32), RATE, keys) == 0


def mask(seed=0, number=0, first=0, places=None):
    places = np.arange(TOKENS) if places is None else places
    place = np.broadcast_to(places, (ROWS, TOKENS)).astype(np.int32)
    return np.asarray(dropped(seed, number, first + np.arange(ROWS), place))


def test_as_many_are_dropped_as_the_rate_says_and_the_rest_is_rescaled():
    found = np.concatenate([mask(number=number) for number in range(8)])
    spread = (RATE * (1 - RATE) / found.size) ** 0.5
    assert abs(found.mean() - RATE) < 4 * spread
    # In every channel and at every place about as often.
    for axes in ((0, 1), (0, 2)):
        rate = found.mean(axis=axes)
        assert np.abs(rate - RATE).max() < 5 * spread * rate.size**0.5
    keys = token_keys(jax.random.key(0), np.arange(1), np.arange(4)[None])
    kept = np.asarray(dropout(np.ones((1, 4, 8), np.float32), 0.5, keys))
    assert set(np.unique(kept)) == {0.0, 2.0}


def test_another_seed_number_row_or_place_drops_others():
    """Two masks that know nothing of each other agree in 1 - 2 rate (1 - rate) of all places."""
    here, chance = mask(), 1 - 2 * RATE * (1 - RATE)
    others = [
        mask(seed=1),
        mask(number=1),
        mask(first=ROWS),
        mask(places=TOKENS + np.arange(TOKENS)),
    ]
    others += [np.roll(here, 1, axis=axis) for axis in range(3)]
    for other in others:
        assert abs((here == other).mean() - chance) < 0.03


def test_a_token_drops_the_same_wherever_it_is_computed():
    order = np.random.default_rng(0).permutation(TOKENS)
    np.testing.assert_array_equal(mask(places=order), mask()[:, order])
    np.testing.assert_array_equal(mask(first=1)[:-1], mask()[1:])


def test_without_keys_or_at_rate_0_nothing_is_dropped():
    x = np.ones((1, 2, 4), np.float32)
    assert dropout(x, 0.5, None) is x
    assert dropout(x, 0.0, token_keys(jax.random.key(0), np.arange(1), np.arange(2)[None])) is x
    assert fold(None, 3) is None


@pytest.mark.parametrize("layers", [2, WRITTEN_OUT + 1])
def test_every_layer_drops_its_own(layers):
    """Alike layers that only pass on and add what they are given differ by what they drop."""
    config = synthetic.policy_config("1", layers=layers, dropout=0.5)
    parameters, inputs = synthetic.parameters(config), flatten(config, synthetic.chain())
    run = jax.jit(lambda key: bind(config, parameters)(inputs, key))
    first, again, other = (np.asarray(run(jax.random.key(seed))) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert np.isfinite(first).all() and (first != other).any()
