"""`agentic data info` and `agentic data convert`."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import tyro
from rich.table import Table

from agentic.cli.terminal import console, progress


def info(arguments: Sequence[str]) -> None:
    """Parse and run `agentic data info`."""

    def command(
        path: tyro.conf.Positional[Path], /, task: str | None = None, json: bool = False
    ) -> None:
        """Print what a data set holds: episodes, shapes, returns per task.

        Args:
            path: directory of ExoRL episodes, or an .h5 store.
            task: label episodes for this task to show its returns.
            json: print JSON instead of tables.
        """
        _print_info(path, task, json)

    tyro.cli(command, prog="agentic data info", args=arguments)


def _print_info(path: Path, task: str | None, as_json: bool) -> None:
    from agentic.dataset import describe

    facts = describe(path, task)
    if as_json:
        console.print_json(json.dumps(facts))
        return
    tasks = facts.pop("tasks")
    table = Table("property", "value", title=str(path))
    for name, value in facts.items():
        table.add_row(name, str(value))
    console.print(table)
    if not tasks:
        console.print("add --task TASK to label the episodes and see their returns", style="dim")
        return
    table = Table(title="returns")
    table.add_column("task")
    for name in next(iter(tasks.values()))["returns"]:
        table.add_column(name, justify="right")
    for name, labelled in tasks.items():
        table.add_row(name, *(f"{value:.1f}" for value in labelled["returns"].values()))
    console.print(table)


def convert(arguments: Sequence[str]) -> None:
    """Parse and run `agentic data convert`."""

    def command(
        directory: tyro.conf.Positional[Path],
        out: tyro.conf.Positional[Path],
        /,
        task: Annotated[tuple[str, ...], tyro.conf.arg(metavar="TASK [TASK ...]")],
        control: Literal["action", "zero"] = "action",
        episodes: int | None = None,
        skip_damaged: bool = False,
        overwrite: bool = False,
    ) -> None:
        """Convert ExoRL episodes to one store that is memory-mapped when training starts.

        Args:
            directory: directory of ExoRL episodes.
            out: the store to write, OUT.h5.
            task: tasks to label the episodes for.
            control: what labels read as control: the action (the environment's reward) or zero
                (ExoRL's own relabelling).
            episodes: convert only this many, the first ones.
            skip_damaged: leave damaged episodes out and name them, instead of stopping.
            overwrite: replace an existing store.
        """
        _convert(directory, out, task, control, episodes, skip_damaged, overwrite)

    tyro.cli(command, prog="agentic data convert", args=arguments)


def _convert(directory, out, tasks, control, episodes, skip_damaged, overwrite) -> None:
    from agentic.dataset import convert as write_store

    with progress("converting", "episodes") as advance:
        done = write_store(
            directory, out, tasks, control, advance, episodes, skip_damaged, overwrite
        )
    for sentence in done.skipped:
        console.print(f"skipped: {sentence}", style="yellow")
    console.print(f"{done.path}: {done.episodes} episodes, {done.steps:,} steps")
    console.print(f"next: agentic train {tasks[0]} --data {out} --out runs/NAME")
