"""The policy written out token by token in NumPy float64: no batch, no padding, no cache.

A token sees the whole trajectories among the last `config.trajectories`, its own included.

Episodes are lists of unpadded Chains [T_k, ...], as `synthetic.episodes` returns them.
"""

import jax
import numpy as np

from agentic.network.parameters import unstack


def actions(config, parameters, episodes, first=0):
    """Return the action of every step of every episode: a list of [T_k, A].

    Args:
      episodes: what one context lives through, in order.
      first: index that the first of them has in its context.
    """
    # Not JAX's, which would compute in float32, and compile an operation for every shape.
    parameters = jax.tree.map(np.asarray, unstack(parameters))
    tokens, reads = _tokens(config, parameters, episodes, first)
    order, oldest = range(len(tokens)), [token["now"] - config.trajectories for token in tokens]
    x, layers = np.stack([token["x"] for token in tokens]), parameters["blocks"]
    for index in range(config.layers):
        x = _block(config, layers[index], x, [
            [j for j in order[: i + 1] if tokens[j]["episode"] > oldest[i]] for i in order
        ])  # fmt: skip
    x = _norm(parameters["norm"], x)
    return [
        np.stack([
            _head(config, parameters["head"], x[reads[k, t // config.action_chunk]],
                  _normalise(config, episode.observations[t]))
            for t in range(len(episode.mask))
        ])
        for k, episode in enumerate(episodes)
    ]  # fmt: skip


def _tokens(config, parameters, episodes, first):
    """Return all tokens in order, and which one the actions of (episode, chunk) are read off."""
    embed, c = parameters["embedding"], config.action_chunk
    chunks = []
    for k, episode in enumerate(episodes):
        steps = len(episode.mask)
        for chunk in range(-(-steps // c)):
            rows = slice(chunk * c, min(chunk * c + c, steps))
            chunks.append((k, chunk, {
                "R": [episode.returns_to_go[rows.start] / config.normalization.return_scale],
                "s": _normalise(config, episode.observations[rows.start]),
                "a": _filled(episode.actions[rows], c),
                "r": _filled(episode.rewards[rows], c),
                "d": _filled(episode.completions[rows], c),
            }))  # fmt: skip
    tokens, reads = [], {}
    for i, (k, chunk, values) in enumerate(chunks):
        place = embed["chunk"]["embedding"][chunk].astype(np.float64)
        if config.trajectory_embedding:
            index = min(first + k, config.trajectories - 1)
            place = place + embed["trajectory"]["embedding"][index]
        if config.joint:
            before = {x: np.zeros_like(values[x]) for x in "ard"}
            if i > 0 and (config.trajectories > 1 or chunks[i - 1][0] == k):
                before = {x: chunks[i - 1][2][x] for x in "ard"}
            x = sum(_linear(embed["inputs"][z], (values | before)[z]) for z in config.inputs)
            reads[k, chunk] = len(tokens)
            tokens.append({"x": _norm(embed["norm"], x + place), "episode": k, "now": k})
            continue
        for letter in config.inputs:
            if letter == "s":
                reads[k, chunk] = len(tokens)
            # What an episode's last step brought enters the context with the next episode.
            ends = letter in "ard" and chunk == -(-len(episodes[k].mask) // c) - 1
            x = _linear(embed["inputs"][letter], values[letter])
            tokens.append({"x": _norm(embed["norm"], x + place), "episode": k, "now": k + ends})
    return tokens, reads


def _block(config, p, x, seen):
    size, groups = config.head_size, config.groups
    qkv = _linear(p["projection_in"], _norm(p["attention_norm"], x))
    qkv = qkv.reshape(len(x), config.heads + 2 * groups, size)
    y = np.zeros((len(x), config.heads, size))
    for i, h in np.ndindex(len(x), config.heads):
        group = h // (config.heads // groups)
        keys = qkv[seen[i], config.heads + group]
        values = qkv[seen[i], config.heads + groups + group]
        score = np.exp(keys @ qkv[i, h] / size**0.5)
        y[i, h] = score @ values / score.sum() if seen[i] else 0.0
    x = x + _linear(p["projection_out"], y.reshape(len(x), -1))
    hidden = np.maximum(_linear(p["feedforward_in"], _norm(p["feedforward_norm"], x)), 0)
    return x + _linear(p["feedforward_out"], hidden)


def _head(config, p, latent, observation):
    if config.action_chunk > 1:
        hidden = _linear(p["latent"], latent) + observation @ p["observation"]["kernel"]
        latent = np.maximum(_linear(p["hidden"], np.maximum(hidden, 0)), 0)
    return np.tanh(_linear(p["out"], latent))


def _filled(values, count):
    rows = np.zeros((count, *values.shape[1:]))
    rows[: len(values)] = values
    return rows.ravel()


def _normalise(config, observation):
    n = config.normalization
    return (observation - np.array(n.observation_mean)) / np.array(n.observation_std)


def _linear(p, x):
    return np.asarray(x, np.float64) @ p["kernel"] + p["bias"]


def _norm(p, x):
    x = x - x.mean(-1, keepdims=True)
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-6) * p["scale"] + p["bias"]
