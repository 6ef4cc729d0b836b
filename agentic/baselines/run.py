"""A baseline's run: trained in a folder that says everything needed to repeat it, and read back."""

import dataclasses
from pathlib import Path
from typing import Any

import jax

from agentic import checkpoint
from agentic.baselines.acting import BaselinePolicy
from agentic.baselines.config import BaselineConfig, config_class
from agentic.baselines.learning import Method, fit, make_learn, make_method
from agentic.baselines.transitions import TransitionSampler
from agentic.dataset.dataset import Dataset
from agentic.policy.config import Normalization
from agentic.recording import Progress, begin, chosen_step, describe, follow
from agentic.simulation.tasks import get_task

# Added to deviations before dividing: TD3+BC's figure (arXiv 2106.06860, section 5).
LEAST_DEVIATION = 1e-3
# What scaled returns span: IQL's figure (arXiv 2110.06169, appendix B).
RETURN_SPAN = 1000.0


def train(
    config: BaselineConfig,
    folder: Path,
    data: Dataset,
    resume: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Train in `folder`, or go on where it stopped, and return the folder.

    Arguments, results and errors are those of `agentic.experiment.run`.
    """
    normalization, scale = normalization_of(config, data), reward_scale(config, data)
    sampler = TransitionSampler(
        data, config.batch_size, config.seed, normalization.observation_mean,
        normalization.observation_std, scale, config.resident * 10**6,
    )  # fmt: skip
    parts = _parts(config, normalization, scale)
    document = describe(config, data, jax.devices()[0].device_kind, **parts)
    # In this order: the normalisation follows from an option and is not what the user chose.
    compared = dict.fromkeys(("sampler", "training", "policy"), type(config))
    begin(folder, document, resume, compared)
    method = make_method(config, data.observations.shape[2], data.actions.shape[2])
    state = method.init()
    if resume and checkpoint.steps(folder):
        state = checkpoint.load(folder, checkpoint.latest(folder), "state", state)
    loop = fit(state, make_learn(method), sampler, config)
    done, steps, every = int(state.step), config.steps, config.checkpoint_every
    follow(loop, folder, done, steps, every, _items, progress)
    return folder


def _items(state: Any) -> dict[str, Any]:
    """Return what a checkpoint holds: the actor, which is all that acting reads, and all."""
    return {"parameters": state.actor.parameters, "state": state}


def load(folder: Path, document: dict, step: int | None = None) -> BaselinePolicy:
    """Return the policy of the run in `folder`, whose config.json is `document`.

    Raises AgenticError where there is no such checkpoint.
    """
    step = chosen_step(folder, step)
    method = method_of(document)
    like = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(
            leaf.shape, leaf.dtype, sharding=jax.sharding.SingleDeviceSharding(jax.devices()[0])
        ),
        method.actor.shapes,
    )
    normalization = Normalization(
        tuple(document["policy"]["observation_mean"]), tuple(document["policy"]["observation_std"])
    )
    parameters = checkpoint.load(folder, step, "parameters", like)
    return BaselinePolicy(method, parameters, normalization, document["target_return"])


def method_of(document: dict) -> Method:
    """Return the method that a config.json describes."""
    config = config_class(document["method"])(**document["experiment"])
    policy = document["policy"]
    return make_method(config, policy["observation_size"], policy["action_size"])


def _parts(config: BaselineConfig, normalization: Normalization, scale: float) -> dict:
    """Return the parts of config.json that reports and a resumed run compare."""
    own, spec = dataclasses.asdict(config), get_task(config.task)
    sampled = ("batch_size", "seed")
    elsewhere = (*config.RUN, *sampled, "width")
    return {
        "policy": {
            "observation_size": spec.observation_size,
            "action_size": spec.action_size,
            "width": config.width,
            "observation_mean": normalization.observation_mean,
            "observation_std": normalization.observation_std,
        },
        "sampler": {name: own[name] for name in sampled} | {"reward_scale": scale},
        "training": {name: own[name] for name in own if name not in elsewhere},
    }


def normalization_of(config: BaselineConfig, data: Dataset) -> Normalization:
    """Return what observations are shifted and divided by: zeros and ones if left as they are."""
    size = data.observations.shape[2]
    if not config.normalize:
        return Normalization((0.0,) * size, (1.0,) * size)
    mean, deviation = data.observation_statistics()
    return Normalization(
        tuple(map(float, mean)), tuple(float(value) + LEAST_DEVIATION for value in deviation)
    )


def reward_scale(config: BaselineConfig, data: Dataset) -> float:
    """Return what rewards are multiplied by: 1 if they are left as they are.

    Rewards of data whose returns are all equal are left, too: there is no span to scale.
    """
    span = float(data.returns.max() - data.returns.min())
    if not getattr(config, "scale_rewards", False) or span == 0:
        return 1.0
    return RETURN_SPAN / span
