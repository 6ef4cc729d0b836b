"""Episodes in ExoRL's npz format: listed, read with the right alignment, written.

A file holds T + 1 rows; row 0 is the reset, and its action is a dummy:

    row            0      1      2     ...    T
    observation   o_0    o_1    o_2    ...   o_T       s_t = o_t        rows 0 to T - 1, then o_T
    action         -     a_0    a_1    ...  a_T-1      a_t              rows 1 to T
    physics       p_0    p_1    p_2    ...   p_T       all rows

The stored reward belongs to the task the data was collected with and is never read; labels come
from physics (`agentic.dataset.labels`). A discount of 0 would be a termination, which none of the
tasks has: such episodes are refused. Format: Yarats et al. 2022, arXiv 2201.13425.
"""

import io
import math
import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from agentic.errors import AgenticError
from agentic.files import written_whole
from agentic.simulation.tasks import TASKS, Task, get_task
from agentic.trajectory import Trajectory

DTYPES = {"observation": np.float32, "action": np.float32, "physics": np.float64}
NAME = re.compile(r"(?P<prefix>.+)_(?P<index>\d+)_(?P<length>\d+)")
# An ExoRL array has well under a megabyte; a member that unpacks to more is not of an episode.
LARGEST_MEMBER = 256 * 2**20
# Far more than any header of an array has.
HEADER = 2**14
# numpy packs with these. zipfile unpacks other methods whole, also beyond the promised size.
PACKED_BY_NUMPY = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_BROKEN = (
    zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, RuntimeError, MemoryError,
)  # fmt: skip


class Episode(NamedTuple):
    """One episode without rewards.

    observations [T, O], actions [T, A]; physics [T + 1, P] or None; last_observation [O], what was
    seen after the last step, or None. Nothing here learns from the last observation, but other
    formats have a place for it.
    """

    observations: np.ndarray
    actions: np.ndarray
    physics: np.ndarray | None
    last_observation: np.ndarray | None = None

    def labelled(self, rewards: np.ndarray) -> Trajectory:
        """Return the trajectory with these rewards [T]."""
        return Trajectory(self.observations, self.actions, rewards, self.physics)

    def widths(self) -> dict[str, int]:
        """Return the width of every array, named as in the files."""
        arrays = zip(DTYPES, (self.observations, self.actions, self.physics), strict=True)
        return {key: array.shape[1] for key, array in arrays if array is not None}


def list_episodes(directory: str | Path) -> list[Path]:
    """Return the npz files of `directory`, or else of its `buffer/`, in the order of their index.

    Names are `episode_{index}_{length}.npz` or `{timestamp}_{index}_{length}.npz`, with or without
    leading zeros; equal indices are ordered by what stands before them.
    """
    directory = Path(directory)
    if not directory.exists():
        raise AgenticError(
            f"{directory} does not exist; give a directory of ExoRL npz episodes or an .h5 store."
        )
    if not directory.is_dir():
        raise AgenticError(
            f"{directory} is a file; give a directory of ExoRL npz episodes or an .h5 store."
        )
    found = _npz_files(directory)
    if found:
        return sorted(found, key=_place)
    raise AgenticError(f"{directory} holds no .npz episodes, nor does {directory / 'buffer'}.")


def holds_episodes(directory: str | Path) -> bool:
    """Return whether `list_episodes` would find any file here."""
    return bool(_npz_files(Path(directory)))


def _npz_files(directory: Path) -> list[Path]:
    for folder in (directory, directory / "buffer"):
        # A link to a missing file is listed as well, so that reading it is an error.
        found = [p for p in folder.glob("*.npz") if p.is_file() or not p.exists()]
        found = [p for p in found if not p.name.startswith(".")]
        if found:
            return found
    return []


def _place(path: Path) -> tuple[int, str]:
    match = NAME.fullmatch(path.stem)
    if match is None:
        raise AgenticError(
            f"{path} is not named like an episode; "
            "the rule is episode_INDEX_LENGTH.npz or TIMESTAMP_INDEX_LENGTH.npz."
        )
    return int(match["index"]), match["prefix"]


def promised_length(path: str | Path) -> int:
    """Return the number of steps that a file's name promises, without opening it."""
    return int(NAME.fullmatch(Path(path).stem)["length"])


def episode_length(path: str | Path) -> int:
    """Return the number of steps T in a file, from the header of its actions alone."""
    shape = episode_shapes(path, ["action"])["action"]
    return max(shape[0] - 1, 0) if shape else 0


def episode_shapes(
    path: str | Path, keys: Iterable[str] = tuple(DTYPES)
) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the arrays `keys` as stored, T + 1 rows each, from their headers."""
    with _opened(path) as archive:
        return {key: _header(_member(archive, key, path, HEADER))[0] for key in keys}


def read_episode(
    path: str | Path, task: str | None = None, recompute_observations: bool = False
) -> Episode:
    """Return the episode in `path`, aligned and checked against the widths that `task` has.

    Without a task every width is legal. With `recompute_observations` that of the observations is,
    because the caller replaces them. Every defect of the file is an AgenticError that names it;
    pickled objects are never loaded.
    """
    path = Path(path)
    with _opened(path) as archive:
        rows = {key: _read_array(archive, key, path, dtype) for key, dtype in DTYPES.items()}
        _refuse_terminations(archive, path)
    for key, array in rows.items():
        if array.ndim != 2:
            raise AgenticError(f"{path} has {key} of shape {array.shape}; it needs two axes.")
    for key, array in rows.items():
        if len(array) != len(rows["action"]):
            raise AgenticError(
                f"{path} has {len(array)} rows of {key} and {len(rows['action'])} of action; "
                "all arrays need the same number."
            )
    if task is not None:
        widths = {key: array.shape[1] for key, array in rows.items()}
        check_widths(path, task, widths, recompute_observations)
    seen = rows["observation"]
    episode = Episode(
        seen[:-1], rows["action"][1:], rows["physics"], seen[-1] if len(seen) else None
    )
    # The rules of a legal trajectory are written once; zeros stand in for the labels to come.
    episode.labelled(np.zeros(len(episode.actions), np.float32)).check(str(path))
    if not np.isfinite(episode.last_observation).all():
        raise AgenticError(f"{path} has a last observation that is not finite; all must be.")
    return episode


def widths_of_task(task: Task) -> dict[str, int]:
    """Return the width of every array of a task's episodes, named as in the files."""
    sizes = (task.observation_size, task.action_size, task.physics_size)
    return dict(zip(DTYPES, sizes, strict=True))


def tasks_of_widths(widths: dict[str, int]) -> tuple[str, ...]:
    """Return the tasks whose arrays have these widths; of an array that is not named, any."""
    return tuple(
        name
        for name, task in TASKS.items()
        if all(widths_of_task(task)[key] == width for key, width in widths.items())
    )


def check_widths(
    path: str | Path, task: str, widths: dict[str, int], recompute_observations: bool = False
) -> None:
    """Raise AgenticError unless `widths` (by key of DTYPES) are those of the simulated task."""
    spec = get_task(task)
    sizes = widths_of_task(spec)
    other = [key for key in DTYPES if key in widths and widths[key] != sizes[key]]
    if recompute_observations and other == ["observation"]:
        return
    # Actions and states of another width belong to another domain, and nothing helps.
    for key in sorted(other, key=lambda key: key == "observation"):
        remedy = f"; it holds another domain than {spec.domain}"
        if key == "observation":
            remedy = "; --recompute-observations computes them anew from physics"
        raise AgenticError(
            f"{path} has {key} of width {widths[key]}, "
            f"but {task} has width {sizes[key]} in the installed simulator{remedy}."
        )


def write_episode(
    path: str | Path,
    observations: np.ndarray,
    actions: np.ndarray,
    rewards: np.ndarray,
    physics: np.ndarray,
) -> None:
    """Write one episode of T + 1 rows, whole or not at all; equal arrays give equal bytes.

    Args:
        path: such as `buffer/episode_000000_1000.npz`.
        observations: [T + 1, O], row 0 after the reset.
        actions: [T + 1, A] in [-1, 1], row 0 a dummy of zeros.
        rewards: [T + 1] or [T + 1, 1], row 0 zero.
        physics: [T + 1, P].
    """
    rows = len(actions)
    with written_whole(Path(path)) as temporary, temporary.open("wb") as file:
        np.savez_compressed(
            file,
            observation=np.asarray(observations, np.float32),
            action=np.asarray(actions, np.float32),
            reward=np.asarray(rewards, np.float32).reshape(rows, 1),
            discount=np.ones((rows, 1), np.float32),
            physics=np.asarray(physics, np.float64),
        )


@contextmanager
def _opened(path: str | Path) -> Iterator[zipfile.ZipFile]:
    """Open an npz; every failure to read it becomes one sentence that names the file."""
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except FileNotFoundError as error:
        raise AgenticError(
            f"{path} cannot be read: it is a link to {Path(path).resolve()}, which is missing."
            if Path(path).is_symlink()
            else f"{path} does not exist."
        ) from error
    except _BROKEN as error:
        reason = error.strerror if isinstance(error, OSError) else None
        raise AgenticError(
            f"{path} cannot be read as an npz episode ({reason or error or 'it ends too early'}); "
            "it is truncated or damaged, so fetch or write it again."
        ) from error


def _refuse_terminations(archive: zipfile.ZipFile, path: Path) -> None:
    """Raise AgenticError if an episode ended before its time; files need not say."""
    if "discount.npy" not in archive.namelist():
        return
    discount = _read_array(archive, "discount", path).reshape(-1)
    ends = np.flatnonzero(discount[1:] == 0)
    if len(ends):
        raise AgenticError(
            f"{path} has discount 0 at row {ends[0] + 1}, so it was terminated; episodes of these "
            "tasks end by their time limit alone."
        )


def _read_array(
    archive: zipfile.ZipFile, key: str, path: Path, needed: type | None = None
) -> np.ndarray:
    """Return one array of an npz, as `np.load` would, if its type is the one that is needed.

    `np.load` allocates what the header promises, before it knows whether the file holds as much,
    and takes 1.4 times as long, because it evaluates every header anew.
    """
    content = _member(archive, key, path)
    shape, columns_first, dtype, start = _header(content)
    if dtype.hasobject:
        raise AgenticError(
            f"{path} holds pickled objects in {key!r}; they could run code and were refused."
        )
    if needed is not None and dtype != needed:
        raise AgenticError(f"{path} has {key} of type {dtype}; it needs {np.dtype(needed)}.")
    if math.prod(shape) * dtype.itemsize != len(content) - start:
        raise AgenticError(
            f"{path} has {key} of shape {shape} in its header and {len(content)} bytes; "
            "they do not fit, so the file is damaged."
        )
    array = np.frombuffer(content, dtype, offset=start)
    return array.reshape(shape, order="F" if columns_first else "C")


def _member(
    archive: zipfile.ZipFile, key: str, path: str | Path, most: int = LARGEST_MEMBER
) -> bytes:
    """Return the content of an array's file, or its first `most` bytes; whole, its CRC is checked.

    No more is unpacked than the table of contents promises, and that is bounded.
    """
    names = archive.namelist()
    if f"{key}.npy" not in names:
        found = ", ".join(sorted(name.removesuffix(".npy") for name in names)) or "nothing"
        why = "; rewards are computed from it" if key == "physics" else ""
        raise AgenticError(f"{path} has no array {key!r}{why}; it holds {found}.")
    member = archive.getinfo(f"{key}.npy")
    if member.compress_type not in PACKED_BY_NUMPY:
        raise AgenticError(
            f"{path} has {key} packed by method {member.compress_type} of zip; write it with "
            "numpy.savez or numpy.savez_compressed."
        )
    if member.file_size > LARGEST_MEMBER:
        raise AgenticError(
            f"{path} has {key} of {member.file_size} bytes unpacked; "
            f"an episode's array has at most {LARGEST_MEMBER}."
        )
    with archive.open(member) as file:
        return file.read(min(member.file_size, most))


def _header(content: bytes) -> tuple[tuple[int, ...], bool, np.dtype, int]:
    """Return an npy file's shape, whether columns come first, its type and where its data begin."""
    width = 2 if content[6:7] == b"\x01" else 4  # of the number that tells the header's length
    start = 8 + width + int.from_bytes(content[8 : 8 + width], "little")
    return *_parse_header(content[:start]), start


@lru_cache(maxsize=64)
def _parse_header(header: bytes) -> tuple[tuple[int, ...], bool, np.dtype]:
    # numpy evaluates the header as Python; thousands of episodes have the same one.
    file = io.BytesIO(header)
    version = np.lib.format.read_magic(file)
    read = (
        np.lib.format.read_array_header_1_0
        if version == (1, 0)
        else np.lib.format.read_array_header_2_0
    )
    return read(file)
