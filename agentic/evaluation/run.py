"""Evaluating a run: its policy under every condition asked for, recorded and resumable.

Every reported number comes from evaluation.jsonl. What is on record is not rolled out again, so the
same call twice leaves the same file.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from agentic import provenance
from agentic.acting.policy import Policy
from agentic.dataset.dataset import Dataset
from agentic.dataset.load import load_dataset
from agentic.errors import AgenticError
from agentic.evaluation.condition import Condition, ConditionOptions
from agentic.evaluation.evaluate import Evaluation, MakeSimulation, measure
from agentic.evaluation.records import Records
from agentic.interruption import Interrupted
from agentic.methods.train import load_policy
from agentic.progress import Progress
from agentic.simulation import make_simulation
from agentic.simulation.tasks import get_task
from agentic.training import checkpoint
from agentic.training.run import read_config

# The seeds of reported numbers; nothing is tuned on them.
SEEDS = tuple(range(16))
# folder, step of the checkpoint, cache_dtype, devices -> the policy of the run
LoadPolicy = Callable[[str | Path, int | None, str | None, int | None], Policy]


@dataclass(frozen=True)
class EvaluationConfig(ConditionOptions):
    """How a run is evaluated: its conditions, its contexts, and where they are computed.

    Attributes:
        seeds: one context each.
        devices: split every context's keys and values over so many devices, for contexts that one
            cannot hold. Only the order of sums depends on it, and so the last bits of an action,
            which long episodes may amplify.
        parallel: contexts side by side; results do not depend on it. An interruption loses no more
            than these.
        checkpoint: step of the checkpoint; by default the newest.
        data: where the training data lies now, for --memory random.
        again: roll out also what is on record, and replace it.
    """

    seeds: tuple[int, ...] = SEEDS
    devices: int = 1
    parallel: int = 32
    checkpoint: int | None = None
    data: str | None = None
    again: bool = False

    def __post_init__(self):
        super().__post_init__()
        if self.parallel < 1:
            raise AgenticError(f"parallel is {self.parallel} contexts; it must be at least 1.")


def evaluate_run(
    folder: str | Path,
    config: EvaluationConfig,
    progress: Progress | None = None,
    load_policy: LoadPolicy = load_policy,
    make_simulation: MakeSimulation = make_simulation,
) -> list[Evaluation]:
    """Evaluate a run under a configuration, record every episode, and return what is on record.

    Args:
        folder: the run folder.
        config: seeds, targets, memories.
        progress: called with environment steps done, steps of all that is missing, and the
            condition's label.
        load_policy: called with (folder, checkpoint, cache_dtype, devices).
        make_simulation: called with the task and the number of contexts.

    Raises:
        AgenticError: not a run folder, or a condition that its policy cannot be put to.
        Interrupted: on Ctrl-C; the same call goes on with the contexts that are missing.
    """
    trials = trials_of(folder, config, load_policy)
    conditions = [condition for _, condition in trials]
    data = data_for(conditions, folder, config)
    for policy, condition in trials:
        condition.imposed_on(policy, config.seeds, data)
    records, done = Records(folder), 0
    waves = [wave for trial in trials for wave in _waves(*trial, records, config)]
    total = sum(wave.steps for wave in waves)
    for wave in waves:
        label = wave.condition.label(conditions)

        def advance(
            steps: int, _: int, label: str = label, before: int = done, n: int = len(wave.seeds)
        ) -> None:
            if progress is not None:
                progress(before + n * steps, total, label)

        try:
            result = measure(
                wave.condition, wave.policy, wave.seeds, data, advance, make_simulation
            )
        except KeyboardInterrupt:
            raise Interrupted(
                f"stopped at {wave.start} of {wave.missing} contexts of {label}; the same command "
                "goes on from there."
            ) from None
        own = {"provenance": _source(wave.policy)}
        records.add(
            line | {"context": config.seeds.index(line["seed"])} | own for line in result.records()
        )
        done += wave.steps
    return [_recorded(records, *trial, config.seeds) for trial in trials]


class _Wave(NamedTuple):
    """Contexts of one condition that are rolled out together, from `start` on of those missing."""

    policy: Policy
    condition: Condition
    seeds: tuple[int, ...]
    start: int
    missing: int

    @property
    def steps(self) -> int:
        """Environment steps of all its contexts."""
        length = get_task(self.condition.task).episode_length
        return len(self.seeds) * self.condition.episodes * length


def _waves(
    policy: Policy, condition: Condition, records: Records, config: EvaluationConfig
) -> Iterator[_Wave]:
    """Yield the contexts that a condition still needs, `config.parallel` at a time."""
    missing = config.seeds if config.again else records.missing(condition, config.seeds)
    for start in range(0, len(missing), config.parallel):
        seeds = tuple(missing[start : start + config.parallel])
        yield _Wave(policy, condition, seeds, start, len(missing))


def trials_of(
    folder: str | Path, config: EvaluationConfig, load_policy: LoadPolicy = load_policy
) -> list[tuple[Policy, Condition]]:
    """Return every condition that a run is evaluated under, with the policy that is put to it."""
    document = read_config(folder)
    step = config.checkpoint or checkpoint.latest(Path(folder))
    devices = None if config.devices == 1 else config.devices
    policy = load_policy(folder, config.checkpoint, config.cache_dtype, devices)
    return list(config.conditions(policy, document["task"], document["method"], step))


def data_for(
    conditions: Iterable[Condition], folder: str | Path, config: EvaluationConfig
) -> Dataset | None:
    """Return the data set that a run was trained on, or None where no condition needs it."""
    if not any(condition.needs_data for condition in conditions):
        return None
    document = read_config(folder)
    return load_dataset(
        config.data or document["data"]["source"],
        document["task"],
        document["data"]["control"],
        recompute_observations=document["data"]["recompute_observations"],
    )


def _recorded(
    records: Records, policy: Policy, condition: Condition, seeds: tuple[int, ...]
) -> Evaluation:
    """Return what is on record of contexts that are all there."""
    lines, now = records.of(condition, seeds), _source(policy)
    shape = len(seeds), condition.episodes
    return Evaluation(
        condition,
        seeds,
        np.asarray([line["return"] for line in lines]).reshape(shape),
        np.asarray([line["length"] for line in lines]).reshape(shape),
        len({line["seed"] for line in lines if line.get("provenance") != now}),
    )


def _source(policy: Policy) -> dict:
    """Return the provenance of what a policy does now."""
    kind = jax.devices()[0].device_kind
    return provenance.of_run(kind if policy.devices == 1 else f"{policy.devices} x {kind}")
