"""Experiments of many cells: each cell is one training run, its evaluations and its run folder.

    Experiment, Cell, Collected    the contents of FOLDER/experiment.py
    spec                           reads that file
    work                           does one cell, or makes one data set, in one process
    local, slurm                   run all missing cells, here or on a cluster
    state, status                  how far each cell is
    results, report                the raw results, and the report that is written from them

Names are imported on first use.
"""

import importlib

__all__ = ["Cell", "Collected", "Experiment"]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module("agentic.experiment.spec"), name)


def __dir__() -> list[str]:
    return __all__
