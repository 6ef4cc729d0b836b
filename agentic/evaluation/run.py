"""Evaluating a run: its policy under every condition asked for, recorded and resumable.

Every number that is reported comes out of evaluation.jsonl; what is on record is not rolled out
again, so that the same call twice leaves the same file.
"""

from collections.abc import Callable, Iterator
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import jax
import numpy as np

from agentic import provenance
from agentic.acting.context import ContextPolicy, Policy, RandomPolicy
from agentic.acting.memory import Memory, check_memory
from agentic.dataset.load import load_dataset
from agentic.errors import AgenticError
from agentic.evaluation.condition import Ledger
from agentic.evaluation.evaluate import (
    cache_dtype_of,
    check_fit,
    check_numbers,
    episodes_of,
    evaluate,
    target_of,
)
from agentic.interruption import Interrupted
from agentic.methods.transformer import latest_step, load_policy
from agentic.progress import Progress
from agentic.simulation.tasks import get_task
from agentic.training.run import read_config

# Reported seeds start here; nothing is tuned on them.
SEEDS = tuple(range(16))


@dataclass(frozen=True)
class EvaluationConfig:
    """Under which conditions a run's policy is evaluated.

    Attributes:
        episodes: episodes in one context; by default as many as in a training chain, and for
            --best-of at least as many as that.
        seeds: one context each.
        target_return: return to condition on; by default the data set's best.
        target_sweep: returns to condition on in turn, each with a row of its own.
        memory: what the policy keeps between episodes; several are evaluated in turn.
        clear_context: also evaluate with the context emptied before each episode, as
            --memory cleared does.
        shuffle_history: also evaluate with the context's own trajectories in random order before
            each episode, as --memory shuffled does.
        random_policy: also evaluate uniformly random actions, on the same seeds.
        best_of: report the best of this many episodes, the first ones of each context, for every
            method alike; by default of all.
        action_noise: standard deviation of Gaussian noise added to every action.
        cache_dtype: what keys and values of the context are kept in; by default as the policy
            computes. bfloat16 halves the memory of a context and rounds what is remembered.
        devices: split every context's keys and values over so many devices, for contexts that one
            cannot hold; only the order of sums depends on it, so the last bits of an action, which
            long episodes may amplify.
        parallel: contexts side by side; results do not depend on it. What is interrupted loses no
            more than these.
        checkpoint: step of the checkpoint; by default the newest.
        data: where the training data lies now, for --memory random.
        again: roll out what is on record already, and replace it.
    """

    episodes: int | None = None
    seeds: tuple[int, ...] = SEEDS
    target_return: float | None = None
    target_sweep: tuple[float, ...] = ()
    memory: tuple[Memory, ...] = ("kept",)
    clear_context: bool = False
    shuffle_history: bool = False
    random_policy: bool = False
    best_of: int | None = None
    action_noise: float = 0.0
    cache_dtype: Literal["float32", "bfloat16"] | None = None
    devices: int = 1
    parallel: int = 32
    checkpoint: int | None = None
    data: str | None = None
    again: bool = False

    def __post_init__(self):
        if self.parallel < 1:
            raise AgenticError(f"parallel is {self.parallel} contexts; it must be at least 1.")
        if self.best_of is not None and not 1 <= self.best_of <= (self.episodes or self.best_of):
            raise AgenticError(
                f"best_of is {self.best_of} of {self.episodes or 'all'} episodes in a context; "
                f"it is 1 to {self.episodes or 'any number'}."
            )

    @property
    def memories(self) -> tuple[Memory, ...]:
        """Every memory asked for, by name or by flag, once."""
        flags = {"cleared": self.clear_context, "shuffled": self.shuffle_history}
        return tuple(dict.fromkeys((*self.memory, *(name for name, on in flags.items() if on))))


@dataclass(frozen=True)
class Part:
    """What one condition asks for: a policy that acts, and the fields of its records."""

    policy: Policy
    condition: dict

    @property
    def name(self) -> str:
        """The method, and its memory unless it keeps none: "at, kept"."""
        method, memory = self.condition["method"], self.condition["memory"]
        return method if method == "random" else f"{method}, {memory}"


@dataclass(frozen=True, eq=False)
class Result:
    """The returns [C, E] of one condition, in the order of the seeds asked for.

    `elsewhere` counts contexts that were recorded with other versions, another commit or other
    devices than today's: they were not rolled out again.
    """

    name: str
    condition: dict
    returns: np.ndarray
    elsewhere: int


def evaluate_run(
    folder: str | Path, config: EvaluationConfig, progress: Progress | None = None
) -> list[Result]:
    """Evaluate a run under a configuration, record every episode, and return what is on record.

    Args:
        folder: the run folder.
        config: seeds, targets, memories.
        progress: called with environment steps done, steps of all that is missing, the condition.

    Raises:
        AgenticError: not a run folder, or a condition that its policy cannot be put to.
        Interrupted: on Ctrl-C; the same call goes on with the contexts that are missing.
    """
    document, ledger = read_config(folder), Ledger(folder)
    parts = list(parts_of(folder, document, config))
    data = None
    if any(part.condition["memory"] == "random" for part in parts):
        data = data_of(document, config)
    for part in parts:
        check_memory(part.policy, part.condition["memory"], data)
        check_fit(part.policy, get_task(document["task"]))
        check_numbers(part.condition["episodes"], config.seeds, config.action_noise)
    plan = [
        (part, config.seeds if config.again else ledger.missing(part.condition, config.seeds))
        for part in parts
    ]
    lengths = [_length(part) for part in parts]
    total = sum(len(seeds) * length for (_, seeds), length in zip(plan, lengths, strict=True))
    done = 0
    for (part, seeds), length in zip(plan, lengths, strict=True):

        def advance(steps: int, name: str = part.name, done: int = done) -> None:
            if progress is not None:
                progress(done + steps, total, name)

        _complete(ledger, part, list(seeds), config, data, advance)
        done += len(seeds) * length
    return [_result(ledger, part, config) for part in parts]


def parts_of(folder: str | Path, document: dict, config: EvaluationConfig) -> Iterator[Part]:
    """Yield every condition: targets within memories within methods."""
    step = config.checkpoint or latest_step(folder)
    devices = None if config.devices == 1 else config.devices
    policy = load_policy(folder, config.checkpoint, config.cache_dtype, devices)
    episodes = config.episodes or max(config.best_of or 1, episodes_of(policy))
    shared = {"task": document["task"], "step": step, "episodes": episodes}
    for memory in config.memories:
        for aiming in _aimed(policy, document, config):
            yield Part(aiming, _condition(aiming, document["method"], memory, shared, config))
    if config.random_policy:
        random = RandomPolicy(get_task(document["task"]).action_size)
        yield Part(random, _condition(random, "random", "kept", shared, config))


def _condition(
    policy: Policy, method: str, memory: Memory, shared: dict, config: EvaluationConfig
) -> dict:
    noise = 0.0 if method == "random" else float(config.action_noise)
    own = {"method": method, "memory": memory, "action_noise": noise}
    acting = {"target_return": target_of(policy), "cache_dtype": cache_dtype_of(policy)}
    return shared | own | acting


def _aimed(policy: Policy, document: dict, config: EvaluationConfig) -> Iterator[Policy]:
    """Yield the policy with each of the targets asked for."""
    targets = [*([] if config.target_return is None else [config.target_return])]
    targets = list(dict.fromkeys(map(float, (*targets, *config.target_sweep))))
    if not targets:
        yield policy
        return
    if target_of(policy) is None:
        raise AgenticError(
            f"{document['method']} is never told of a target return, so {targets[0]:g} would "
            "change nothing; leave out --target-return and --target-sweep."
        )
    if not np.isfinite(targets).all():
        raise AgenticError(f"the target returns are {targets}; each must be a finite number.")
    for target in targets:
        aiming = copy(policy)
        aiming.target_return = target
        yield aiming


def _result(ledger: Ledger, part: Part, config: EvaluationConfig) -> Result:
    now, condition, seeds = _provenance(part, config), part.condition, config.seeds
    records = ledger.records(condition, seeds)
    elsewhere = {record["seed"] for record in records if record.get("provenance") != now}
    return Result(part.name, condition, ledger.returns(condition, seeds), len(elsewhere))


def _provenance(part: Part, config: EvaluationConfig) -> dict:
    kind = jax.devices()[0].device_kind
    split = config.devices > 1 and isinstance(part.policy, ContextPolicy)
    return provenance.of_run(f"{config.devices} x {kind}" if split else kind)


def data_of(document: dict, config: EvaluationConfig):
    """Return the data set that a run was trained on, where it lies now."""
    return load_dataset(
        config.data or document["data"]["source"],
        document["task"],
        document["data"]["control"],
        recompute_observations=document["experiment"].get("recompute_observations", False),
    )


def _length(part: Part) -> int:
    """Return the environment steps of one context."""
    return part.condition["episodes"] * get_task(part.condition["task"]).episode_length


def _complete(
    ledger: Ledger, part: Part, missing: list[int], config: EvaluationConfig, data,
    advance: Callable[[int], None],
) -> None:  # fmt: skip
    """Roll out the missing contexts of one condition, a wave at a time."""
    condition, source = part.condition, _provenance(part, config)
    place = {seed: index for index, seed in enumerate(config.seeds)}
    for start in range(0, len(missing), config.parallel):
        wave = missing[start : start + config.parallel]
        before, contexts = start * _length(part), len(wave)
        try:
            result = evaluate(
                part.policy, condition["task"], condition["episodes"], wave, condition["memory"],
                data, lambda step, _, b=before, c=contexts: advance(b + step * c),
                condition["action_noise"],
            )  # fmt: skip
        except KeyboardInterrupt:
            raise Interrupted(
                f"stopped at {start} of {len(missing)} contexts of {part.name}; the same command "
                "goes on from there."
            ) from None
        records = result.records(method=condition["method"], step=condition["step"])
        ledger.add(r | {"context": place[r["seed"]], "provenance": source} for r in records)
