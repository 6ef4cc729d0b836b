"""One collection, from the first step or from where it stopped, to a folder of episodes."""

import time
from collections.abc import Callable
from pathlib import Path

from agentic.collect.config import CollectConfig
from agentic.collect.drivers import LearningDriver, RandomDriver, make_driver
from agentic.collect.folder import (
    config_document,
    episode_path,
    whole_episodes,
    write_recording,
)
from agentic.collect.rounds import Explored, explore
from agentic.dataset.episodes import Episode, read_episode
from agentic.errors import AgenticError
from agentic.interruption import Interrupted, Interruption
from agentic.progress import Progress
from agentic.simulation import Simulation, make_simulation
from agentic.simulation.tasks import get_task
from agentic.training import checkpoint
from agentic.training.run import MetricsLog, write_json


def collect(
    config: CollectConfig,
    folder: str | Path,
    resume: bool = False,
    progress: Progress | None = None,
    make_simulation: Callable[[str, int], Simulation] = make_simulation,
) -> Path:
    """Explore a task and write the episodes to `folder`/buffer, in ExoRL's format with physics.

    The same configuration gives the same bytes on one machine with the same versions. A collection
    may stop at any time and in any way. When resumed, it goes on from its last checkpoint (with
    random actions, from its last whole round) and makes later episodes again. Its files then equal
    those of an uninterrupted collection, byte for byte. Resuming with more `steps` gives the same
    files as asking for them at first.

    Args:
        config: the task, the explorer and its options.
        folder: must hold no data yet, unless `resume`.
        resume: go on with the collection in `folder`.
        progress: called at the start and often with environment steps; the note holds the means of
            the intrinsic ("int") and the task's own ("ext") reward.
        make_simulation: (task, envs) -> the simulation to explore.

    Raises:
        AgenticError: bad configuration, a folder in use, other settings than before, a damaged or
            missing episode, a full disk.
        Interrupted: after Ctrl-C, at the end of the round, when everything is saved.
    """
    folder = Path(folder)
    document = config_document(config, folder, resume)
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
        start, saved, intrinsic = time.perf_counter(), done, ""
        if progress is not None:
            progress(done * length, config.total_steps)
        for explored in explore(simulation, driver, config.seed, rounds):
            record = _record(explored, start, done * length)
            if explored.recording is not None:
                episodes = explored.steps // length
                write_recording(folder, explored.recording, episodes - config.envs)
                # Logged before the checkpoint: resuming drops lines past one and cannot add any.
                log.write(record)
                last = explored.steps == config.total_steps
                stopping = interruption.requested and not last
                if last or stopping or episodes - saved >= config.checkpoint_every:
                    _save(driver, folder, explored.steps)
                    saved = episodes
            if progress is not None:
                if "intrinsic_reward" in record:
                    intrinsic = f"int {record['intrinsic_reward']:.2g} "
                # Short, so that a progress bar with it fits into 80 columns.
                note = f"{intrinsic}ext {record['reward']:.2g}"
                note = "stopping soon" if interruption.requested else note
                progress(explored.steps, config.total_steps, note)
            if explored.recording is not None and stopping:
                raise Interrupted(
                    f"stopped after {episodes} of {config.rounds * config.envs} episodes; "
                    "--resume goes on from there."
                )
    return folder


def _record(explored: Explored, start: float, before: int) -> dict[str, float]:
    seconds = time.perf_counter() - start
    return {
        "step": explored.steps,
        "seconds": seconds,
        "steps_per_second": (explored.steps - before) / max(seconds, 1e-9),
        **explored.metrics,
    }


def _save(driver: RandomDriver, folder: Path, steps: int) -> None:
    if isinstance(driver, LearningDriver):
        checkpoint.save(folder, steps, {"agent": driver.state})


def _restore(driver: RandomDriver, config: CollectConfig, folder: Path) -> int:
    """Put the driver into the state where the collection stopped; return the episodes done."""
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
