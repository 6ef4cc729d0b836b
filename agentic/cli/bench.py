"""`agentic bench`."""

import dataclasses
import importlib
import platform
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro
from rich.text import Text

from agentic import provenance
from agentic.bench import BENCHMARKS, Row
from agentic.cli.terminal import console, errors, print_json, print_table, say
from agentic.errors import AgenticError, closest
from agentic.report.table import Column, Table
from agentic.training.run import write_json

PACKAGES = ("agentic", "numpy", "mujoco", "dm-control", "jax", "h5py")


def bench(arguments: Sequence[str]) -> None:
    """Parse and run."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print(usage())
        return
    name, *rest = arguments
    if name not in BENCHMARKS:
        raise AgenticError(f"{name!r} is not a benchmark; {closest(name, BENCHMARKS)}.")
    module = importlib.import_module(f"agentic.bench.{name}")
    command = tyro.cli(_command(module.Options), prog=f"agentic bench {name}", args=rest)
    # Of ASCII, and with words that are no markup.
    with (errors if command.json else console).status(Text(name), spinner="line") as status:
        rows = module.run(command.options, lambda text: status.update(Text(text)))
    document = record(name, rest, command.options, rows)
    if command.json:
        print_json(document)
    else:
        print_table(table(rows), title=f"agentic bench {name}")
    if command.out is not None:
        write_json(command.out, document)
        if not command.json:
            say(f"written: {command.out}")


def usage() -> str:
    """Return the help of `agentic bench` itself."""
    width = max(map(len, BENCHMARKS))
    lines = "\n".join(f"  {name:<{width}}  {text}" for name, text in BENCHMARKS.items())
    return (
        "usage: agentic bench NAME [options] [--json] [--out FILE.json]\n\n"
        f"Measure this machine.\n\nbenchmarks:\n{lines}\n\n"
        "`agentic bench NAME --help` explains a benchmark's options."
    )


def record(name: str, arguments: Sequence[str], options: object, rows: Sequence[Row]) -> dict:
    """Return everything that is needed to repeat and to read a measurement."""
    return {
        "benchmark": name,
        "command": shlex.join(["agentic", "bench", name, *arguments]),
        "date": provenance.day(),
        "commit": provenance.commit(),
        "machine": provenance.machine(),
        "python": platform.python_version(),
        "versions": provenance.versions(PACKAGES),
        "options": {
            name: str(value) if isinstance(value, Path) else value
            for name, value in dataclasses.asdict(options).items()
        },
        "rows": list(rows),
    }


def table(rows: Sequence[Row]) -> Table:
    """Return the rows as a table, numbers to four digits."""
    columns = []
    for heading in rows[0]:
        words = all(isinstance(row[heading], str) for row in rows)
        columns.append(Column(heading, "left" if words else "right", "{:.4g}".format))
    return Table(tuple(columns), tuple(tuple(row.values()) for row in rows))


def _command(options: type) -> type:
    """Return the command line of a benchmark: its own options, and where results go."""
    return dataclasses.make_dataclass(
        "Bench",
        [
            ("options", Annotated[options, tyro.conf.arg(name="")], options()),
            ("json", Annotated[bool, tyro.conf.arg(help="print JSON, not a table.")], False),
            (
                "out",
                Annotated[Path | None, tyro.conf.arg(help="also write the JSON to this file.")],
                None,
            ),
        ],
        frozen=True,
        kw_only=True,
        namespace={"__doc__": options.__doc__},
    )
