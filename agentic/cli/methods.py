"""The options of `agentic train`: each method family has a command of its own."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal

import tyro

from agentic.errors import AgenticError
from agentic.methods.options import CONFIGS, BaselineConfig, IQLConfig, TD3BCConfig, TD3Config
from agentic.methods.transformer import METHODS, ExperimentConfig
from agentic.training.processes import Processes

Method = Literal["at", "dt", "bc", "bc10", "td3", "td3_bc", "iql"]


@dataclass(frozen=True, kw_only=True)
class Where:
    """What every method is told beside its own options.

    Attributes:
        method: "at" Agentic Transformer, "dt" Decision Transformer, "bc" behaviour cloning, "bc10"
            behaviour cloning of the best 10 %; "td3", "td3_bc" (TD3+BC) and "iql" learn values and
            have options of their own: see `agentic train --method iql --help`.
        out: run folder; new, unless --resume.
        resume: go on from the newest checkpoint, bit-equal to a run never interrupted.
        relabel: if the store is not labelled for the task and --control, label it first.
    """

    task: tyro.conf.Positional[str]
    method: Method = "at"
    out: Path
    resume: bool = False
    relabel: bool = False


@dataclass(frozen=True, kw_only=True)
class TrainCommand(Where, ExperimentConfig, Processes):
    """Train a policy on a data set."""


@dataclass(frozen=True, kw_only=True)
class TrainTD3(Where, TD3Config):
    """Train TD3 on a data set: it learns values and acts on them, whatever the data did."""

    method: Method = "td3"


@dataclass(frozen=True, kw_only=True)
class TrainTD3BC(Where, TD3BCConfig):
    """Train TD3+BC on a data set: TD3 whose actor also imitates the data."""

    method: Method = "td3_bc"


@dataclass(frozen=True, kw_only=True)
class TrainIQL(Where, IQLConfig):
    """Train implicit Q-learning on a data set: imitation of the actions that the values favour."""

    method: Method = "iql"


COMMANDS: dict[str, type] = dict.fromkeys(METHODS, TrainCommand) | {
    "td3": TrainTD3,
    "td3_bc": TrainTD3BC,
    "iql": TrainIQL,
}


def parse(arguments: Sequence[str]) -> Where:
    """Return the command that the arguments of `agentic train` make.

    Raises AgenticError for an option that only other methods have.
    """
    method = _method(arguments)
    # Of a name that is none, tyro says which there are.
    command = COMMANDS.get(method, TrainCommand)
    _refuse_foreign(arguments, method, command)
    return tyro.cli(command, prog="agentic train", args=arguments)


def configuration(command: Where) -> ExperimentConfig | BaselineConfig:
    """Return the run's configuration apart from where it goes."""
    kind = CONFIGS.get(command.method, ExperimentConfig)
    return kind(**{field.name: getattr(command, field.name) for field in fields(kind)})


def _method(arguments: Sequence[str]) -> str:
    """Return the value of the last --method, which counts; the default where there is none."""
    method = Where.method
    for place, word in enumerate(arguments):
        if word == "--method" and place + 1 < len(arguments):
            method = arguments[place + 1]
        elif word.startswith("--method="):
            method = word.partition("=")[2]
    return method


def _refuse_foreign(arguments: Sequence[str], method: str, command: type) -> None:
    for word in arguments:
        name = word.partition("=")[0]
        having = [other for other, kind in COMMANDS.items() if name in _options(kind)]
        if having and name not in _options(command):
            raise AgenticError(
                f"{name} does nothing to {method}; it is an option of {', '.join(having)}, so "
                "leave it out or take one of these."
            )


def _options(command: type) -> set[str]:
    names = {field.name.replace("_", "-") for field in fields(command)}
    return {f"--{prefix}{name}" for name in names for prefix in ("", "no-")}
