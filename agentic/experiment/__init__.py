"""Experiments of many cells: each trains once, is evaluated, and keeps a run folder of its own.

    Experiment, Cell, Collected    what FOLDER/experiment.py says

`loading` reads that file, `work` does one piece of it in a process, `local` and `slurm` see to it
that all are done, `status` tells how far they are, `results` gathers what a report needs, and
`comparison` writes one. Names are imported on first use.
"""

import importlib

__all__ = ["Cell", "Collected", "Experiment"]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module("agentic.experiment.spec"), name)


def __dir__() -> list[str]:
    return __all__
