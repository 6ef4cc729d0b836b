"""The one course of every method: from a configuration to a run folder, and back to a policy."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import jax

from agentic import provenance
from agentic.acting.policy import Policy
from agentic.dataset.dataset import Dataset
from agentic.dataset.load import load_dataset
from agentic.errors import AgenticError
from agentic.methods.method import RunConfig, config_of, method_named
from agentic.methods.options import flat_options, same_result_names
from agentic.progress import Progress
from agentic.training import checkpoint, processes
from agentic.training.learner import Learner
from agentic.training.run import keep, newest_state, read_config, write_json


def load_data(config: RunConfig, progress: Progress | None = None) -> Dataset:
    """Return the data set that a configuration names, as `load_dataset` reads it."""
    recompute = config.recompute_observations
    return load_dataset(config.data, config.task, config.control, progress, recompute)


def train(
    config: RunConfig,
    folder: str | Path,
    resume: bool = False,
    data: Dataset | None = None,
    progress: Progress | None = None,
) -> Path:
    """Train in `folder`, or go on where it stopped, and return the folder.

    Args:
        config: what to train on what, as `agentic.configure` makes it.
        folder: the run folder; must be new or empty unless `resume`.
        resume: continue from the newest checkpoint; the result is bit-equal to a run that was
            never interrupted, on the same mesh, and on another one equal up to rounding.
        data: the data set where it is loaded already.
        progress: called with steps done, steps in all, and the loss, at each metrics record.

    Of several processes (`agentic.training.processes`) all must call this alike; the first one
    writes everything but the checkpoints, which all of them write. They need one file system.

    Raises:
        AgenticError: bad configuration or data, a folder in use, a loss that is not finite, a mesh
            that the devices cannot form, another process lost.
        Interrupted: after Ctrl-C, when the state is saved.
    """
    folder = Path(folder)
    data = data if data is not None else load_data(config)
    learner = method_named(config.method).learner(config, data)
    with processes.together():
        if resume:
            _check_same(config, data, folder)
        elif (folder / "config.json").exists():
            raise AgenticError(
                f"{folder} holds a run already; add --resume to go on with it, or choose another "
                "--out."
            )
        processes.wait("checked")  # No one may find a config.json that the first one writes now.
        if not resume and processes.leads():
            write_json(folder / "config.json", _document(config, data, learner))
        state = newest_state(folder, learner) if resume else learner.initial()
        keep(folder, learner, state, config, progress)
    return folder


def load_policy(
    folder: str | Path,
    step: int | None = None,
    cache_dtype: str | None = None,
    devices: int | None = None,
) -> Policy:
    """Return the policy that a run trained, ready to act; `step` picks a checkpoint.

    `cache_dtype` is "float32" or "bfloat16", what the context is kept in (None: as computed);
    `devices` splits the context's cache over that many devices.

    Raises AgenticError for a folder that is not a run or has no such checkpoint.
    """
    document = read_config(folder)
    method = method_named(document["method"])
    given = {"cache_dtype": cache_dtype, "devices": devices}
    kept = {name: value for name, value in given.items() if value is not None}
    found = checkpoint.find(folder, step)
    policy = method.policy(document, found, **kept)
    policy.method, policy.step = document["method"], found.step
    return policy


def _document(config: RunConfig, data: Dataset, learner: Learner) -> dict[str, Any]:
    """Return config.json: everything needed to repeat a run and to read its results."""
    return {
        "task": config.task,
        "method": config.method,
        "seed": config.seed,
        **vars(config.course),
        "options": asdict(config.options),
        "data": {
            "source": data.source,
            "control": data.control,
            "recompute_observations": config.recompute_observations,
            "fingerprint": data.fingerprint,
            "episodes": len(data),
            "returns": [float(value) for value in data.returns],
        },
        "target_return": float(data.returns.max()),
        "from_data": learner.from_data,
        "processes": jax.process_count(),
        **provenance.of_run(jax.devices()[0].device_kind),
    }


def _check_same(now: RunConfig, data: Dataset, folder: Path) -> None:
    """Refuse to resume with other settings or data: the result would be neither run."""
    document = read_config(folder)
    # Data first: other data may have another normalisation too, and that is not what was chosen.
    if data.fingerprint != document["data"]["fingerprint"]:
        raise AgenticError(
            f"{folder} was trained on other data ({document['data']['source']}) than this command "
            f"names ({data.source}); resume with the same data."
        )
    if now.method != document["method"]:
        raise AgenticError(
            f"{folder} was trained with method = {document['method']} and this command has "
            f"{now.method}; resume with the same method."
        )
    before = config_of(document)
    may_differ = same_result_names(type(now.options))
    earlier = _settings(before)
    for name, value in _settings(now).items():
        if name not in may_differ and earlier[name] != value:
            raise AgenticError(
                f"{folder} was trained with {name} = {earlier[name]} and this command has {value}; "
                "resume with the same settings."
            )


def _settings(config: RunConfig) -> dict[str, Any]:
    return flat_options(config.options) | {"seed": config.seed, **vars(config.course)}
