"""Videos of evaluated episodes: the context is lived again, which repeats it to the last bit."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from agentic.errors import AgenticError
from agentic.evaluation.condition import PLAIN_CACHE
from agentic.evaluation.evaluate import live
from agentic.evaluation.run import EvaluationConfig, Part, data_of, parts_of
from agentic.progress import Progress
from agentic.simulation import make_simulation
from agentic.simulation.interface import Simulation
from agentic.simulation.tasks import get_task
from agentic.simulation.video import encoder, write_video
from agentic.training.run import read_config, read_jsonl, write_jsonl

# Near enough to what films show; the time between pictures is a whole number of control steps.
FPS = 25
HEIGHT, WIDTH = 240, 320


@dataclass(frozen=True)
class FilmConfig:
    """Which episodes are filmed.

    Attributes:
        video: write videos of chosen episodes, in real time, to videos/ in the run folder.
        video_episodes: which episodes of the context, counted from 1; by default the first and
            the last.
        video_seed: which context; by default that of the first seed.
    """

    video: bool = False
    video_episodes: tuple[int, ...] = ()
    video_seed: int | None = None


@dataclass(frozen=True)
class Clip:
    """One filmed episode and its return."""

    path: Path
    returns: float


def film(
    folder: str | Path,
    config: EvaluationConfig,
    films: FilmConfig,
    progress: Progress | None = None,
    say: Callable[[Clip], None] = lambda clip: None,
) -> str | None:
    """Write an mp4 of each chosen episode, of the first condition that `config` evaluates.

    Args:
        folder: the run folder; videos go to videos/, with a line each in videos/videos.jsonl.
        config: as for `evaluate_run`.
        films: which episodes.
        progress: called with steps done, steps in all, the condition.
        say: told each clip, also one that was there already.

    Returns:
        None, or one sentence that says why this machine writes no videos.

    Raises:
        AgenticError: an episode that the context does not have.
    """
    folder = Path(folder)
    document = read_config(folder)
    part = next(iter(parts_of(folder, document, config)))
    seed = config.seeds[0] if films.video_seed is None else films.video_seed
    wanted = _wanted(films, part.condition["episodes"])
    paths = {index: folder / "videos" / _name(part.condition, seed, index) for index in wanted}
    ledger = folder / "videos" / "videos.jsonl"
    known = {line["file"]: line for line in read_jsonl(ledger)}
    absent = [
        index
        for index, path in paths.items()
        if config.again or not path.exists() or path.name not in known
    ]
    data = data_of(document, config) if part.condition["memory"] == "random" and absent else None
    try:
        if absent:
            for index, frames, fps, total in _episodes(part, seed, absent, data, progress):
                write_video(paths[index], frames, fps)
                own = {"seed": seed, "episode": index, "return": total}
                known[paths[index].name] = {"file": paths[index].name} | part.condition | own
                write_jsonl(ledger, [known[name] for name in sorted(known)])
    except CannotFilm as reason:
        return str(reason)
    for path in paths.values():
        say(Clip(path, known[path.name]["return"]))
    return None


class CannotFilm(Exception):
    """This machine draws no pictures, or writes no videos; the message says what to install."""


def _wanted(films: FilmConfig, episodes: int) -> list[int]:
    """Return the indices of the chosen episodes, ascending."""
    wanted = sorted(set(films.video_episodes or (1, episodes)))
    outside = [number for number in wanted if not 1 <= number <= episodes]
    if outside:
        raise AgenticError(
            f"episode {outside[0]} cannot be filmed: a context has episodes 1 to {episodes}."
        )
    return [number - 1 for number in wanted]


def _name(condition: dict, seed: int, index: int) -> str:
    target, noise = condition["target_return"], condition["action_noise"]
    parts = [condition["method"], condition["memory"], f"step{condition['step']}"]
    parts += [] if target is None else [f"target{target:.6g}"]
    parts += [f"noise{noise:g}"] if noise else []
    parts += [condition["cache_dtype"]] if condition["cache_dtype"] != PLAIN_CACHE else []
    parts += [f"{condition['episodes']}episodes", f"seed{seed}", f"episode{index + 1}"]
    return "-".join(parts) + ".mp4"


def _episodes(part: Part, seed: int, wanted: list[int], data, progress: Progress | None):
    """Yield (index, pictures, pictures a second, return) of each wanted episode."""
    condition, spec = part.condition, get_task(part.condition["task"])
    simulation = make_simulation(spec.name, 1)
    _check_machine(simulation, seed)
    every = max(1, round(1 / (FPS * spec.control_timestep)))
    fps = 1 / (every * spec.control_timestep)
    frames: list[np.ndarray] = []
    total, count, steps = 0.0, 0, (wanted[-1] + 1) * spec.episode_length
    stream = live(
        part.policy, simulation, wanted[-1] + 1, (seed,), condition["memory"], data,
        condition["action_noise"],
    )  # fmt: skip
    for done, step in enumerate(stream, start=1):
        index = int(step.episode[0])
        total += float(step.rewards[0])
        if index in wanted and count % every == 0:
            frames.append(simulation.render(0, HEIGHT, WIDTH))
        count += 1
        if progress is not None:
            progress(done, steps, part.name)
        if step.done[0]:
            if index in wanted:
                yield index, frames, fps, total
            frames, total, count = [], 0.0, 0
    simulation.close()


def _check_machine(simulation: Simulation, seed: int) -> None:
    """Draw one picture and find an encoder before an episode is lived for nothing."""
    try:
        encoder()
        simulation.reset(np.arange(1), [(seed, 0)])
        simulation.render(0, HEIGHT, WIDTH)
    except AgenticError as error:
        raise CannotFilm(str(error)) from None
