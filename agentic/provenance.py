"""Where a result comes from: versions, commit, date and machine."""

import datetime
import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

# The packages that a run's result depends on.
RUN_PACKAGES = ("agentic", "jax", "flax", "optax", "numpy", "mujoco", "dm-control")

# The files that experiments write into the checkout that they run from.
RESULTS = tuple(
    f":(top,exclude,glob)experiments/**/*.{kind}" for kind in ("json", "jsonl", "md", "png")
)


def of_run(device: str) -> dict[str, object]:
    """Return versions, python, commit and machine for a config.json.

    `device` is JAX's name for the device, with the number of devices if there are several.
    """
    return {
        "versions": versions(RUN_PACKAGES),
        "python": platform.python_version(),
        "commit": commit(),
        "machine": f"{machine()}, {device}",
    }


def versions(packages: Iterable[str]) -> dict[str, str]:
    """Return the installed version of every package."""
    return {name: _version(name) for name in packages}


@lru_cache
def _version(package: str) -> str:
    # A look-up parses all of a package's metadata, which does not change while a process runs.
    return importlib.metadata.version(package)


def commit() -> str | None:
    """Return the commit of the checkout that this code runs from, or None outside of a checkout.

    It ends in -dirty if tracked files differ from it. Results of experiments and benchmarks do not
    count, because they are written while others are still running.
    """
    root = Path(__file__).resolve().parents[1]
    if not (root / ".git").exists():
        return None
    try:
        name = _git(root, "describe", "--always", "--abbrev=40").strip()
        changed = _git(root, "diff", "--name-only", "HEAD", "--", ":/", *RESULTS)
    except (OSError, subprocess.CalledProcessError):
        return None
    return f"{name}-dirty" if changed else name


def _git(root: Path, *words: str) -> str:
    command = ["git", "-C", str(root), *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def machine() -> str:
    """Return the architecture and the number of the processors."""
    return f"{platform.machine()}, {os.cpu_count()} CPUs"


def cores() -> int:
    """Return how many processors this process may use, the default for parallel work."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def day(timestamp: float | None = None) -> str:
    """Return the UTC date of a time in seconds, today's by default: 2026-11-25."""
    if timestamp is None:
        return datetime.datetime.now(datetime.UTC).date().isoformat()
    return datetime.datetime.fromtimestamp(timestamp, datetime.UTC).date().isoformat()
