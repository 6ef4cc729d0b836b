"""The contract of a method, and the configuration of one run of it."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, Protocol

from agentic.acting.policy import Policy
from agentic.dataset.dataset import Dataset
from agentic.errors import AgenticError, closest
from agentic.methods import METHODS
from agentic.methods.options import make_options, option_names, options_from_json
from agentic.simulation.tasks import get_task
from agentic.training.checkpoint import Checkpoint
from agentic.training.learner import Course, Learner


@dataclass(frozen=True, kw_only=True)
class RunConfig(Course):
    """One training run: what every method is told, and the method's own options.

    Attributes:
        task: task name, such as "walker_run".
        data: a directory of ExoRL episodes or an .h5 store.
        method: what learns, a name in METHODS.
        control: what labels made on the way read as control: "action" or "zero".
        recompute_observations: take observations from physics, where those that are stored have
            another width than the installed simulator's.
        seed: draws parameters, batches and noise.
        options: the method's own.
    """

    task: str
    data: str
    method: str
    control: Literal["action", "zero"] = "action"
    recompute_observations: bool = False
    seed: int = 0
    options: Any

    def __post_init__(self):
        super().__post_init__()
        get_task(self.task)
        kind = method_named(self.method).Options
        if not isinstance(self.options, kind):
            raise AgenticError(
                f"options are {type(self.options).__name__}, and {self.method} has "
                f"{kind.__name__}; agentic.configure(task, data, {self.method!r}) makes them."
            )
        if self.seed < 0:
            raise AgenticError(f"seed is {self.seed}; it must be at least 0.")

    @property
    def course(self) -> Course:
        """How long it trains, and how often it logs and saves."""
        return Course(self.steps, self.log_every, self.checkpoint_every)

    def changed(self, **options: Any) -> "RunConfig":
        """Return this configuration with other options, by flat names, as `configure` takes them.

        Raises AgenticError for an option that the method does not have.
        """
        own = _split(self.method, options)
        return replace(self, options=make_options(type(self.options), options, self.options), **own)


class Method(Protocol):
    """All that one name on --method stands for.

    Attributes:
        title: what reports call it.
        Options: a frozen dataclass beside what it builds, with parts if need be
            (`agentic.methods.options`). Its docstring is the help and its fields are the flags.
        course: how long it trains, and how often it logs and saves, by default.
        imitates: whether its loss is the error of imitated actions, and not of values.
        across_processes: whether several processes may train it together.
    """

    title: str
    Options: type
    course: Course
    imitates: bool
    across_processes: bool

    def learner(self, config: RunConfig, data: Dataset) -> Learner:
        """Return what learns from the data as the configuration says."""

    def policy(self, document: Mapping[str, Any], checkpoint: Checkpoint, **kept: Any) -> Policy:
        """Return what acts, of a run's config.json and one of its checkpoints.

        `kept` says how a context is kept: cache_dtype and devices, as `load_policy` takes them.
        """

    def notes(self, config: RunConfig) -> list[str]:
        """Return what the user should know before training starts, a sentence each."""


def method_named(name: str) -> Method:
    """Return the method of a name, or raise AgenticError with the closest one."""
    if name not in METHODS:
        raise AgenticError(f"method is {name!r}; {closest(str(name), METHODS)}.")
    return METHODS[name]


def configure(task: str, data: str, method: str = "at", **options: Any) -> RunConfig:
    """Return the configuration of a run of any method, with what `options` set.

    Args:
        task: task name, such as "walker_run".
        data: a directory of ExoRL episodes or an .h5 store.
        method: a name in `agentic.methods.METHODS`.
        options: those of `RunConfig` and of the method, by the names of the command's flags.

    Raises AgenticError for an option that this method does not have.
    """
    found = method_named(method)
    own = vars(found.course) | _split(method, options)
    return RunConfig(
        task=task, data=data, method=method, options=make_options(found.Options, options), **own
    )


def shared_names() -> list[str]:
    """Return the options that every method has, besides its task, data and name."""
    apart = ("task", "data", "method", "options")
    return [field.name for field in fields(RunConfig) if field.name not in apart]


def _split(method: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return those options that every method has, or raise AgenticError for an unknown one."""
    shared = shared_names()
    known = [*shared, *option_names(method_named(method).Options)]
    for name in options:
        if name not in known:
            raise AgenticError(f"{name} is not an option of {method}; {closest(name, known)}.")
    return {name: options[name] for name in shared if name in options}


def config_of(document: Mapping[str, Any]) -> RunConfig:
    """Return the configuration that a run's config.json was written of.

    Options that did not exist yet have the defaults of today, which change nothing.
    """
    shared = {name: document[name] for name in shared_names() if name in document}
    data = document["data"]
    shared |= {name: data[name] for name in ("control", "recompute_observations")}
    return RunConfig(
        task=document["task"],
        data=data["source"],
        method=document["method"],
        options=options_from_json(method_named(document["method"]).Options, document["options"]),
        **shared,
    )
