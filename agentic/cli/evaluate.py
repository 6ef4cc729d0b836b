"""`agentic evaluate`."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, make_dataclass
from pathlib import Path
from typing import Any, Literal

import tyro

from agentic.acting.memory import MEMORIES
from agentic.cli.protocols import print_results
from agentic.cli.terminal import progress, say
from agentic.evaluation.evaluate import Evaluation
from agentic.evaluation.film import Clip, FilmConfig, film
from agentic.evaluation.run import EvaluationConfig, evaluate_run
from agentic.progress import Progress
from agentic.training.processes import simulate_devices


@dataclass(frozen=True, kw_only=True)
class EvaluateCommand(EvaluationConfig, FilmConfig):
    """Roll a trained policy out in simulation and record every episode in evaluation.jsonl.

    What is on record already is not rolled out again; interrupted, the same command goes on.

    Attributes:
        run: run folder of `agentic train`.
        cpu_devices: evaluate on this many simulated devices of the processor, to try --devices.
    """

    run: tyro.conf.Positional[Path]
    cpu_devices: int | None = None


def parse(arguments: Sequence[str]) -> EvaluateCommand:
    """Return the command that the arguments give; --memory offers the memories of MEMORIES."""
    described = "; ".join(f"{name}: {memory.description}" for name, memory in MEMORIES.items())
    names = tuple[Literal[tuple(MEMORIES)], ...]
    kind = make_dataclass(
        EvaluateCommand.__name__,
        [("memory", names, field(default=EvaluateCommand.memory))],
        bases=(EvaluateCommand,), frozen=True, kw_only=True,
    )  # fmt: skip
    return tyro.cli(
        kind, prog="agentic evaluate", args=arguments,
        description=f"{EvaluateCommand.__doc__.partition('Attributes:')[0]}\nMemories. {described}",
    )  # fmt: skip


def evaluate_and_film(command: EvaluateCommand) -> None:
    """Evaluate a run, and film it if asked to."""
    evaluate_and_print(command.run, _part(EvaluationConfig, command))
    if command.video:
        film_and_say(command.run, _part(EvaluationConfig, command), _part(FilmConfig, command))


def evaluate(
    arguments: Sequence[str], simulate_devices: Callable[[int], Any] = simulate_devices,
    work: Callable[[EvaluateCommand], None] = evaluate_and_film,
) -> None:  # fmt: skip
    """Parse, simulate devices if they are asked for, and run."""
    command = parse(arguments)
    if command.cpu_devices is not None:
        simulate_devices(command.cpu_devices)
    work(command)


def _part(kind: type, command: EvaluateCommand):
    return kind(**{field.name: getattr(command, field.name) for field in fields(kind)})


def evaluate_and_print(run: Path, config: EvaluationConfig) -> list[Evaluation]:
    """Evaluate behind a progress bar, record the episodes and print every protocol."""
    with _bar() as advance:
        results = evaluate_run(run, config, advance)
    print_results(run, results, config.best_of)
    return results


def film_and_say(run: Path, config: EvaluationConfig, films: FilmConfig) -> None:
    """Film the chosen episodes behind a progress bar; where that cannot be done, say why."""

    def say_clip(clip: Clip) -> None:
        say(f"video: {clip.path} (return {clip.returns:.0f})")

    with _bar() as advance:
        note = film(run, config, films, advance, say_clip)
    if note:
        say(f"no video: {note}", style="yellow")


@contextmanager
def _bar() -> Iterator[Progress]:
    """Show a bar of environment steps, with the label of the condition."""
    with progress("evaluating", "steps") as advance:
        yield advance
