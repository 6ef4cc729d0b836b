"""`agentic data info` and `agentic data verify`."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import tyro

from agentic.cli.terminal import (
    console,
    errors,
    print_json,
    print_table,
    progress,
    say,
)
from agentic.errors import AgenticError
from agentic.files import write_bytes
from agentic.report.table import Column, Table


def info(arguments: Sequence[str]) -> None:
    """Parse and run `agentic data info`."""

    def command(
        path: tyro.conf.Positional[Path],
        /,
        task: str | None = None,
        json: bool = False,
        histogram: Path | None = None,
    ) -> None:
        """Print what a data set holds: episodes, shapes, returns per task.

        Args:
            path: directory of ExoRL episodes, or an .h5 store.
            task: show this task alone; episodes are labelled for it.
            json: print JSON instead of tables.
            histogram: also draw how returns are distributed, as OUT.png.
        """
        _print_info(path, task, json, histogram)

    tyro.cli(command, prog="agentic data info", args=arguments)


def _print_info(path: Path, task: str | None, as_json: bool, histogram: Path | None) -> None:
    from agentic.dataset.inspect import describe_data

    if histogram is not None and histogram.suffix != ".png":
        raise AgenticError(f"the histogram is to be {histogram}; its name must end in .png.")
    if task is None or path.suffix == ".h5":
        facts, returns = describe_data(path, task)
    else:
        with progress("labelling", "episodes", errors if as_json else console) as advance:
            facts, returns = describe_data(path, task, advance)
    if histogram is not None:
        _draw(histogram, path, returns)
    if as_json:
        print_json(facts)
        return
    tasks = facts.pop("tasks")
    facts["length_range"] = "{} to {}".format(*facts["length_range"])
    rows = tuple((name.replace("_", " "), _words(value)) for name, value in facts.items())
    print_table(Table((Column("property"), Column("value")), rows), title=str(path))
    if not tasks:
        relabel = f"agentic data relabel {shlex.quote(str(path))} --task TASK"
        command = relabel if path.suffix == ".h5" else "--task TASK"
        say(f"no labels: {command} makes them and shows their returns", style="dim")
        return
    print_table(_returns(tasks), title="returns")
    if histogram is not None:
        say(f"histogram: {histogram}")


def _returns(tasks: Mapping[str, dict]) -> Table:
    """Return the returns of every task that a data set is labelled for."""
    names = next(iter(tasks.values()))["returns"]
    columns = [Column(name, "right", "{:.1f}".format) for name in names]
    rows = tuple(
        (task, labelled["control"], *labelled["returns"].values())
        for task, labelled in tasks.items()
    )
    return Table((Column("task"), Column("control"), *columns), rows)


def _words(value: object) -> str:
    """Return a fact for people: numbers grouped, shapes as 50 x 1000 x 5, one entry a line."""
    if isinstance(value, dict):
        return "\n".join(f"{name}: {_words(entry)}" for name, entry in value.items())
    if isinstance(value, tuple):
        return " x ".join(map(str, value))
    return f"{value:,}" if isinstance(value, int) else str(value)


def _draw(picture: Path, path: Path, returns: Mapping[str, np.ndarray]) -> None:
    from agentic.report.histograms import data_histogram
    from agentic.report.theme import LIGHT, png

    if not returns:
        raise AgenticError(f"{path} has no labels to draw; name a --task, or relabel the store.")
    write_bytes(picture, png(data_histogram(returns, LIGHT)))


def verify(arguments: Sequence[str]) -> None:
    """Parse and run `agentic data verify`."""

    def command(
        path: tyro.conf.Positional[Path], /, json: bool = False, workers: int | None = None
    ) -> None:
        """Read all of a data set and name everything that is wrong; exit status 1 if anything is.

        Of a directory every episode is read and checked. Of a store: structure, shapes, finite
        values, padding, returns, and every sha256 computed anew. Of both, a sample of steps is
        simulated again from the stored states, which tells whether the actions belong to them.

        Args:
            path: directory of ExoRL episodes, or an .h5 store.
            json: print JSON instead of sentences.
            workers: threads that read; by default one a processor.
        """
        _verify(path, json, workers)

    tyro.cli(command, prog="agentic data verify", args=arguments)


def _verify(path: Path, as_json: bool, workers: int | None) -> None:
    from agentic.dataset import verify as check

    with progress("verifying", "episodes", errors if as_json else console) as advance:
        found = check(path, advance, workers)
    if as_json:
        print_json(found._asdict() | {"path": str(path)})
    else:
        for sentence in found.problems:
            say(f"problem: {sentence}", style="red")
    if found.problems:
        raise AgenticError(
            f"{path} has {len(found.problems)} problems in {found.episodes} episodes; "
            "they are named above."
        )
    if not as_json:
        say(f"{path}: {found.episodes} episodes, all of them whole")
        if found.replayed:
            say(found.replayed, style="dim")
