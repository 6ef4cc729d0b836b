"""A collection on disk: config.json, buffer/ with one npz an episode, metrics.jsonl, checkpoints/.

config.json     what explores what, with which settings and versions
buffer/         episode_{index:06d}_{length}.npz, each written whole
metrics.jsonl   one line per round of episodes
checkpoints/    what the agent had learned, by environment steps done
"""

import dataclasses
import json
from pathlib import Path

from agentic import provenance
from agentic.collect.config import CollectConfig
from agentic.collect.loop import Recording
from agentic.dataset.episodes import write_episode
from agentic.errors import AgenticError

# How far to go and how often to save change nothing of what is collected up to any step.
FREE = ("steps", "checkpoint_every")


def episode_path(folder: Path, index: int, length: int) -> Path:
    """Return where episode `index` lies."""
    return folder / "buffer" / f"episode_{index:06d}_{length}.npz"


def write_recording(folder: Path, recording: Recording, first: int) -> None:
    """Write a round's episodes, the first of them with index `first`."""
    for row in range(len(recording.rewards)):
        write_episode(
            episode_path(folder, first + row, recording.rewards.shape[1] - 1),
            recording.observations[row],
            recording.actions[row],
            recording.rewards[row],
            recording.physics[row],
        )


def whole_episodes(folder: Path, length: int) -> int:
    """Return how many episodes lie in the buffer without a gap, counted from the first."""
    count = 0
    while episode_path(folder, count, length).exists():
        count += 1
    return count


def document_of(config: CollectConfig, folder: Path, resume: bool) -> dict:
    """Return the config.json of a new collection, or of the one in `folder` as it goes on.

    Raises AgenticError: a folder in use, no collection to go on with, or other settings.
    """
    path = folder / "config.json"
    if not resume:
        if path.exists() or any((folder / "buffer").glob("*.npz")):
            raise AgenticError(
                f"{folder} holds data already; add --resume to go on with it, "
                "or choose another --out."
            )
        return describe(config)
    before = _read(path, folder)
    now = describe(config)
    for name, value in now["collection"].items():
        if name not in FREE and before["collection"].get(name) != value:
            raise AgenticError(
                f"{folder} was collected with {name} = {before['collection'].get(name)} and this "
                f"command has {value}; resume with the same settings."
            )
    stages = before.get("resumed", [])
    current = {name: now[name] for name in ("versions", "python", "commit", "machine")}
    if current != (stages[-1] if stages else {name: before.get(name) for name in current}):
        before["resumed"] = [*stages, current]
    before["collection"] |= {name: now["collection"][name] for name in FREE}
    return before


def describe(config: CollectConfig) -> dict:
    """Return config.json: everything needed to repeat the collection."""
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
        raise AgenticError(
            f"{folder} is no collection, but something else's folder; choose another --out."
        )
    return document
