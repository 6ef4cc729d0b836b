"""What an evaluated episode was measured under: written once, read once, named once.

A field of `Condition` says everything about itself in its one line: the value of older records, the
words of labels and file names, and what it does to a policy. So a new condition is a field of
`Condition`, and of `ConditionOptions` if users choose it; evaluation, records, resuming and reports
follow from there. A new memory is a class in `agentic.acting.memory`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, field, fields
from typing import Any, Literal

import numpy as np

from agentic.acting.memory import MEMORIES, Trial, memory_named
from agentic.acting.noise import ActionNoise
from agentic.acting.policy import Policy
from agentic.acting.random_policy import RandomPolicy
from agentic.errors import AgenticError
from agentic.methods import METHODS
from agentic.simulation.tasks import get_task

# The method of random actions, which are measured beside those of a run.
RANDOM = RandomPolicy.method


def title_of(method: str) -> str:
    """Return what reports call a method, random actions included."""
    if method == RANDOM:
        return "random policy"
    return METHODS[method].title if method in METHODS else method


def measured(
    default: Any = MISSING,
    words: Callable[[Any], str] | None = None,
    file: Callable[[Any], str] | None = None,
    unusual: bool = True,
    apart: bool = False,
    treatment: Callable[[Policy, Any, Trial], Policy] | None = None,
) -> Any:
    """Return a field of `Condition`.

    Args:
        default: what records from before the field existed were measured under.
        words: how a label names a value; by default labels leave the field out.
        file: how the name of a file names a value; "" leaves it out. By default the field's name
            and the value, unless it is the default.
        unusual: whether labels name every value but the default.
        apart: whether labels name every value where conditions side by side differ in the field.
        treatment: treatment(inner, value, trial) returns what acts in place of `inner` under any
            value but the default.
    """
    labels = {"words": words, "file": file, "unusual": unusual, "apart": apart}
    return field(default=default, metadata=labels | {"treatment": treatment})


@dataclass(frozen=True, kw_only=True)
class Condition:
    """All that the episodes of one row of results share; episodes of equal conditions compare.

    Attributes:
        method: what trained the policy.
        memory: what the policy keeps between episodes, a name in `agentic.acting.memory.MEMORIES`.
        step: of the checkpoint; None where the policy came from no run folder.
        task: task name.
        target_return: return that the policy aims at; None where it aims at none.
        action_noise: standard deviation of Gaussian noise on its actions.
        cache_dtype: numbers that its context was kept in.
        episodes: in one context; None in records that do not say.
    """

    method: str = measured(Policy.method, file=str)
    memory: str = measured(
        "kept",
        words=lambda name: MEMORIES[name].title if name in MEMORIES else name,
        file=str,
        apart=True,
        treatment=lambda inner, name, trial: memory_named(name)(inner, trial),
    )
    step: int | None = measured(
        None, "step {:,}".format, "step{}".format, unusual=False, apart=True
    )
    task: str = measured(file=lambda task: "")
    target_return: float | None = measured(
        None,
        words="target {:.4g}".format,
        file=lambda target: "" if target is None else f"target{target:.6g}",
        unusual=False,
        apart=True,
    )
    action_noise: float = measured(
        0.0,
        words="noise {:g}".format,
        file=lambda noise: f"noise{noise:g}" if noise else "",
        treatment=lambda inner, noise, trial: ActionNoise(inner, noise, trial.seeds),
    )
    cache_dtype: str = measured(
        Policy.cache_dtype,
        words="{} cache".format,
        file=lambda dtype: "" if dtype == Policy.cache_dtype else dtype,
    )
    episodes: int | None = measured(
        None, "{} episodes".format, "{}episodes".format, unusual=False, apart=True
    )

    @classmethod
    def of(
        cls, policy: Policy, task: str, episodes: int | None = None, **others: Any
    ) -> "Condition":
        """Return the condition of a policy as it is, but for the fields in `others`."""
        own = {
            "method": policy.method,
            "step": policy.step,
            "target_return": policy.target_return,
            "cache_dtype": policy.cache_dtype,
            "episodes": policy.episodes if episodes is None else episodes,
        }
        return cls(task=task, **own | others)

    @classmethod
    def from_record(cls, record: Mapping[str, Any], **known: Any) -> "Condition":
        """Return the condition that a record was measured under.

        Args:
            record: a line of evaluation.jsonl, videos.jsonl or an experiment's results.jsonl.
            known: fields that hold where the record does not say them, such as the run's task.

        Fields that neither says have their defaults; these are what all versions without such a
        field measured under.
        """
        values = {}
        for part in fields(cls):
            value = record.get(part.name)
            value = known.get(part.name) if value is None else value
            if value is not None or part.default is MISSING:
                values[part.name] = value
        return cls(**values)

    def record(self) -> dict[str, Any]:
        """Return the fields as evaluation.jsonl stores them."""
        return asdict(self)

    @property
    def key(self) -> tuple:
        """All fields: two episodes compare if their keys are equal."""
        return tuple(self.record().values())

    @property
    def title(self) -> str:
        """The method's name in reports."""
        return title_of(self.method)

    def setting(self, among: Iterable["Condition"] = ()) -> str:
        """Return the label without the method's title; "" where nothing has to be said.

        `among` are the conditions that are shown side by side; those of the same task and method
        count.
        """
        peers = [other for other in among if (other.task, other.method) == (self.task, self.method)]
        said = []
        for part in fields(self):
            how, value = part.metadata, getattr(self, part.name)
            if how["words"] is None or value is None:
                continue
            unusual = how["unusual"] and value != part.default
            apart = how["apart"] and any(getattr(other, part.name) != value for other in peers)
            if unusual or apart:
                said.append(how["words"](value))
        return ", ".join(said)

    def label(self, among: Iterable["Condition"] = ()) -> str:
        """Return the one name that people read, such as "Agentic Transformer, noise 0.1"."""
        setting = self.setting(among)
        return f"{self.title}, {setting}" if setting else self.title

    def file_name(self) -> str:
        """Return a name for files about this condition, such as "at-kept-step40-4episodes"."""
        said = []
        for part in fields(self):
            file, value = part.metadata["file"], getattr(self, part.name)
            if file is not None:
                said.append(file(value))
            elif value != part.default:
                said.append(f"{part.name.replace('_', '')}{value}")
        return "-".join(filter(None, said))

    @property
    def needs_data(self) -> bool:
        """Whether the data set has to be there to measure under this condition."""
        return memory_named(self.memory).needs_data

    def imposed_on(self, policy: Policy, seeds: Sequence[int], data: Any = None) -> Policy:
        """Return what acts under this condition, in one context for each of `seeds`.

        Nothing is computed yet, so that this also serves to check a condition.

        Raises:
            AgenticError: numbers that no evaluation can have, a policy of another task, or a
                condition that the policy cannot be put to.
        """
        seeds = tuple(seeds)
        _check_numbers(self.episodes, seeds)
        policy.check_fits(get_task(self.task))
        acting = contexts = policy.side_by_side(seeds)
        trial = Trial(policy, contexts, seeds, data)
        for part in fields(self):
            treatment, value = part.metadata["treatment"], getattr(self, part.name)
            if treatment is not None and value != part.default:
                acting = treatment(acting, value, trial)
        return acting


def _check_numbers(episodes: int, seeds: Sequence[int]) -> None:
    if episodes < 1 or not seeds:
        raise AgenticError(
            f"{episodes} episodes in {len(seeds)} contexts: evaluation needs at least one of each."
        )
    twice = [seed for seed in sorted(set(seeds)) if seeds.count(seed) > 1]
    if twice or min(seeds) < 0:
        raise AgenticError(
            f"seed {twice[0] if twice else min(seeds)} is {'given twice' if twice else 'negative'};"
            " seeds are different whole numbers from 0 on, one context each."
        )


@dataclass(frozen=True)
class ConditionOptions:
    """Under which conditions a policy is evaluated.

    Attributes:
        episodes: episodes in one context; by default as many as in a training chain, and for
            --best-of at least as many as that.
        best_of: report the best of this many episodes, the first ones of each context, for every
            method alike; by default of all.
        target_return: return to condition on; by default the data set's best.
        target_sweep: returns to condition on in turn, each with a row of its own.
        memory: what the policy keeps between episodes; several are evaluated in turn.
        clear_context: also evaluate with the context emptied before each episode, as
            --memory cleared does.
        shuffle_history: also evaluate with the context's own trajectories in random order before
            each episode, as --memory shuffled does.
        random_policy: also evaluate uniformly random actions, on the same seeds.
        action_noise: standard deviation of Gaussian noise added to every action.
        cache_dtype: what keys and values of the context are kept in; by default as the policy
            computes. bfloat16 halves the memory of a context and rounds what is remembered.
    """

    episodes: int | None = None
    best_of: int | None = None
    target_return: float | None = None
    target_sweep: tuple[float, ...] = ()
    memory: tuple[str, ...] = ("kept",)
    clear_context: bool = False
    shuffle_history: bool = False
    random_policy: bool = False
    action_noise: float = 0.0
    cache_dtype: Literal["float32", "bfloat16"] | None = None

    def __post_init__(self):
        if self.best_of is not None and not 1 <= self.best_of <= (self.episodes or self.best_of):
            raise AgenticError(
                f"best_of is {self.best_of} of {self.episodes or 'all'} episodes in a context; "
                f"it is 1 to {self.episodes or 'any number'}."
            )

    @property
    def memories(self) -> tuple[str, ...]:
        """Every memory asked for, by name or by flag, once."""
        flags = {"cleared": self.clear_context, "shuffled": self.shuffle_history}
        return tuple(dict.fromkeys((*self.memory, *(name for name, on in flags.items() if on))))

    def conditions(
        self, policy: Policy, task: str, method: str, step: int
    ) -> Iterator[tuple[Policy, Condition]]:
        """Yield every condition, and the policy that is put to it: targets within memories.

        Raises AgenticError for a target return that is not finite or that the policy cannot aim at.
        """
        aiming = self._aiming(policy)
        episodes = self.episodes or max(self.best_of or 1, policy.episodes)
        # The option of a treatment has the name of its field.
        treated = {part.name for part in fields(Condition) if part.metadata["treatment"]}
        treated = {name: getattr(self, name) for name in treated}
        for memory in self.memories:
            for one in aiming:
                own = treated | {"method": method, "step": step, "memory": memory}
                yield one, Condition.of(one, task, episodes, **own)
        if self.random_policy:
            random = RandomPolicy(get_task(task).action_size)
            yield random, Condition.of(random, task, episodes, step=step)

    def _aiming(self, policy: Policy) -> list[Policy]:
        """Return the policy with each of the targets asked for."""
        targets = [*([] if self.target_return is None else [self.target_return])]
        targets = list(dict.fromkeys(map(float, (*targets, *self.target_sweep))))
        if not np.isfinite(targets).all():
            raise AgenticError(f"the target returns are {targets}; each must be a finite number.")
        return [policy.aiming_at(target) for target in targets] or [policy]
