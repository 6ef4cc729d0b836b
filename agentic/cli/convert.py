"""`agentic data convert`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import tyro

from agentic.cli.terminal import print_written, progress, say


def convert(arguments: Sequence[str]) -> None:
    """Parse and run `agentic data convert`."""

    def command(
        directory: tyro.conf.Positional[Path],
        out: tyro.conf.Positional[Path],
        /,
        task: Annotated[tuple[str, ...], tyro.conf.arg(metavar="TASK [TASK ...]")] = (),
        control: Literal["action", "zero"] = "action",
        episodes: int | None = None,
        physics: bool = True,
        recompute_observations: bool = False,
        skip_damaged: bool = False,
        overwrite: bool = False,
        workers: int | None = None,
    ) -> None:
        """Convert ExoRL episodes to one store that is memory-mapped when training starts.

        Args:
            directory: directory of ExoRL episodes.
            out: the store to write, OUT.h5.
            task: tasks to label the episodes for; without any, `agentic data relabel` does it.
            control: what labels read as control: the action (the environment's reward) or zero
                (ExoRL's own relabelling).
            episodes: convert only this many, the first ones.
            physics: keep the simulator states, from which other tasks can be labelled later.
            recompute_observations: take observations from physics, where those in the files have
                another width than the installed simulator's.
            skip_damaged: leave damaged episodes out and name them, instead of stopping.
            overwrite: replace an existing store.
            workers: threads that decompress and label; by default one a processor. The store is
                the same, byte for byte.
        """
        _convert(
            directory, out, task, control, episodes=episodes, skip_damaged=skip_damaged,
            overwrite=overwrite, physics=physics,
            recompute_observations=recompute_observations, workers=workers,
        )  # fmt: skip

    tyro.cli(command, prog="agentic data convert", args=arguments)


def _convert(directory: Path, out: Path, tasks: Sequence[str], control: str, **options) -> None:
    from agentic.dataset import convert as write_store

    with progress("converting", "episodes") as advance:
        done = write_store(directory, out, tasks, control, advance, **options)
    for sentence in done.skipped:
        say(f"skipped: {sentence}", style="yellow")
    for sentence in done.warnings:
        say(f"warning: {sentence}", style="yellow")
    print_written(done)
