"""The command line of one cell: what a launcher starts, on this machine or another."""

import os
import sys
from pathlib import Path


def cell_command(folder: Path, name: str, root: Path, core: int | None = None) -> list[str]:
    """Return the command that does one cell or data set: `agentic experiment cell ...`."""
    words = [sys.executable, "-P", "-m", "agentic", "experiment", "cell", str(folder), name]
    words += ["--root", str(root)]
    return words if core is None else [*words, "--core", str(core)]


def environment() -> dict[str, str]:
    """Return an environment in which the command finds the very package that runs here."""
    package = str(Path(__file__).resolve().parents[2])
    before = os.environ.get("PYTHONPATH")
    return os.environ | {"PYTHONPATH": os.pathsep.join([package, *([before] if before else [])])}
