"""What made a result: versions, commit and machine."""

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path

PACKAGES = ("agentic", "jax", "flax", "optax", "numpy", "mujoco", "dm-control")


def provenance(device: str) -> dict:
    """Return versions, python, commit and machine for a config.json; `device` is JAX's name."""
    return {
        "versions": {name: importlib.metadata.version(name) for name in PACKAGES},
        "python": platform.python_version(),
        "commit": commit(),
        "machine": f"{platform.machine()}, {os.cpu_count()} CPUs, {device}",
    }


def commit() -> str | None:
    """Return the commit of the checkout that this code runs from, or None outside of one."""
    here = Path(__file__).resolve().parent
    command = ["git", "-C", str(here), "describe", "--always", "--dirty", "--abbrev=40"]
    if not (here.parent / ".git").exists():
        return None
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
