"""One collection, from the first step or from where it stopped, to a folder of episodes."""

import time
from collections.abc import Callable
from pathlib import Path

from agentic.collect.config import CollectConfig
from agentic.collect.drivers import LearningDriver, RandomDriver, make_driver
from agentic.collect.folder import document_of, episode_path, whole_episodes, write_recording
from agentic.collect.loop import Progress, explore
from agentic.dataset.episodes import Episode, read_episode
from agentic.errors import AgenticError
from agentic.interruption import Interrupted, Interruption
from agentic.simulation import make_simulation
from agentic.simulation.tasks import get_task
from agentic.training import checkpoint
from agentic.training.run import MetricsLog, write_json

Show = Callable[[dict[str, float]], None]


def collect(
    config: CollectConfig, folder: str | Path, resume: bool = False, show: Show | None = None
) -> Path:
    """Explore a task and write the episodes to `folder`/buffer, in ExoRL's format with physics.

    The same configuration gives the same bytes, on one machine with the same versions. It may be
    stopped in any way, at any time: resumed, it goes on from its last checkpoint (random actions:
    from its last whole round), which lies between two rounds of episodes, and leaves the files
    that an uninterrupted run leaves, byte for byte. Episodes past the checkpoint are made again.
    Resuming with more `steps` equals having asked for them at first.

    Args:
        config: what explores what.
        folder: must hold no data yet, unless `resume`.
        resume: go on with the collection in `folder`.
        show: called at the start and often, with step and stopping, then reward and, after each
            round, the round's metrics.

    Raises:
        AgenticError: bad configuration, a folder in use, other settings than before, a damaged or
            missing episode, a full disk.
        Interrupted: after Ctrl-C, at the end of the round, when everything is saved.
    """
    folder = Path(folder)
    document = document_of(config, folder, resume)
    length = get_task(config.task).episode_length
    driver = make_driver(config)
    done = _restore(driver, config, folder) if resume else 0
    if done > config.rounds * config.envs:
        raise AgenticError(
            f"{folder} holds {done * length} steps already; give --steps at least that many."
        )
    write_json(folder / "config.json", document)
    simulation = make_simulation(config.task, config.envs)
    rounds = range(done // config.envs, config.rounds)
    with MetricsLog(folder, done * length) as log, Interruption() as interruption:
        start, saved = time.perf_counter(), done
        if show is not None:
            show({"step": done * length, "stopping": False})
        for progress in explore(simulation, driver, config.seed, rounds):
            record = _record(progress, start, done * length)
            if progress.recording is not None:
                episodes = progress.steps // length
                write_recording(folder, progress.recording, episodes - config.envs)
                # Before the checkpoint: what is logged past one is dropped, what is not is lost.
                log.write(record)
                last = progress.steps == config.total_steps
                stopping = interruption.requested and not last
                if last or stopping or episodes - saved >= config.checkpoint_every:
                    _save(driver, folder, progress.steps)
                    saved = episodes
            if show is not None:
                show(record | {"stopping": interruption.requested})
            if progress.recording is not None and stopping:
                raise Interrupted(
                    f"stopped after {episodes} of {config.rounds * config.envs} episodes; "
                    "--resume goes on from there."
                )
    return folder


def _record(progress: Progress, start: float, before: int) -> dict[str, float]:
    seconds = time.perf_counter() - start
    return {
        "step": progress.steps,
        "seconds": seconds,
        "steps_per_second": (progress.steps - before) / max(seconds, 1e-9),
        **progress.metrics,
    }


def _save(driver: RandomDriver, folder: Path, steps: int) -> None:
    if isinstance(driver, LearningDriver):
        checkpoint.save(folder, steps, {"agent": driver.state})


def _restore(driver: RandomDriver, config: CollectConfig, folder: Path) -> int:
    """Bring the driver to where the collection stopped; return the episodes done by then."""
    length = get_task(config.task).episode_length
    if not isinstance(driver, LearningDriver):
        return whole_episodes(folder, length) // config.envs * config.envs
    if not checkpoint.steps(folder):
        return 0
    steps = checkpoint.latest(folder)
    done = steps // length

    def read(index: int) -> Episode:
        path = episode_path(folder, index, length)
        if not path.exists():
            raise AgenticError(
                f"{path.parent} lacks {path.name}, which the agent learned from; put it back, "
                "or collect anew with another --out."
            )
        return read_episode(path, config.task)

    driver.restore(checkpoint.load(folder, steps, "agent", driver.state), done, read)
    return done
