"""Videos of evaluated episodes: the policy lives the context again, the same to the last bit."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from agentic.acting.policy import Policy
from agentic.acting.rollout import rollout
from agentic.dataset.dataset import Dataset
from agentic.errors import AgenticError
from agentic.evaluation.condition import Condition
from agentic.evaluation.evaluate import MakeSimulation
from agentic.evaluation.run import EvaluationConfig, LoadPolicy, data_for, trials_of
from agentic.methods.train import load_policy
from agentic.progress import Progress
from agentic.simulation import make_simulation
from agentic.simulation.interface import Simulation
from agentic.simulation.tasks import get_task
from agentic.simulation.video import encoder, write_video
from agentic.training.run import read_jsonl, write_jsonl

# About as many pictures a second as a film has. The time between two pictures is a whole number of
# control steps.
FPS = 25


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
class Camera:
    """What draws and writes videos.

    Attributes:
        encoder: finds the program that writes them, or raises AgenticError.
        write: writes pictures to a path, so many a second.
        height: of a picture, in pixels.
        width: of a picture, in pixels.
    """

    encoder: Callable[[], str] = encoder
    write: Callable[[Path, Sequence[np.ndarray], float], None] = write_video
    height: int = 240
    width: int = 320


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
    camera: Camera = Camera(),
    load_policy: LoadPolicy = load_policy,
    make_simulation: MakeSimulation = make_simulation,
) -> str | None:
    """Write an mp4 of each chosen episode, of the first condition that `config` evaluates.

    Args:
        folder: the run folder; videos go to videos/, with a line each in videos/videos.jsonl.
        config: as for `evaluate_run`.
        films: which episodes.
        progress: called with steps done, steps in all, and the condition's label.
        say: called with each clip, also with one that was there already.
        camera: draws and writes.
        load_policy: as for `evaluate_run`.
        make_simulation: as for `evaluate_run`.

    Returns:
        None, or one sentence that says why this machine cannot write videos.

    Raises:
        AgenticError: an episode that the context does not have.
    """
    folder = Path(folder)
    policy, condition = trials_of(folder, config, load_policy)[0]
    seed = config.seeds[0] if films.video_seed is None else films.video_seed
    wanted = _wanted(films, condition.episodes)
    shared = f"{condition.file_name()}-seed{seed}"
    paths = {i: folder / "videos" / f"{shared}-episode{i + 1}.mp4" for i in wanted}
    index = folder / "videos" / "videos.jsonl"
    known = {line["file"]: line for line in read_jsonl(index)}
    absent = [
        i
        for i, path in paths.items()
        if config.again or not path.exists() or path.name not in known
    ]
    try:
        if absent:
            data = data_for([condition], folder, config)
            simulation = make_simulation(condition.task, 1)
            _check_machine(simulation, seed, camera)
            reel = _filmed(policy, condition, simulation, seed, absent, data, camera, progress)
            for shot in reel:
                path = paths[shot.episode]
                camera.write(path, shot.pictures, shot.fps)
                own = {"seed": seed, "episode": shot.episode, "return": shot.returns}
                known[path.name] = {"file": path.name} | condition.record() | own
                write_jsonl(index, [known[name] for name in sorted(known)])
            simulation.close()
    except CannotFilm as reason:
        return str(reason)
    for path in paths.values():
        say(Clip(path, known[path.name]["return"]))
    return None


class CannotFilm(Exception):
    """This machine cannot draw pictures or write videos; the message says what to install."""


def _wanted(films: FilmConfig, episodes: int) -> list[int]:
    """Return the indices of the chosen episodes, ascending."""
    wanted = sorted(set(films.video_episodes or (1, episodes)))
    outside = [number for number in wanted if not 1 <= number <= episodes]
    if outside:
        raise AgenticError(
            f"episode {outside[0]} cannot be filmed: a context has episodes 1 to {episodes}."
        )
    return [number - 1 for number in wanted]


class _Shot(NamedTuple):
    """A filmed episode: its index, its pictures, pictures shown in a second, and its return."""

    episode: int
    pictures: list[np.ndarray]
    fps: float
    returns: float


def _filmed(
    policy: Policy, condition: Condition, simulation: Simulation, seed: int, wanted: list[int],
    data: Dataset | None, camera: Camera, progress: Progress | None,
) -> Iterator[_Shot]:  # fmt: skip
    """Yield each wanted episode of the context of `seed`."""
    task = get_task(condition.task)
    every = max(1, round(1 / (FPS * task.control_timestep)))
    fps = 1 / (every * task.control_timestep)
    pictures: list[np.ndarray] = []
    total, count, episodes = 0.0, 0, wanted[-1] + 1
    acting = condition.imposed_on(policy, (seed,), data)
    for done, step in enumerate(rollout(acting, simulation, episodes, (seed,)), start=1):
        episode = int(step.episode[0])
        total += float(step.rewards[0])
        if episode in wanted and count % every == 0:
            pictures.append(simulation.render(0, camera.height, camera.width))
        count += 1
        if progress is not None:
            progress(done, episodes * task.episode_length, condition.label())
        if step.done[0]:
            if episode in wanted:
                yield _Shot(episode, pictures, fps, total)
            pictures, total, count = [], 0.0, 0


def _check_machine(simulation: Simulation, seed: int, camera: Camera) -> None:
    """Draw one picture and find an encoder before an episode is lived for nothing."""
    try:
        camera.encoder()
        simulation.reset(np.arange(1), [(seed, 0)])
        simulation.render(0, camera.height, camera.width)
    except AgenticError as error:
        raise CannotFilm(str(error)) from None
