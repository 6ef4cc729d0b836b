"""Laws of the npz format: which row becomes which step, order, whole or no files."""

import re
import resource
from pathlib import Path

import numpy as np
import pytest

from agentic.dataset.episodes import episode_length, episode_shapes, list_episodes, read_episode
from agentic.dataset.episodes import write_episode as write
from agentic.errors import AgenticError

TASK = "cartpole_swingup"


def test_every_row_becomes_the_step_that_it_belongs_to(tmp_path):
    row = np.arange(5)
    path = tmp_path / "episode_000000_4.npz"
    write(
        path,
        observations=np.tile(row[:, None], 5),
        actions=row[:, None] / 10,
        rewards=np.full(5, 99.0),
        physics=np.tile(100 + row[:, None], 4),
    )
    episode = read_episode(path, TASK)
    # Step t acts on row t, and the action that led to row t + 1 is the one that was chosen there.
    np.testing.assert_array_equal(episode.observations[:, 0], [0, 1, 2, 3])
    np.testing.assert_array_equal(episode.actions[:, 0], np.float32([0.1, 0.2, 0.3, 0.4]))
    np.testing.assert_array_equal(episode.physics[:, 0], [100, 101, 102, 103, 104])
    assert episode_length(path) == 4
    assert episode_shapes(path) == {"observation": (5, 5), "action": (5, 1), "physics": (5, 4)}


def test_what_is_written_is_what_exorl_writes(tmp_path, rows):
    path, arrays = tmp_path / "episode_0_6.npz", rows(6, seed=0)
    write(path, **arrays)
    with np.load(path, allow_pickle=False) as stored:
        kinds = {key: (stored[key].dtype.name, stored[key].shape) for key in stored.files}
        np.testing.assert_array_equal(stored["physics"], arrays["physics"])
        np.testing.assert_array_equal(stored["discount"], 1)
    assert kinds == {
        "observation": ("float32", (7, 5)),
        "action": ("float32", (7, 1)),
        "reward": ("float32", (7, 1)),
        "discount": ("float32", (7, 1)),
        "physics": ("float64", (7, 4)),
    }


def test_unknown_arrays_are_ignored(tmp_path, rows):
    path = tmp_path / "episode_0_6.npz"
    write(path, **rows(6, seed=0))
    plain = read_episode(path, TASK)
    with np.load(path, allow_pickle=False) as stored:
        np.savez(path, skill=np.eye(3), **stored)
    for one, other in zip(plain, read_episode(path, TASK), strict=True):
        np.testing.assert_array_equal(one, other)


def test_equal_arrays_give_equal_bytes(tmp_path, rows):
    for name in ("a", "b"):
        write(tmp_path / name / "episode_0_6.npz", **rows(6, seed=0))
    first, second = (tmp_path / name / "episode_0_6.npz" for name in ("a", "b"))
    assert first.read_bytes() == second.read_bytes()


def test_episodes_come_in_the_order_of_their_index(tmp_path):
    order = [
        "episode_000000_1000.npz",
        "20210102T030405_1_1000.npz",
        "episode_2_1000.npz",
        "20210102T030405_0009_7.npz",
        "episode_10_1000.npz",
        "episode_100_50.npz",
    ]
    (tmp_path / "buffer").mkdir()
    for name in reversed(order):
        (tmp_path / "buffer" / name).touch()
    (tmp_path / "buffer" / ".episode_3_1000.npz.partial").touch()
    (tmp_path / "video.mp4").touch()
    assert [path.name for path in list_episodes(tmp_path)] == order
    assert list_episodes(tmp_path) == list_episodes(tmp_path / "buffer")


def test_a_failed_write_leaves_the_old_file(tmp_path, rows):
    path = tmp_path / "episode_0_6.npz"
    write(path, **rows(6, seed=0))
    before, limits = path.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    rule = rf"{re.escape(str(path))} could not be written \(File too large\)"
    try:
        # A limit on the size of files stands in for a full disk: writes fail in the same way.
        resource.setrlimit(resource.RLIMIT_FSIZE, (500, limits[1]))
        with pytest.raises(AgenticError, match=rule):
            write(path, **rows(6, seed=1))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_in_the_place_of_the_folder_is_named(tmp_path: Path, rows):
    (tmp_path / "buffer").touch()
    with pytest.raises(AgenticError, match="could not be written"):
        write(tmp_path / "buffer" / "episode_0_6.npz", **rows(6, seed=1))
