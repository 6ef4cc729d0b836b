"""The policy of a run, read back from its folder."""

from pathlib import Path

import jax

from agentic import checkpoint
from agentic.acting import ContextPolicy, cache_mesh
from agentic.baselines import run as baselines
from agentic.baselines.acting import BaselinePolicy
from agentic.baselines.config import CONFIGS
from agentic.dataset.sampler import SamplerConfig
from agentic.errors import AgenticError
from agentic.policy.config import Normalization, PolicyConfig
from agentic.policy.parameters import initialize
from agentic.recording import chosen_step
from agentic.run_folder import read_config


def load_policy(
    folder: str | Path,
    step: int | None = None,
    cache_dtype: str | None = None,
    devices: int | None = None,
) -> ContextPolicy | BaselinePolicy:
    """Return the policy that a run trained, ready to act; `step` picks a checkpoint.

    `cache_dtype` is "float32" or "bfloat16", what the context is kept in (None: as computed);
    `devices` splits the context's cache over that many devices.

    Raises AgenticError for a folder that is not a run or has no such checkpoint.
    """
    folder = Path(folder)
    document = read_config(folder)
    if document["method"] in CONFIGS:
        if cache_dtype is not None or devices is not None:
            raise AgenticError(
                f"{document['method']} acts without a context; leave out cache_dtype and devices."
            )
        return baselines.load(folder, document, step)
    step = chosen_step(folder, step)
    fields = dict(document["policy"])
    normalization = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in fields.pop("normalization").items()
    }
    config = PolicyConfig(**fields, normalization=Normalization(**normalization))
    like = jax.eval_shape(lambda: initialize(config, jax.random.key(0)))
    device = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    like = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=device), like
    )
    parameters = checkpoint.load(folder, step, "parameters", like)
    sampler = document["sampler"]
    return ContextPolicy(
        config, parameters, document["target_return"], sampler["completion"],
        sampler.get("stride", SamplerConfig.stride), cache_dtype,
        None if devices is None else cache_mesh(devices),
    )  # fmt: skip


def latest_step(folder: str | Path) -> int:
    """Return the step of a run's newest checkpoint."""
    return checkpoint.latest(Path(folder))
