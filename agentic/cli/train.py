"""`agentic train`; its flags are those of every run and of the method that --method names."""

import inspect
from collections.abc import Sequence
from dataclasses import fields, is_dataclass, make_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import tyro

from agentic.cli.terminal import progress, say
from agentic.dataset import Dataset
from agentic.errors import AgenticError
from agentic.methods import METHODS
from agentic.methods.method import RunConfig
from agentic.methods.options import option_names
from agentic.methods.train import load_data
from agentic.methods.train import train as train_run
from agentic.training.processes import Processes, ending_at_once, leads, wait

DEFAULT = "at"
HELP = """Train a policy on a data set.

{options}

Attributes:
    method: what learns; `--method NAME --help` has its options. {methods}.
    out: run folder; new, unless --resume.
    resume: go on from the newest checkpoint, bit-equal to a run never interrupted.
    relabel: if the store is not labelled for the task and --control, label it first.
"""


def train(arguments: Sequence[str]) -> None:
    """Parse and run."""
    name = _method(arguments)
    kind = command_of(name)
    _refuse_foreign(arguments, name, kind)
    command = tyro.cli(
        kind, prog="agentic train", args=arguments, config=(tyro.conf.OmitArgPrefixes,)
    )
    if not hasattr(command, "processes"):
        train_together(command)
        return
    command.processes.start()
    with ending_at_once():
        train_together(command)


def command_of(name: str) -> type[RunConfig]:
    """Return what the arguments of `agentic train --method NAME` make; a RunConfig and more."""
    # Of a name that is none, tyro says which there are.
    method = METHODS.get(name) or METHODS[DEFAULT]
    methods = "; ".join(f"{other}: {METHODS[other].title}" for other in METHODS)
    own = [
        ("task", tyro.conf.Positional[str]),
        ("method", Literal[tuple(METHODS)], name if name in METHODS else DEFAULT),
        ("out", Path),
        ("resume", bool, False),
        ("relabel", bool, False),
        ("options", Annotated[method.Options, tyro.conf.arg(name="")]),
        *((field, int, value) for field, value in vars(method.course).items()),
    ]
    if method.across_processes:
        own.append(("processes", Processes))
    options = inspect.getdoc(method.Options).partition("Attributes:")[0].strip()
    words = {"__doc__": HELP.format(options=options, methods=methods)}
    return make_dataclass(
        "Train", own, bases=(RunConfig,), namespace=words, frozen=True, kw_only=True
    )


def train_together(command: Any) -> None:
    """Train, of several processes the first with words and bars and the others without."""
    config = RunConfig(**{field.name: getattr(command, field.name) for field in fields(RunConfig)})
    if command.relabel:
        if leads():
            label_if_needed(config)
        wait("labelled")
    if not leads():
        train_run(config, command.out, command.resume)
        return
    data = load(config)
    train_with_progress(config, command.out, command.resume, data)
    say(f"trained: {command.out}\nnext: agentic evaluate {command.out}")


def label_if_needed(config: RunConfig) -> None:
    """Label the configuration's store for its task where it is not; episodes always are."""
    store = Path(config.data)
    if store.suffix != ".h5":
        return
    from agentic.cli.labels import label_store
    from agentic.dataset.store.reading import is_labelled

    if not is_labelled(store, config.task, config.control):
        label_store(store, [config.task], config.control)


def load(config: RunConfig) -> Dataset:
    """Load the configuration's data set behind a progress bar."""
    with progress("loading", "episodes") as advance:
        data = load_data(config, advance)
        advance(len(data), len(data))
    returns = data.returns
    say(
        f"{len(data)} episodes of {config.task}, returns {returns.min():.0f} to "
        f"{returns.max():.0f}, mean {returns.mean():.0f}"
    )
    if returns.max() == returns.min():
        say(
            "warning: all returns are equal, so there is nothing to rank or to aim at; collect or "
            "take more data",
            style="yellow",
        )
    if not str(config.data).endswith(".h5"):
        say(
            f"hint: `agentic data convert {config.data} OUT.h5 --task {config.task}` makes "
            "loading fast",
            style="dim",
        )
    return data


def train_with_progress(config: RunConfig, out: Path, resume: bool, data: Dataset) -> None:
    """Train behind a progress bar, after what the method has to say."""
    for note in METHODS[config.method].notes(config):
        say(note, style="dim")
    with progress(f"training {config.method}", "steps") as advance:
        advance(0, config.steps, "compiling")
        train_run(config, out, resume, data, advance)


def _method(arguments: Sequence[str]) -> str:
    """Return the value of the last --method, which counts; the default where there is none."""
    name = DEFAULT
    for place, word in enumerate(arguments):
        if word == "--method" and place + 1 < len(arguments):
            name = arguments[place + 1]
        elif word.startswith("--method="):
            name = word.partition("=")[2]
    return name


def _refuse_foreign(arguments: Sequence[str], method: str, command: type) -> None:
    """Raise AgenticError for a flag that only other methods have."""
    own = _flags(command)
    for word in arguments:
        flag = word.partition("=")[0]
        if not flag.startswith("--") or flag in own:
            continue
        having = [other for other in METHODS if flag in _flags(command_of(other))]
        if having:
            raise AgenticError(
                f"{flag} does nothing to {method}; it is an option of {', '.join(having)}, so "
                "leave it out or take one of these."
            )


def _flags(command: type) -> set[str]:
    """Return the flags of a command, those of its options' parts too."""
    names = []
    for field in fields(command):
        kind = next(filter(is_dataclass, (field.type, *get_args(field.type))), None)
        names += [field.name] if kind is None else option_names(kind)
    flags = {name.replace("_", "-") for name in names}
    return {f"--{prefix}{flag}" for flag in flags for prefix in ("", "no-")}
