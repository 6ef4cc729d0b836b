"""`agentic data export` and `agentic data import`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import tyro

from agentic.cli.terminal import print_written, progress, say
from agentic.errors import AgenticError


def export(arguments: Sequence[str]) -> None:
    """Parse and run `agentic data export`."""

    def command(
        source: tyro.conf.Positional[Path],
        out: tyro.conf.Positional[Path],
        /,
        format: Literal["exorl", "minari"],
        task: str | None = None,
        control: Literal["action", "zero"] | None = None,
        name: str | None = None,
    ) -> None:
        """Write a store, or a directory of episodes, in another format.

        Args:
            source: an .h5 store, or a directory of ExoRL episodes.
            out: a new folder for ExoRL's npz files; for minari a root of data sets, such as
                MINARI_DATASETS_PATH, in which one more is made. Nothing else is written.
            format: "exorl", npz episodes, or "minari", a data set for the minari package.
            task: whose rewards; needed unless a store is labelled for one task alone.
            control: what labels read as control; by default what the store has.
            name: of the Minari data set; by default agentic/TASK-v0.
        """
        _export(source, out, format, task, control, name)

    tyro.cli(command, prog="agentic data export", args=arguments)


def _export(source, out, format, task, control, name) -> None:
    if name is not None and format != "minari":
        raise AgenticError(f"--name {name} is for --format minari; {format} files have no name.")
    with progress("exporting", "episodes") as advance:
        if format == "exorl":
            from agentic.dataset.exchange.exorl import export_exorl

            done = export_exorl(source, out, task, control, advance)
        else:
            from agentic.dataset.exchange.minari import export_minari

            done = export_minari(source, out, task, control, advance, name)
    say(f"{done.path}: {done.episodes} episodes with the rewards of {done.task}")
    if done.last_observations != "stored":
        say(
            f"note: {source} does not hold the observations after the last steps; those written "
            f"are {done.last_observations}",
            style="yellow",
        )
    if format == "minari":
        say(f"next: MINARI_DATASETS_PATH={out.resolve()} minari list local")


def import_(arguments: Sequence[str]) -> None:
    """Parse and run `agentic data import`."""

    def command(
        source: tyro.conf.Positional[str],
        out: tyro.conf.Positional[Path],
        /,
        task: Annotated[tuple[str, ...], tyro.conf.arg(metavar="TASK [TASK ...]")] = (),
        overwrite: bool = False,
    ) -> None:
        """Write a store from a Minari data set, or from ExoRL episodes as `data convert` does.

        Args:
            source: a Minari data set's name or folder, or a directory of ExoRL episodes.
            out: the store to write, OUT.h5.
            task: the task of a Minari data set that does not say it; tasks to label episodes for.
            overwrite: replace an existing store.
        """
        _import(source, out, task, overwrite)

    tyro.cli(command, prog="agentic data import", args=arguments)


def _import(source: str, out: Path, tasks: Sequence[str], overwrite: bool) -> None:
    from agentic.dataset import convert
    from agentic.dataset.episodes import holds_episodes

    with progress("importing", "episodes") as advance:
        if holds_episodes(source):
            done = convert(source, out, tasks, progress=advance, overwrite=overwrite)
        else:
            from agentic.dataset.exchange.minari import import_minari

            if len(tasks) > 1:
                raise AgenticError(
                    f"--task names {len(tasks)} tasks; the rewards of a Minari data set are of "
                    "one, and `agentic data relabel` adds others."
                )
            done = import_minari(source, out, *tasks, overwrite=overwrite, progress=advance)
    for sentence in done.warnings:
        say(f"warning: {sentence}", style="yellow")
    print_written(done)
