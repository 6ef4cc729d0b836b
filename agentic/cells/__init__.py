"""Experiments of many cells: each trains once, is evaluated, and keeps a run folder of its own.

    Experiment, Cell, Collected    what FOLDER/experiment.py says

`loading` reads that file, `work` does one piece of it in a process, `local` and `slurm` see to it
that all are done, `status` tells how far they are, and `results` gathers what a report needs.
"""

from agentic.cells.cell import Cell, Collected, Experiment

__all__ = ["Cell", "Collected", "Experiment"]
