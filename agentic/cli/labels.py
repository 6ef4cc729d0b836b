"""`agentic data relabel`."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import tyro

from agentic.cli.terminal import progress, say


def relabel(arguments: Sequence[str]) -> None:
    """Parse and run."""

    def command(
        store: tyro.conf.Positional[Path],
        /,
        task: Annotated[tuple[str, ...], tyro.conf.arg(metavar="TASK [TASK ...]")],
        control: Literal["action", "zero"] = "action",
        workers: int | None = None,
    ) -> None:
        """Add the rewards of tasks to a store, or replace those that it has.

        Rewards are computed from the stored simulator states. They are written into a copy that
        takes the store's name once complete, so an interruption changes nothing.

        Args:
            store: an .h5 store with physics.
            task: tasks to label it for.
            control: what labels read as control: the action (the environment's reward) or zero
                (ExoRL's own relabelling).
            workers: threads that simulate; by default one a processor. The result is the same.
        """
        label_store(store, task, control, workers)
        say(f"next: agentic train {task[0]} --data {shlex.quote(str(store))} --out runs/NAME")

    tyro.cli(command, prog="agentic data relabel", args=arguments)


def label_store(
    store: Path, tasks: Sequence[str], control: str, workers: int | None = None
) -> None:
    """Label a store behind a progress bar."""
    from agentic.dataset import relabel_store

    with progress("labelling", "states") as advance:
        done = relabel_store(store, tasks, control, workers, advance)
    say(f"{store}: {done.states:,} states labelled for {', '.join(done.tasks)}")
