"""Every defect of a directory or an episode is one sentence that names the file and the rule."""

import io
import re
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest

from agentic.dataset import convert, describe_data, load_dataset, verify
from agentic.dataset import episodes as exorl
from agentic.errors import AgenticError

TASK = "cartpole_swingup"


class Mine:
    """If this is ever unpickled, a file with foreign code has been run."""

    def __reduce__(self):
        return (pytest.fail, ("a pickled object was loaded",))


def legal() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        "observation": rng.normal(size=(9, 5)).astype(np.float32),
        "action": rng.uniform(-1, 1, (9, 1)).astype(np.float32),
        "reward": np.zeros((9, 1), np.float32),
        "discount": np.ones((9, 1), np.float32),
        "physics": rng.normal(size=(9, 4)),
    }


def changed(key: str, index: tuple, value: float) -> dict[str, np.ndarray]:
    arrays = legal()
    arrays[key][index] = value
    return arrays


def without(key: str) -> dict[str, np.ndarray]:
    return {name: array for name, array in legal().items() if name != key}


def shorter(key: str) -> dict[str, np.ndarray]:
    return legal() | {key: legal()[key][:-1]}


ARRAYS = {
    "an action of size 1.5; actions lie in [-1, 1]": changed("action", (3, 0), 1.5),
    "a value in observations at row 2 that is not finite": changed("observation", (2, 1), np.nan),
    "a value in actions at row 2 that is not finite": changed("action", (3, 0), np.nan),
    "a value in physics at row 8 that is not finite": changed("physics", (8, 1), np.inf),
    "observation of width 17, but cartpole_swingup has width 5": legal()
    | {"observation": np.zeros((9, 17), np.float32)},
    "action of width 2, but cartpole_swingup has width 1": legal()
    | {"action": np.zeros((9, 2), np.float32)},
    "physics of width 18, but cartpole_swingup has width 4": legal()
    | {"physics": np.zeros((9, 18))},
    "no array 'observation'; it holds action, discount, physics, reward": without("observation"),
    "no array 'action'": without("action"),
    "no array 'physics'; rewards are computed from it": without("physics"),
    "type float64; it needs float32": legal() | {"observation": np.zeros((9, 5))},
    "type int64; it needs float32": legal() | {"action": np.zeros((9, 1), np.int64)},
    "type float32; it needs float64": legal() | {"physics": np.zeros((9, 4), np.float32)},
    "8 rows of observation and 9 of action": shorter("observation"),
    "9 rows of observation and 8 of action": shorter("action"),
    "8 rows of physics and 9 of action": shorter("physics"),
    "has no steps": {key: array[:1] for key, array in legal().items()},
    "npz has no steps; an episode needs": {key: array[:0] for key, array in legal().items()},
    "discount 0 at row 8, so it was terminated": changed("discount", (8, 0), 0.0),
    "discount 0 at row 3, so it was terminated": legal()
    | {"discount": np.array([0, 1, 1, 0, 1, 1, 1, 1, 1])},
    "pickled objects in 'discount'": legal() | {"discount": np.array([Mine()] * 9, dtype=object)},
    "action of shape (9,); it needs two axes": legal() | {"action": np.zeros(9, np.float32)},
    "action of shape (); it needs two axes": legal() | {"action": np.float32(0)},
    "pickled objects in 'observation'": legal()
    | {"observation": np.array([[Mine()] * 5] * 9, dtype=object)},
    "pickled objects in 'physics'; they could run code and were refused": legal()
    | {"physics": np.array([[Mine()] * 4] * 9, dtype=object)},
}


def refused(path: Path) -> str:
    """Return the sentence with which loading refuses, checked to be one line that names `path`."""
    with pytest.raises(AgenticError) as caught:
        load_dataset(path.parent if path.suffix == ".npz" else path, TASK)
    sentence = str(caught.value)
    assert sentence.startswith(str(path)) and "\n" not in sentence and sentence.endswith(".")
    return sentence


@pytest.mark.parametrize("rule", ARRAYS)
def test_a_wrong_array_is_named(tmp_path, rule):
    path = tmp_path / "episode_0_8.npz"
    np.savez(path, **ARRAYS[rule])
    assert rule in refused(path)


def test_the_dummy_action_and_the_collection_reward_may_be_anything(tmp_path):
    arrays = changed("action", (0, 0), np.nan)
    arrays["reward"][:] = np.nan
    np.savez(tmp_path / "episode_0_8.npz", **arrays)
    assert len(load_dataset(tmp_path, TASK)) == 1


def test_a_truncated_or_damaged_file_is_named(tmp_path):
    path = tmp_path / "episode_0_8.npz"
    np.savez_compressed(path, **legal())
    whole, rng = path.read_bytes(), np.random.default_rng(0)
    intact = exorl.read_episode(path, TASK)
    for size in range(0, len(whole), 97):
        path.write_bytes(whole[:size])
        assert "truncated or damaged" in refused(path)
    for _ in range(300):
        noisy = bytearray(whole)
        noisy[rng.integers(len(whole))] ^= 1 << int(rng.integers(8))
        path.write_bytes(noisy)
        # Some bytes mean nothing (dates, attributes); all others must be noticed.
        try:
            episode = exorl.read_episode(path, TASK)
        except AgenticError as error:
            assert str(path) in str(error)
        else:
            for one, other in zip(episode, intact, strict=True):
                np.testing.assert_array_equal(one, other)


def test_an_episode_need_not_say_how_it_ended(tmp_path):
    for name, arrays in (
        ("none", without("discount")),
        ("first", changed("discount", (0, 0), 0.0)),  # of the reset
        ("odd", legal() | {"discount": np.float64(1)}),
    ):
        path = tmp_path / name / "episode_0_8.npz"
        path.parent.mkdir()
        np.savez(path, **arrays)
        assert len(exorl.read_episode(path, TASK).actions) == 8


@pytest.mark.parametrize("content", [b"", b"hello", b"\x80\x04K\x01."])
def test_a_file_that_is_no_archive_is_named(tmp_path, content):
    path = tmp_path / "episode_0_8.npz"
    path.write_bytes(content)
    assert "cannot be read as an npz episode" in refused(path)


def test_a_header_that_promises_more_than_the_file_holds_allocates_nothing(tmp_path):
    path, header = tmp_path / "episode_0_8.npz", io.BytesIO()
    promised = {"descr": "<f4", "fortran_order": False, "shape": (10**12, 5)}
    np.lib.format.write_array_header_1_0(header, promised)
    with_member(path, "observation", header.getvalue() + bytes(100))
    with pytest.raises(AgenticError, match="do not fit, so the file is damaged"):
        exorl.read_episode(path, TASK)


def with_member(path: Path, key: str, content: bytes, method: int = zipfile.ZIP_DEFLATED) -> None:
    """Write a legal episode in which the file of one array has this content."""
    np.savez(path, **without(key))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(f"{key}.npy", content, method)


def promise(path: Path, size: int) -> None:
    """Change how many bytes the last member of a zip unpacks to by its table of contents."""
    content = bytearray(path.read_bytes())
    place = content.rindex(b"PK\x01\x02") + 24
    content[place : place + 4] = size.to_bytes(4, "little")
    path.write_bytes(content)


def test_a_member_that_promises_too_much_is_refused_unread(tmp_path):
    path = tmp_path / "episode_0_8.npz"
    with_member(path, "physics", bytes(1000))
    promise(path, 2**28 + 1)
    assert "physics of 268435457 bytes unpacked; an episode's array has at most" in refused(path)


def test_a_bomb_that_promises_little_unpacks_to_little(tmp_path):
    path = tmp_path / "episode_0_8.npz"
    with_member(path, "physics", bytes(2**26))
    promise(path, 500)
    tracemalloc.start()
    sentence = refused(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "cannot be read as an npz episode" in sentence and peak < 2**23


def test_other_ways_to_pack_are_refused_unread(tmp_path):
    # zipfile unpacks them whole, whatever size they promise.
    path = tmp_path / "episode_0_8.npz"
    for method in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        with_member(path, "physics", bytes(2**20), method)
        assert f"physics packed by method {method} of zip" in refused(path)


@pytest.mark.parametrize(
    ("name", "rule"),
    [("nowhere", "does not exist"), ("file.npz", "is a file"), ("empty", "holds no .npz episodes")],
)
def test_a_missing_or_empty_directory_is_named(tmp_path, name, rule):
    (tmp_path / "file.npz").touch()
    (tmp_path / "empty").mkdir()
    with pytest.raises(AgenticError, match=rf"^{re.escape(str(tmp_path / name))} {rule}"):
        load_dataset(tmp_path / name, TASK)


def test_a_link_to_a_missing_file_is_named_by_all_that_read(tmp_path, directory):
    folder, missing = directory(5, 6), tmp_path / "missing.npz"
    link = folder / "episode_000002_7.npz"
    link.symlink_to(missing)
    words = f"{link} cannot be read: it is a link to {missing}, which is missing"
    assert words in refused(link)
    [problem] = verify(folder).problems
    assert words in problem
    with pytest.raises(AgenticError, match="which is missing"):
        describe_data(folder)
    with pytest.raises(AgenticError, match=r"which is missing; --skip-damaged"):
        convert(folder, tmp_path / "store.h5", [TASK])
    done = convert(folder, tmp_path / "store.h5", [TASK], skip_damaged=True)
    assert done.episodes == 2 and words in done.skipped[0]
    missing.write_bytes((folder / "episode_000001_6.npz").read_bytes())
    assert verify(folder)[:3] == ("episodes", 3, ())


def test_a_file_that_is_not_named_like_an_episode_is_refused(tmp_path, directory):
    stray = directory(5) / "statistics.npz"
    np.savez(stray, mean=np.zeros(5))
    assert "is not named like an episode" in refused(stray)


def test_unknown_tasks_and_control_modes_meet_the_nearest_valid_one(directory):
    with pytest.raises(AgenticError, match="did you mean 'cartpole_swingup'"):
        load_dataset(directory(5), "cartpole_swing_up")
    with pytest.raises(AgenticError, match="control is 'actions'; did you mean 'action'"):
        load_dataset(directory(5), TASK, control="actions")
