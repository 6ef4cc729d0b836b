"""`agentic experiment run`, `status`, `report` and `cell`."""

import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Literal

import tyro
from rich.text import Text

from agentic.cli.terminal import clock, console, print_table, say
from agentic.errors import AgenticError
from agentic.experiment.local import Launcher
from agentic.experiment.slurm import SlurmConfig, job_states, submit
from agentic.experiment.spec import Cell, Experiment, default_root, load_experiment
from agentic.experiment.state import BUSY, LOG, Busy, State
from agentic.experiment.status import status_of
from agentic.experiment.work import cell_command, on_core, place_of, take_signals, work
from agentic.interruption import Interrupted
from agentic.report.table import Column, Table

ANY = SlurmConfig()
Patterns = Annotated[tuple[str, ...], tyro.conf.arg(metavar="PATTERN")]


def run(arguments: Sequence[str], cell_command: Callable[..., list[str]] = cell_command) -> None:
    """Parse and run `agentic experiment run`; `cell_command` is the one that `Launcher` takes."""

    def command(
        folder: tyro.conf.Positional[Path],
        /,
        only: Patterns = (),
        root: Path | None = None,
        launcher: Literal["local", "slurm"] = "local",
        jobs: int | None = None,
        slurm: SlurmConfig = ANY,
    ) -> None:
        """Run the missing cells of an experiment, then write its results and report.

        A cell is one training run and its evaluations. Finished cells are kept, an interrupted cell
        goes on from its last checkpoint, and a failed cell is tried again. Ctrl-C saves and stops
        all cells; the same command goes on with them.

        Args:
            folder: holds experiment.py, which lists the cells.
            only: run only cells whose names match one of these, such as "walker_*-at-*".
            root: folder for run folders and collected data; by default runs/NAME.
            launcher: run cells in local processes, or submit those that are neither done nor queued
                as jobs of a Slurm cluster.
            jobs: local cells at the same time; by default one per core.
            slurm: the resources that each cell requests from the cluster.
        """
        experiment, place = load_experiment(folder), root or default_root(folder)
        cells = experiment.select(only)
        if launcher == "slurm":
            if jobs is not None:
                raise AgenticError("--jobs is for local processes; with Slurm the cluster decides.")
            _submit(experiment, folder, place, cells, slurm)
            return
        if slurm != ANY:
            raise AgenticError("--slurm options are not for local processes; add --launcher slurm.")
        again = shlex.join(["agentic", "experiment", "run", *arguments])
        local = Launcher(experiment, folder, place, cells, jobs, cell_command)
        _run_locally(experiment, folder, place, local, again)

    tyro.cli(command, prog="agentic experiment run", args=arguments)


def status(arguments: Sequence[str]) -> None:
    """Parse and run `agentic experiment status`."""

    def command(
        folder: tyro.conf.Positional[Path],
        /,
        only: Patterns = (),
        root: Path | None = None,
    ) -> None:
        """Show how far each cell of an experiment is.

        Args:
            folder: holds experiment.py, which lists the cells.
            only: show only cells whose names match one of these.
            root: folder of run folders and collected data; by default runs/NAME.
        """
        experiment, place = load_experiment(folder), root or default_root(folder)
        _print_status(experiment, place, experiment.select(only))

    tyro.cli(command, prog="agentic experiment status", args=arguments)


def report(arguments: Sequence[str]) -> None:
    """Parse and run `agentic experiment report`."""

    def command(folder: tyro.conf.Positional[Path], /, root: Path | None = None) -> None:
        """Collect the results of all finished cells and write the experiment's report again.

        Cells without a run folder keep their lines in results.jsonl, cells.jsonl and data.jsonl of
        the experiment's folder, so a clone without run folders writes the same report.

        Args:
            folder: holds experiment.py and the results.
            root: folder of run folders and collected data; by default runs/NAME.
        """
        experiment, place = load_experiment(folder), root or default_root(folder)
        if not _report(experiment, folder, place):
            raise AgenticError(
                f"{folder} has no results yet, neither in {place} nor committed; "
                f"`agentic experiment run {folder}` makes them."
            )

    tyro.cli(command, prog="agentic experiment report", args=arguments)


def cell(arguments: Sequence[str]) -> None:
    """Parse and run `agentic experiment cell`."""

    def command(
        folder: tyro.conf.Positional[Path],
        name: tyro.conf.Positional[str],
        /,
        root: Path | None = None,
        core: int | None = None,
    ) -> None:
        """Run one cell, or make one data set, in this process; `run` starts this for each.

        Args:
            folder: holds experiment.py.
            name: of the cell or data set.
            root: folder for run folders and collected data; by default runs/NAME.
            core: run on this core only, counted from 0 among those the process may use.
        """
        take_signals()
        if core is not None:
            on_core(core)
        try:
            work(load_experiment(folder), name, root or default_root(folder))
        except Busy as busy:
            print(f"error: {busy}", file=sys.stderr)
            sys.exit(BUSY)

    tyro.cli(command, prog="agentic experiment cell", args=arguments)


def _run_locally(
    experiment: Experiment, folder: Path, root: Path, launcher: Launcher, again: str
) -> None:
    with console.status("") as status:
        for changes in launcher:
            for name, what in changes:
                _say_change(launcher, name, what)
            if console.is_terminal:
                status.update(_overview(launcher))
    _report(experiment, folder, root)
    if launcher.stopping:
        raise Interrupted(f"stopped with {len(launcher.waiting)} cells to go; go on with: {again}")
    if launcher.failed:
        raise AgenticError(_failures(experiment, root, launcher))


def _submit(
    experiment: Experiment, folder: Path, root: Path, cells: Sequence[Cell], config: SlurmConfig
) -> None:
    count = 0
    for name, job in submit(experiment, folder, root, cells, config):
        say(f"{name}: job {job}")
        count += 1
    say(f"{count} jobs submitted; agentic experiment status {folder} shows how far they are")
    say(f"when they are done: agentic experiment report {folder}")


def _report(experiment: Experiment, folder: Path, root: Path) -> bool:
    """Write results and report; return whether there are any."""
    from agentic.experiment.results import update_results

    results = update_results(experiment, folder, root)
    if not results.cells:
        return False
    experiment.report(folder, results)
    say(f"report: {folder / 'report.md'} ({len(results.cells)} of {len(experiment.cells)} cells)")
    if results.other:
        say(
            f"note: {len(results.other)} cells were run with other settings than experiment.py has "
            f"now (the first: {results.other[0]}); move their run folders away to run them anew.",
            style="yellow",
        )
    return True


def _failures(experiment: Experiment, root: Path, launcher: Launcher) -> str:
    logs = "; ".join(
        f"{name} ({launcher.failed[name].why.removesuffix('.')}; log: {place_of(part, root) / LOG})"
        for name, part in experiment.by_name.items()
        if name in launcher.failed
    )
    blocked = f", so {len(launcher.blocked)} cells could not run" if launcher.blocked else ""
    return f"{len(launcher.failed)} failed{blocked}: {logs}; the same command tries them again."


def _say_change(launcher: Launcher, name: str, what: str) -> None:
    """Print a line for a cell that began or ended, which is all that a log keeps."""
    if what == "failed":
        say(f"{name}: failed, {launcher.failed[name].why}", style="red")
    elif what == "done":
        seconds = launcher.state(name).seconds
        parts = ", ".join(f"{part} {clock(value)}" for part, value in seconds.items())
        say(f"{name}: done ({parts}); {len(launcher.waiting)} waiting")
    else:
        say(f"{name}: {what}", style="dim" if what == "begun" else None)


def _overview(launcher: Launcher) -> Text:
    counts = {name: len(getattr(launcher, name)) for name in ("done", "waiting", "failed")}
    lines = [", ".join(f"{count} {name}" for name, count in counts.items() if count)]
    lines[0] += "; stopping" if launcher.stopping else ""
    lines += [f"  {name}: {how_far(launcher.state(name))}" for name in launcher.running]
    return Text("\n".join(lines))


def how_far(state: State) -> str:
    """Return "training 1,200 of 2,500"."""
    return f"{state.part} {state.step:,} of {state.of:,}" if state.of else state.part


def _print_status(experiment: Experiment, root: Path, cells: Sequence[Cell]) -> None:
    rows = status_of(experiment, root, cells, job_states(root))
    columns = Column("cell"), Column("state"), Column("seconds", "right"), Column("")
    lines = []
    for row in rows:
        state = row.state
        note = how_far(state) if state.state == "running" else state.why
        seconds = f"{state.total_seconds:,.0f}" if state.seconds else ""
        lines.append((row.name, state.state, seconds, note))
    print_table(Table(columns, tuple(lines)))
    kinds = dict.fromkeys(row.state.state for row in rows)
    counts = [f"{sum(row.state.state == kind for row in rows)} {kind}" for kind in kinds]
    say(f"{', '.join(counts)}; run folders in {root}")
