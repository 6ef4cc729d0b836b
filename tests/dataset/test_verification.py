"""Every kind of damage is found and named; whole data sets have no problems."""

import h5py
import numpy as np
import pytest

from agentic.dataset import convert, verify
from agentic.dataset.episodes import list_episodes, write_episode
from agentic.errors import AgenticError

TASK, OTHER = "cartpole_swingup", "cartpole_balance"


@pytest.fixture
def store(tmp_path, directory):
    path = tmp_path / "store.h5"
    convert(directory(6, 3, 9), path, [TASK, OTHER])
    return path


def test_whole_data_sets_have_no_problems(store, tmp_path):
    calls = []
    assert verify(store, lambda *c: calls.append(c))[:3] == ("store", 3, ())
    assert verify(tmp_path / "buffer", lambda *c: calls.append(c))[:3] == ("episodes", 3, ())
    assert calls == [(1, 3), (2, 3), (3, 3)] * 2
    convert(tmp_path / "buffer", store, overwrite=True)
    assert verify(store).problems == ()
    convert(tmp_path / "buffer", store, [TASK], physics=False, overwrite=True)
    assert verify(store).problems == ()


def test_every_damaged_episode_is_named(directory, rows):
    folder = directory(6, 3, 9, 4)
    paths = list_episodes(folder)
    paths[1].write_bytes(b"no archive")
    write_episode(paths[3], **rows(4, seed=3, task="walker_run"))
    for workers in (1, 3):
        first, second = verify(folder, workers=workers).problems
        assert str(paths[1]) in first and str(paths[3]) in second and "another domain" in second


@pytest.mark.parametrize(
    ("key", "index", "value", "words"),
    [
        ("observations", (1, 0, 0), 7.0, ["other observations and actions"]),
        ("actions", (0, 1, 0), 0.125, ["other observations and actions"]),
        ("actions", (0, 1, 0), 1.5, ["episode 0 has actions outside"]),
        ("physics", (2, 9, 3), 1.0, ["other physics than it was written with"]),
        ("physics", (2, 0, 0), np.nan, ["episode 2 has physics that are not finite"]),
        ("observations", (1, 3, 0), 1.0, ["episode 1 has observations other than zero behind"]),
        ("last_observations", (1, 0), 7.0, ["other last observations"]),
        ("last_observations", (1, 0), np.inf, ["episode 1 has last observations that are not"]),
        (f"rewards/{OTHER}", (0, 0), 9.0, [f"{OTHER} return", f"the rewards of {OTHER}"]),
        (f"returns/{TASK}", (2,), 9.0, [f"episode 2 has a {TASK} return that is not the sum"]),
        ("lengths", (1,), 0, ["episode 1 has length 0"]),
        ("lengths", (2,), 8, ["of shape (3, 9) and type float32; its lengths ask for (3, 8)"]),
    ],
)
def test_every_changed_value_is_named(store, key, index, value, words):
    with h5py.File(store, "r+") as file:
        file[key][index] = value
    problems = verify(store).problems
    assert all(any(word in problem for problem in problems) for word in words), problems


def test_a_file_that_is_no_store_is_a_problem_and_none_at_all_an_error(tmp_path):
    (tmp_path / "bad.h5").write_bytes(b"bad")
    [problem] = verify(tmp_path / "bad.h5").problems
    assert "is no HDF5 file" in problem
    for nothing in ("none.h5", "nowhere"):
        with pytest.raises(AgenticError, match="does not exist"):
            verify(tmp_path / nothing)
