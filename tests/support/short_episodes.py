"""A stand-in for the simulator, with cartpole's sizes and episodes of twelve steps, and a run."""

import json
from functools import partial

import numpy as np
from support import synthetic

from agentic.acting.compiled import cache_mesh
from agentic.acting.context import ContextPolicy
from agentic.evaluation import evaluate as evaluation
from agentic.evaluation import run
from agentic.network.config import NetworkConfig, Normalization

TASK, STEPS = "cartpole_swingup", 12


class ShortEpisodes:
    """A linear system under the same interface; `state` is a function of the seed tuple."""

    def __init__(self, num, state=lambda seed: np.random.default_rng(seed).normal(size=5)):
        self.observations, self.steps = np.zeros((num, 5), np.float32), np.zeros(num, int)
        self.state = state

    def reset(self, rows, seeds):
        self.steps[rows] = 0
        self.observations[rows] = [self.state(seed) for seed in seeds]
        return self.observations[rows]

    def step(self, actions):
        self.observations = np.roll(self.observations, 1, axis=1) * np.float32(0.9)
        self.observations[:, :1] += actions
        self.steps += 1
        return self.observations, self.observations.sum(1).astype(float), self.steps == STEPS

    def close(self):
        self.closed = True


def policy(target=8.0, cache_dtype=None, mesh=None, **fields) -> ContextPolicy:
    base = {"trajectories": 3, "width": 16, "layers": 1, "action_chunk": 5}
    normalization = Normalization((0.0,) * 5, (1.0,) * 5, 5.0)
    config = NetworkConfig(5, 1, 1000, **base | fields, normalization=normalization)
    parameters = synthetic.parameters(config)
    return ContextPolicy(config, parameters, target, cache_dtype=cache_dtype, mesh=mesh)


def simulate(task, num) -> ShortEpisodes:
    """Make the stand-in where evaluation would make a simulation."""
    return ShortEpisodes(num)


def load_policy(folder, step, cache_dtype, devices) -> ContextPolicy:
    """Load the policy above, whatever run folder is named."""
    mesh = None if devices is None else cache_mesh(devices)
    return policy(cache_dtype=cache_dtype, mesh=mesh)


# Evaluation with the stand-in, and of run folders that all hold the policy above.
evaluate = partial(evaluation.evaluate, make_simulation=simulate)
evaluate_run = partial(run.evaluate_run, load_policy=load_policy, make_simulation=simulate)


def run_folder(folder):
    """Return a new run folder at step 40, with as much in it as evaluation reads."""
    (folder / "checkpoints" / "40").mkdir(parents=True)
    data = {"source": "memory", "control": "action", "returns": [1.0, 9.0]}
    data |= {"recompute_observations": False}
    document = {"task": TASK, "method": "at", "data": data}
    (folder / "config.json").write_text(json.dumps(document))
    return folder
