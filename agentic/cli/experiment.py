"""`agentic experiment run`, `status`, `report` and `cell`."""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import tyro
from rich.live import Live
from rich.table import Table

from agentic.cli.terminal import clock, console, say
from agentic.errors import AgenticError
from agentic.experiment.local import Launcher, Snapshot
from agentic.experiment.slurm import SlurmConfig, job_states, submit
from agentic.experiment.spec import Cell, Experiment, default_root, load_experiment
from agentic.experiment.state import BUSY, LOG, Busy, State
from agentic.experiment.status import Rest, status_of
from agentic.experiment.work import on_core, place_of, state_of, take_signals, work
from agentic.interruption import Interrupted

ANY = SlurmConfig()
Patterns = Annotated[tuple[str, ...], tyro.conf.arg(metavar="PATTERN")]


def run(arguments: Sequence[str]) -> None:
    """Parse and run `agentic experiment run`."""

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

        Finished cells are kept; an interrupted cell goes on from its last checkpoint, a failed one
        is tried again. Ctrl-C saves and stops all; the same command goes on.

        Args:
            folder: holds experiment.py, which says what the cells are.
            only: run only cells whose names match one of these, such as "walker_*-at-*".
            root: where run folders and collected data go; by default runs/NAME.
            launcher: local processes, or jobs of a Slurm cluster: the command submits them and
                ends, and called again submits what is neither done nor queued.
            jobs: local cells at the same time; by default one for each core, on one of its own.
            slurm: what every cell asks the cluster for.
        """
        experiment, place = load_experiment(folder), root or default_root(folder)
        cells = experiment.select(only)
        if launcher == "slurm":
            if jobs is not None:
                raise AgenticError("--jobs is for local processes; the cluster decides on its own.")
            _submit(experiment, folder, place, cells, slurm)
            return
        if slurm != ANY:
            raise AgenticError(
                "--slurm options do nothing to local processes; add --launcher slurm."
            )
        again = shlex.join(["agentic", "experiment", "run", *arguments])
        _run_locally(
            experiment, folder, place, Launcher(experiment, folder, place, cells, jobs), again
        )

    tyro.cli(command, prog="agentic experiment run", args=arguments)


def status(arguments: Sequence[str]) -> None:
    """Parse and run `agentic experiment status`."""

    def command(
        folder: tyro.conf.Positional[Path],
        /,
        only: Patterns = (),
        root: Path | None = None,
    ) -> None:
        """Say how far every cell of an experiment is.

        Args:
            folder: holds experiment.py, which says what the cells are.
            only: show only cells whose names match one of these.
            root: where run folders and collected data are; by default runs/NAME.
        """
        experiment, place = load_experiment(folder), root or default_root(folder)
        _print_status(experiment, place, experiment.select(only))

    tyro.cli(command, prog="agentic experiment status", args=arguments)


def report(arguments: Sequence[str]) -> None:
    """Parse and run `agentic experiment report`."""

    def command(folder: tyro.conf.Positional[Path], /, root: Path | None = None) -> None:
        """Gather the results of all finished cells and write the experiment's report anew.

        Cells without a run folder here keep the lines of results.jsonl, cells.jsonl and data.jsonl
        in the experiment's folder, so a clone without any writes the same report.

        Args:
            folder: holds experiment.py, and results.
            root: where run folders and collected data are; by default runs/NAME.
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
        """Do one cell, or make one data set, in this process: what `run` starts for each.

        Args:
            folder: holds experiment.py.
            name: of the cell or data set.
            root: where run folders and collected data go; by default runs/NAME.
            core: keep to this one of the cores that the process may use, counted from 0.
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
    rest = Rest(experiment, root, launcher.jobs)
    with Live(console=console, auto_refresh=False, transient=True) as live:
        for snapshot in launcher:
            left = rest(snapshot)
            _say_changes(experiment, root, snapshot, left)
            if console.is_terminal:
                live.update(_line(snapshot, left), refresh=True)
    _report(experiment, folder, root)
    open_ = len(snapshot.waiting) + len(snapshot.blocked)
    if snapshot.stopping:
        raise Interrupted(f"stopped with {open_} cells to go; go on with: {again}")
    if snapshot.failed:
        raise AgenticError(_failures(experiment, root, snapshot))


def _submit(
    experiment: Experiment, folder: Path, root: Path, cells: Sequence[Cell], config: SlurmConfig
) -> None:
    count = 0
    for name, job in submit(experiment, folder, root, cells, config):
        say(f"{name}: job {job}")
        count += 1
    say(f"{count} jobs submitted; agentic experiment status {folder} tells how far they are")
    say(f"when they are done: agentic experiment report {folder}")


def _report(experiment: Experiment, folder: Path, root: Path) -> bool:
    """Write results and report; return whether there are any."""
    from agentic.experiment.results import gather

    results = gather(experiment, folder, root)
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


def _failures(experiment: Experiment, root: Path, snapshot: Snapshot) -> str:
    logs = "; ".join(
        f"{name} ({state.why.removesuffix('.')}; log: "
        f"{place_of(experiment.part(name), root) / LOG})"
        for name, state in snapshot.failed.items()
    )
    blocked = f", so {len(snapshot.blocked)} cells could not run" if snapshot.blocked else ""
    return f"{len(snapshot.failed)} failed{blocked}: {logs}; the same command tries them again."


def _say_changes(
    experiment: Experiment, root: Path, snapshot: Snapshot, left: float | None
) -> None:
    """Say what began and ended, on a line each that stays: all that a log of the output has."""
    waiting = f"{len(snapshot.waiting)} waiting"
    for name in snapshot.ended:
        if name in snapshot.failed:
            say(f"{name}: failed, {snapshot.failed[name].why}", style="red")
        elif name in snapshot.done:
            seconds = state_of(experiment.part(name), root).seconds
            parts = ", ".join(f"{part} {clock(value)}" for part, value in seconds.items())
            say(f"{name}: done ({parts}); {waiting}, about {clock(left)} left")
        else:
            say(f"{name}: stopped")
    for name in snapshot.begun:
        say(f"{name}: begun", style="dim")


def _line(snapshot: Snapshot, left: float | None) -> Table:
    grid = Table.grid(padding=(0, 2))
    counts = [f"{len(snapshot.done)} done", f"{len(snapshot.running)} running"]
    counts += [f"{len(snapshot.waiting)} waiting"]
    counts += [f"{len(snapshot.failed)} failed"] if snapshot.failed else []
    ending = "stopping" if snapshot.stopping else f"about {clock(left)} left"
    grid.add_row(", ".join(counts), ending)
    for name, state in snapshot.running.items():
        grid.add_row(f"  {name}", how_far(state))
    return grid


def how_far(state: State) -> str:
    """Return "training 1,200 of 2,500"."""
    return f"{state.part} {state.step:,} of {state.of:,}" if state.of else state.part


def _print_status(experiment: Experiment, root: Path, cells: Sequence[Cell]) -> None:
    rows = status_of(experiment, root, cells, job_states(root))
    table = Table()
    for title in ("cell", "state", "seconds", ""):
        table.add_column(title, justify="right" if title == "seconds" else "left", overflow="fold")
    for row in rows:
        state = row.state
        note = how_far(state) if state.state == "running" else state.why
        seconds = f"{state.total_seconds:,.0f}" if state.seconds else ""
        table.add_row(row.name, state.state, seconds, note)
    console.print(table)
    kinds = dict.fromkeys(row.state.state for row in rows)
    counts = [f"{sum(row.state.state == kind for row in rows)} {kind}" for kind in kinds]
    say(f"{', '.join(counts)}; run folders in {root}")
