"""The data sets of an experiment: their places, their states, and how they are made.

ROOT/data/NAME/
  exorl.h5       ExoRL's own episodes, labelled for the experiment's tasks; or else
  config.json    the settings and versions of `agentic collect`,
  buffer/        and the episodes that it wrote
"""

import dataclasses
import json
from pathlib import Path

from agentic.collect.collection import collect
from agentic.collect.folder import CHANGEABLE, whole_episodes
from agentic.download.catalogue import ROOT
from agentic.download.local_copy import LocalCopy
from agentic.experiment.spec import DATA, Collected
from agentic.experiment.state import State, read_state
from agentic.progress import Progress
from agentic.simulation.tasks import get_task
from agentic.training.run import read_jsonl

STORE = "exorl.h5"


def folder_of(data: Collected, root: Path) -> Path:
    """Return the folder of a data set."""
    return root / DATA / data.name


def path_of(data: Collected, root: Path) -> Path:
    """Return the path that cells load: ExoRL's store if there is one, or the folder."""
    store = folder_of(data, root) / STORE
    return store if store.exists() else folder_of(data, root)


def data_state(data: Collected, root: Path) -> State:
    """Return how far a data set is.

    It is done if all its episodes were collected with the right settings, by this experiment or
    otherwise.
    """
    folder = folder_of(data, root)
    state = read_state(folder)
    if state.state == "running":
        return state
    if (folder / STORE).exists() or _is_collected(data, folder):
        seconds = state.seconds or _seconds_of(folder)
        return State("done", seconds=seconds)
    return dataclasses.replace(state, state="missing") if state.state == "done" else state


def prepare(data: Collected, root: Path, progress: Progress) -> None:
    """Make the data set, or resume making it.

    ExoRL's own episodes are taken if the download is complete and nothing was collected yet. So an
    experiment never changes its data on the way.
    """
    folder, config = folder_of(data, root), data.collection
    begun = (folder / "config.json").exists()
    original = None if begun else downloaded(data)
    if original is not None:
        # Imported here because only a store needs h5py.
        from agentic.dataset.conversion import convert

        convert(original, folder / STORE, data.tasks, progress=progress)
        return
    collect(config, folder, begun, progress)


def downloaded(data: Collected, root: Path = ROOT) -> Path | None:
    """Return the folder of ExoRL's own episodes, if all of them are there."""
    if data.published is None:
        return None
    local = LocalCopy(root, data.published)
    return local.folder if local.status().kind == "complete" else None


def origin(data: Collected, root: Path) -> dict:
    """Return where a finished data set comes from, for the report and for repeating it."""
    folder = folder_of(data, root)
    if (folder / STORE).exists():
        return {"kind": "ExoRL", "name": data.published.name}
    document = json.loads((folder / "config.json").read_text())
    command = (
        f"agentic collect {data.collection.task} --explorer {data.collection.explorer} "
        f"--steps {data.collection.steps} --seed {data.collection.seed}"
    )
    kept = ("collection", "commit", "machine", "python", "versions", "resumed")
    return {
        "kind": "collected",
        "command": command,
        **{name: document[name] for name in kept if name in document},
    }


def _is_collected(data: Collected, folder: Path) -> bool:
    """Return whether a folder holds all episodes of this very collection."""
    config = data.collection
    try:
        before = json.loads((folder / "config.json").read_text())["collection"]
    except (FileNotFoundError, ValueError, KeyError):
        return False
    wanted = dataclasses.asdict(config)
    same = all(before.get(name) == wanted[name] for name in wanted if name not in CHANGEABLE)
    length = get_task(config.task).episode_length
    return same and whole_episodes(folder, length) == config.rounds * config.envs


def _seconds_of(folder: Path) -> dict[str, float]:
    lines = read_jsonl(folder / "metrics.jsonl")
    return {"collecting": lines[-1]["seconds"]} if lines else {}
