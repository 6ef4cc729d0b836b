"""Small chains, parameters and data sets that several test modules share."""

from functools import lru_cache, partial

import jax
import numpy as np

from agentic import hindsight
from agentic.dataset.dataset import Dataset
from agentic.network.config import NetworkConfig, Normalization
from agentic.network.parameters import LAYERS, bind, initialize, unstack
from agentic.training.batch import Batch, make_batch
from agentic.trajectory import Chain, Trajectory

OBSERVATIONS, ACTIONS, STEPS = 4, 2, 7
TARGET = 2.5  # met by about half of the random trajectories
# Rows of a batch differ, and chunks of 3 and 4 steps end inside as well as at an episode's end.
LENGTHS = np.array([[7, 5, 6], [4, 7, 2]])

LAYOUTS = {
    "5": {"layout": "5", "layers": 2},
    "4": {"layout": "4"},
    "1": {"action_chunk": 1},
    "chunk of 3": {"action_chunk": 3, "layers": 2},
    "sa, chunk of 4": {"action_chunk": 4, "inputs": "sa"},
    "grouped heads": {"action_chunk": 1, "heads": 4, "key_value_heads": 2},
    "no trajectory embedding": {"action_chunk": 2, "trajectory_embedding": False},
}


def policy_config(layout: str = "1", **fields) -> NetworkConfig:
    """Return a small configuration of a named layout."""
    base = {
        "trajectories": 3,
        "width": 16,
        "dropout": 0.0,
        "layers": 1,
        "feedforward": 2,
        "block": 8,
        "normalization": Normalization((0.1,) * OBSERVATIONS, (2.0,) * OBSERVATIONS, 5.0),
    }
    return NetworkConfig(OBSERVATIONS, ACTIONS, STEPS, **base | LAYOUTS[layout] | fields)


@lru_cache(maxsize=32)
def parameters(config: NetworkConfig) -> dict:
    """Return random parameters, far from their initial values so that every one of them matters."""
    rng = np.random.default_rng(1)
    shapes = jax.eval_shape(lambda: unstack(initialize(config, jax.random.key(0))))
    drawn = jax.tree.map(lambda x: rng.normal(0, 0.4, x.shape).astype(np.float32), shapes)
    layers = (drawn[LAYERS][index] for index in range(config.layers))
    return drawn | {LAYERS: jax.tree.map(lambda *own: np.stack(own), *layers)}


@lru_cache(maxsize=32)
def forward(config: NetworkConfig):
    """Return the compiled forward pass: (parameters, chain) -> actions [B, n, T, A]."""
    return jax.jit(partial(actions, config))


def actions(config: NetworkConfig, parameters: dict, chain: Chain, key: jax.Array | None = None):
    """Return the action of every step of a chain, as training computes it: [B, n, T, A]."""
    network, batch = bind(config, parameters), make_batch(config, "all", 1, chain)
    found = network.decode(network(batch.inputs, key), batch.observations)
    rows, n, steps = chain.mask.shape
    return found.reshape(rows, n, -1, found.shape[-1])[:, :, :steps]


def reordered(batch: Batch, order: np.ndarray) -> Batch:
    """Return a batch of which all chunks are decoded with its chunks in another order."""
    row, rest = batch.inputs.row, batch._replace(inputs=batch.inputs._replace(row=None))
    moved = jax.tree.map(lambda x: x[:, order], rest)
    return moved._replace(inputs=moved.inputs._replace(row=row))


def chain(lengths: np.ndarray = LENGTHS, steps: int = STEPS, seed: int = 0, **options) -> Chain:
    """Return a batch of labelled random trajectories of `lengths` [B, n], 0 for an absent one."""
    rng, lead = np.random.default_rng(seed), (*np.shape(lengths), steps)
    mask = np.arange(steps) < np.asarray(lengths)[..., None]
    return hindsight.relabel(
        rng.normal(size=(*lead, OBSERVATIONS)).astype(np.float32),
        rng.uniform(-1, 1, (*lead, ACTIONS)).astype(np.float32),
        rng.random(lead).astype(np.float32),
        mask,
        **{"target": np.full(len(lengths), TARGET)} | options,
    )


def episodes(chain: Chain, row: int) -> list[Chain]:
    """Return one row's trajectories without their padding: a list of Chain [T_k, ...]."""
    present = range(int(chain.mask[row].any(-1).sum()))
    return [Chain(*(x[row, k][chain.mask[row, k]] for x in chain)) for k in present]


def with_garbage(chain: Chain, seed: int = 5) -> Chain:
    """Return the chain with large random numbers wherever there is no step."""
    rng = np.random.default_rng(seed)

    def fill(x: np.ndarray) -> np.ndarray:
        absent = ~chain.mask.reshape(chain.mask.shape + (1,) * (x.ndim - chain.mask.ndim))
        return np.where(absent, rng.normal(0, 30, x.shape), x).astype(np.float32)

    return Chain(*map(fill, chain[:-1]), chain.mask)


def dataset(task: str, sizes: tuple[int, int], count: int = 6, steps: int = 12) -> Dataset:
    """Return `count` random trajectories of (observation, action) `sizes`, of unequal lengths."""
    rng = np.random.default_rng(3)
    return Dataset.from_trajectories(
        task,
        [
            Trajectory(
                rng.normal(size=(length, sizes[0])).astype(np.float32),
                rng.uniform(-1, 1, (length, sizes[1])).astype(np.float32),
                rng.random(length).astype(np.float32),
            )
            for length in range(steps - count + 1, steps + 1)
        ],
    )
