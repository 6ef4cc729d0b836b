"""Attention maps against a softmax written out token by token, and their laws."""

import jax
import numpy as np
import pytest
from support.synthetic import LENGTHS, chain, parameters, policy_config, with_garbage

from agentic.errors import AgenticError
from agentic.network.attention_map import attention_map, uniform_attention_map
from agentic.network.parameters import bind, unstack
from agentic.network.tokens import flatten


def _inputs(config, weights, batch):
    """Return what each layer is given: a list of [B, S, W]."""

    @jax.jit
    def layers(weights, batch):
        model, flat = bind(config, unstack(weights)), flatten(config, batch)
        inputs = [model.embed(flat)]
        place = flat.place.reshape(inputs[0].shape[:2])
        for block in list(model.blocks)[:-1]:
            inputs.append(block(inputs[-1], place))
        return inputs

    return [np.asarray(x) for x in layers(weights, batch)]


def _softmax_map(config, block, x, lengths):
    """Return one layer's map [H, n, n] of one chain from the block's input x [S, W], float64."""
    norm, linear = block["attention_norm"], block["projection_in"]
    x = np.asarray(x, np.float64)
    x = x - x.mean(-1, keepdims=True)
    x = x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-6) * norm["scale"] + norm["bias"]
    size, n = config.head_size, len(lengths)
    qkv = (x @ linear["kernel"] + linear["bias"]).reshape(len(x), -1, size)
    per_trajectory = len(x) // n
    tokens = [-(-steps // config.action_chunk) * config.tokens_per_chunk for steps in lengths]
    present = [(j, j * per_trajectory + offset) for j in range(n) for offset in range(tokens[j])]
    result = np.zeros((config.heads, n, n))
    for head in range(config.heads):
        key_head = config.heads + head // (config.heads // config.groups)
        for i, query in present:
            seen = [(j, key) for j, key in present if key <= query]
            scores = [qkv[query, head] @ qkv[key, key_head] / size**0.5 for _, key in seen]
            weights = np.exp(scores) / np.exp(scores).sum()
            for (j, _), weight in zip(seen, weights, strict=True):
                result[head, i, j] += weight / tokens[i]
    return result


@pytest.mark.parametrize(("layout", "layers"), [("5", 1), ("chunk of 3", 2), ("grouped heads", 1)])
def test_map_is_the_softmax_written_out(layout, layers):
    config = policy_config(layout, layers=layers)
    batch, weights = chain(), parameters(config)
    found = np.asarray(attention_map(config, weights, batch))
    assert found.shape == (config.layers, 2, config.heads, 3, 3)
    blocks = unstack(weights)["blocks"]
    for layer, x in enumerate(_inputs(config, weights, batch)):
        for row, lengths in enumerate(LENGTHS):
            expected = _softmax_map(config, blocks[layer], x[row], lengths)
            np.testing.assert_allclose(found[layer, row], expected, atol=1e-5)


def test_a_narrow_head_holds_a_long_chain():
    """Codes of six trajectories do not fit a head of four channels; the map must not notice."""
    config = policy_config("1", heads=4, trajectories=6, layers=1)
    lengths = np.array([[2, 3, 1, 7, 5, 4]])
    batch, weights = chain(lengths), parameters(config)
    [x] = _inputs(config, weights, batch)
    block = unstack(weights)["blocks"][0]
    expected = _softmax_map(config, block, x[0], lengths[0])
    np.testing.assert_allclose(attention_map(config, weights, batch)[0, 0], expected, atol=1e-5)


@pytest.mark.parametrize("layout", ["5", "chunk of 3"])
def test_uniform_map_counts_the_tokens_in_sight(layout):
    config = policy_config(layout)
    found = np.asarray(uniform_attention_map(config, chain()))
    for row, lengths in enumerate(LENGTHS):
        tokens = [-(-steps // config.action_chunk) * config.tokens_per_chunk for steps in lengths]
        for i, j in np.ndindex(3, 3):
            before = sum(tokens[:i])
            own = [(t if j == i else tokens[j] * (j < i)) / (before + t)
                   for t in range(1, tokens[i] + 1)]  # fmt: skip
            np.testing.assert_allclose(found[row, i, j], np.mean(own), atol=1e-6)


def test_absent_trajectories_neither_look_nor_are_seen():
    """Rows of present trajectories sum to 1 and hold no mass on later ones or on padding."""
    config = policy_config("chunk of 3")
    batch, weights = chain(np.array([[7, 4, 0], [3, 7, 2]])), parameters(config)
    maps = attention_map(config, weights, batch)
    for found in (*np.asarray(maps)[:, :, 0], np.asarray(uniform_attention_map(config, batch))):
        np.testing.assert_allclose(found.sum(-1), [[1, 1, 0], [1, 1, 1]], atol=1e-5)
        assert (np.triu(found, k=1) == 0).all()
        assert (found[0, :, 2] == 0).all()
        assert (np.tril(found[1]) + np.triu(np.ones((3, 3)), k=1) > 0).all()
    noisy = attention_map(config, weights, with_garbage(batch))
    np.testing.assert_array_equal(noisy, maps)


def test_a_policy_of_equal_keys_shows_the_uniform_map():
    """Where keys do not depend on their tokens, attention is uniform in every layer."""
    config = policy_config("chunk of 3")
    weights, batch = parameters(config), chain()
    blocks = weights["blocks"]
    blocks = blocks | {"projection_in": jax.tree.map(np.zeros_like, blocks["projection_in"])}
    found = attention_map(config, weights | {"blocks": blocks}, batch)
    uniform = np.asarray(uniform_attention_map(config, batch))
    np.testing.assert_allclose(found[:, :, 0], np.stack([uniform] * 2), atol=1e-6)


def test_longer_trajectories_than_the_policys_are_refused():
    config = policy_config("1", trajectories=2)
    batch = chain(np.array([[9, 9]]), steps=9)
    for ask in (
        lambda: attention_map(config, parameters(config), batch),
        lambda: uniform_attention_map(config, batch),
    ):
        with pytest.raises(AgenticError, match="have 9 steps; this policy's have at most 7"):
            ask()
