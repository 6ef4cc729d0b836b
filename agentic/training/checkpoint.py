"""Training state to a folder and back: atomic, and readable on another number of devices.

The only importer of orbax. A checkpoint is `checkpoints/<step>/`, one folder per step; it appears
under its final name only when it is whole.
"""

import logging
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from agentic.errors import AgenticError
from agentic.training import processes


def _folder(run: Path, step: int) -> Path:
    return Path(run).resolve() / "checkpoints" / str(step)


class Checkpoint(NamedTuple):
    """One checkpoint of a run."""

    run: Path
    step: int

    def load(self, name: str, like: Any) -> Any:
        """Return one named pytree, as `load` does."""
        return load(self.run, self.step, name, like)


def find(run: str | Path, step: int | None = None) -> Checkpoint:
    """Return the checkpoint of `step`, by default the newest; AgenticError if there is none."""
    run = Path(run)
    newest = latest(run)
    if step is not None and step not in steps(run):
        raise AgenticError(f"{run} has no checkpoint of step {step}; it has {steps(run)}.")
    return Checkpoint(run, newest if step is None else step)


def on_one_device(shapes: Any) -> Any:
    """Return shapes and types of arrays as `load` wants them, placed on the first device."""
    place = jax.sharding.SingleDeviceSharding(jax.devices()[0])

    def placed(leaf: Any) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=place)

    return jax.tree.map(placed, shapes)


def steps(run: Path) -> list[int]:
    """Return the steps of a run's complete checkpoints, ascending."""
    folder = Path(run) / "checkpoints"
    if not folder.is_dir():
        return []
    return sorted(int(path.name) for path in folder.iterdir() if path.name.isdigit())


def latest(run: Path) -> int:
    """Return the newest checkpoint's step, or raise AgenticError if the run has none."""
    found = steps(run)
    if not found:
        raise AgenticError(
            f"{run} has no checkpoint; train first, with `agentic train TASK --out {run}`."
        )
    return found[-1]


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence orbax's own log: what goes wrong is raised, and said in one sentence.

    After a failure it stays silent, since other writers of the same save may only then fail too.
    """
    logger = logging.getLogger("absl")
    before = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    yield
    logger.setLevel(before)


def _remove_partial(folder: Path) -> None:
    """Remove what a broken save left, under our temporary name and orbax's own.

    When one of orbax's writers fails, others may still be at work; they are waited for.
    """
    for _ in range(20):
        left = list(folder.glob("*.partial*"))
        for path in left:
            shutil.rmtree(path, ignore_errors=True)
        if not left:
            return
        time.sleep(0.1)


def _write(folder: Path, items: dict[str, Any]) -> None:
    from orbax.checkpoint import v1 as ocp

    ocp.save_checkpointables(folder, items)


def save(
    run: Path,
    step: int,
    items: dict[str, Any],
    keep: int = 2,
    write: Callable[[Path, dict[str, Any]], None] = _write,
) -> None:
    """Write named pytrees of arrays as the run's checkpoint of `step`; keep the newest `keep`.

    Of several processes all must call this, and each writes the shards that it holds: `write` puts
    them into a new folder.

    Raises AgenticError when the disk is full or not writable; earlier checkpoints stay untouched.
    """
    folder = _folder(run, step)
    partial = folder.with_name(f"{step}.partial")
    leads = processes.leads()
    if leads:
        _remove_partial(folder.parent)
    try:
        partial.parent.mkdir(parents=True, exist_ok=True)
        processes.wait(f"checkpoint {step} begins")
        with _quiet():
            write(partial, items)
        processes.wait(f"checkpoint {step} is written")
        if leads and folder.exists():
            shutil.rmtree(folder)
        if leads:
            partial.rename(folder)
        processes.wait(f"checkpoint {step} has its name")
    except (OSError, ValueError, RuntimeError) as error:
        _remove_partial(folder.parent)
        kept = steps(run)
        last = f"the last good checkpoint is step {kept[-1]}" if kept else "no checkpoint exists"
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise AgenticError(
            f"the checkpoint of step {step} could not be written to {folder.parent} ({reason}); "
            f"free some disk space and resume: {last}."
        ) from error
    for old in steps(run)[:-keep] if leads else ():
        shutil.rmtree(_folder(run, old))


def load(run: Path, step: int, name: str, like: Any) -> Any:
    """Return one named pytree of the checkpoint of `step`, shaped, typed and placed as `like`.

    Raises AgenticError when the checkpoint belongs to another architecture.
    """
    from orbax.checkpoint import v1 as ocp

    folder = _folder(run, step)
    expected = _shapes(like)
    try:
        stored = _shapes(ocp.metadata(folder, checkpointable_name=name).metadata)
    except Exception as error:
        raise AgenticError(f"{folder} is not a readable checkpoint ({error}).") from error
    if not stored:
        raise AgenticError(f"{folder} is not a readable checkpoint (it lists no {name}).")
    for leaf in sorted(expected.keys() | stored.keys()):
        if expected.get(leaf) != stored.get(leaf):
            raise AgenticError(
                f"{folder} was written by another architecture: {leaf} is "
                f"{_shape(stored, leaf)} there and {_shape(expected, leaf)} in this configuration; "
                "use the config.json, and the version of agentic, that it was trained with."
            )
    return ocp.load(folder, like, checkpointable_name=name)


def _shape(shapes: dict[str, tuple[int, ...]], name: str) -> str:
    return str(shapes[name]) if name in shapes else "absent"


def _shapes(tree: Any) -> dict[str, tuple[int, ...]]:
    """Return every leaf's shape by its path, the same for nested dictionaries and named tuples."""
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    return {"/".join(map(_key, path)): tuple(np.shape(leaf)) for path, leaf in leaves}


def _key(key: Any) -> str:
    """Return one step of a path; orbax keeps names and indices but not the kinds of containers."""
    found = (getattr(key, kind) for kind in ("key", "idx", "name") if hasattr(key, kind))
    return str(next(found, key))
