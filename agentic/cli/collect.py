"""`agentic collect`."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated

import tyro

from agentic.cli.terminal import console, progress, say
from agentic.collect import EXPLORERS, CollectConfig
from agentic.collect import collect as run
from agentic.simulation.tasks import get_task


@dataclass(frozen=True, kw_only=True)
class CollectCommand(CollectConfig):
    """Explore a task without its reward and write ExoRL-format episodes with physics.

    Attributes:
        out: folder for buffer/, config.json and checkpoints; a new one, unless --resume.
        resume: go on from the last checkpoint, to the same files as without a stop; --steps may be
            larger than before.
    """

    task: tyro.conf.Positional[str]
    explorer: Annotated[
        str,
        tyro.conf.arg(
            metavar="|".join(EXPLORERS),
            help="; ".join(f"{name}: {text}" for name, (_, _, text) in EXPLORERS.items()),
        ),
    ]
    out: Path
    resume: bool = False


def collect(arguments: Sequence[str]) -> None:
    """Parse and run."""
    command = tyro.cli(CollectCommand, prog="agentic collect", args=arguments)
    own = {field.name: getattr(command, field.name) for field in fields(CollectConfig)}
    config = CollectConfig(**own)
    _announce(config)
    with progress(config.explorer, "steps") as advance:
        run(config, command.out, command.resume, advance)
    say(f"collected: {command.out / 'buffer'}, {config.total_steps:,} steps")
    say(f"next: agentic train {config.task} --data {command.out} --out runs/NAME")


def _announce(config: CollectConfig) -> None:
    length, episodes = get_task(config.task).episode_length, config.rounds * config.envs
    if config.total_steps != config.steps:
        console.print(
            f"{config.steps:,} steps are rounded up to {config.total_steps:,}: "
            f"{episodes} whole episodes of {length}"
        )
    if config.learns and config.total_steps <= config.seed_steps:
        console.print(
            f"hint: the first {config.seed_steps:,} steps are random, and {config.explorer} acts "
            "only after them; take more --steps or fewer --seed-steps",
            style="yellow",
        )
