"""A collection on disk.

config.json     task, explorer, options and versions
buffer/         one file per episode, episode_{index:06d}_{length}.npz, each written whole
metrics.jsonl   one line per round of episodes
checkpoints/    the state of the agent, by environment steps done
"""

import dataclasses
import json
from pathlib import Path

from agentic import provenance
from agentic.collect.config import CollectConfig
from agentic.collect.rounds import Recording
from agentic.dataset.episodes import write_episode
from agentic.errors import AgenticError

# A resumed collection may change these: they do not alter the data up to any step.
CHANGEABLE = ("steps", "checkpoint_every")


def episode_path(folder: Path, index: int, length: int) -> Path:
    """Return the path of episode `index`."""
    return folder / "buffer" / f"episode_{index:06d}_{length}.npz"


def write_recording(folder: Path, recording: Recording, first: int) -> None:
    """Write a round's episodes; the first of them has the index `first`."""
    for row in range(len(recording.rewards)):
        write_episode(
            episode_path(folder, first + row, recording.rewards.shape[1] - 1),
            recording.observations[row],
            recording.actions[row],
            recording.rewards[row],
            recording.physics[row],
        )


def whole_episodes(folder: Path, length: int) -> int:
    """Return how many episodes the buffer holds without a gap, counted from the first."""
    count = 0
    while episode_path(folder, count, length).exists():
        count += 1
    return count


def config_document(config: CollectConfig, folder: Path, resume: bool) -> dict:
    """Return config.json for a new collection, or for the one in `folder` that is resumed.

    Raises AgenticError: the folder is in use or has nothing to resume, or its settings differ.
    """
    path = folder / "config.json"
    if not resume:
        if path.exists() or any((folder / "buffer").glob("*.npz")):
            raise AgenticError(
                f"{folder} holds data already; add --resume to go on with it, "
                "or choose another --out."
            )
        return _new_document(config)
    before = _read(path, folder)
    now = _new_document(config)
    for name, value in now["collection"].items():
        if name not in CHANGEABLE and before["collection"].get(name) != value:
            raise AgenticError(
                f"{folder} was collected with {name} = {before['collection'].get(name)} and this "
                f"command has {value}; resume with the same settings."
            )
    stages = before.get("resumed", [])
    current = {name: now[name] for name in ("versions", "python", "commit", "machine")}
    if current != (stages[-1] if stages else {name: before.get(name) for name in current}):
        before["resumed"] = [*stages, current]
    before["collection"] |= {name: now["collection"][name] for name in CHANGEABLE}
    return before


def _new_document(config: CollectConfig) -> dict:
    """Return everything that is needed to repeat the collection."""
    return {
        "task": config.task,
        "explorer": config.explorer,
        "seed": config.seed,
        "collection": dataclasses.asdict(config),
        **provenance.of_run(_device() if config.learns else "no accelerator"),
    }


def _device() -> str:
    import jax

    return jax.devices()[0].device_kind


def _read(path: Path, folder: Path) -> dict:
    try:
        document = json.loads(path.read_text())
    except (FileNotFoundError, NotADirectoryError):
        raise AgenticError(
            f"{folder} holds no collection to resume: it has no config.json; leave out --resume."
        ) from None
    except json.JSONDecodeError as error:
        raise AgenticError(f"{path} is not valid JSON ({error}).") from None
    if "collection" not in document:
        raise AgenticError(f"{folder} is not the folder of a collection; choose another --out.")
    return document
