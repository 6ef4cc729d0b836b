"""Laws of the store: equal to its episodes, mapped and not read, written whole or not at all."""

import dataclasses
import json
import os
import re
import subprocess
import sys
import tracemalloc

import h5py
import numpy as np
import pytest

from agentic.dataset import Dataset, convert, describe_data, load_dataset
from agentic.dataset.episodes import list_episodes
from agentic.dataset.store.output import Output
from agentic.dataset.store.reading import open_store, texts
from agentic.errors import AgenticError

TASK, OTHER = "cartpole_swingup", "cartpole_balance"


@pytest.fixture
def store(tmp_path, directory):
    """A store of three episodes of unequal length, labelled for two tasks."""
    path = tmp_path / "store.h5"
    convert(directory(6, 3, 9), path, [TASK, OTHER])
    return path


@pytest.mark.parametrize("control", ["action", "zero"])
def test_a_store_equals_the_directory_it_came_from(tmp_path, directory, control):
    path, folder, calls = tmp_path / "store.h5", directory(6, 3, 9), []
    done = convert(folder, path, [TASK, OTHER], control, lambda *call: calls.append(call))
    assert done == (path, 3, 18, (TASK, OTHER), (), ()) and calls == [(1, 3), (2, 3), (3, 3)]
    for task in (TASK, OTHER):
        stored, loaded = (load_dataset(place, task, control) for place in (path, folder))
        for field in dataclasses.fields(Dataset):
            if field.name not in ("source", "known_returns"):
                one, other = getattr(stored, field.name), getattr(loaded, field.name)
                np.testing.assert_array_equal(one, other, strict=True)
        np.testing.assert_array_equal(stored.returns, loaded.returns)
        np.testing.assert_array_equal(stored[1].physics, loaded[1].physics)


def test_arrays_are_maps_of_the_file_and_leave_it_unchanged(store):
    before = store.read_bytes()
    data = load_dataset(store, TASK)
    for array in (data.observations, data.actions, data.rewards, data.physics):
        assert isinstance(array, np.memmap) and array.mode == "r"
        assert array.flags.aligned and array.offset % 64 == 0
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0
    list(data), data.returns, data.observation_statistics(), data.mask(np.arange(3))
    assert store.read_bytes() == before


def test_equal_episodes_give_equal_bytes(tmp_path, directory):
    folder = directory(6, 3)
    for name in ("a.h5", "b.h5"):
        convert(folder, tmp_path / name, [TASK])
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


def test_provenance_is_kept(store):
    with h5py.File(store) as file:
        facts = texts(file)
        assert re.fullmatch("[0-9a-f]{64}", facts.pop("sha256"))
        assert set(json.loads(facts.pop("versions"))) >= {"agentic", "mujoco", "dm_control"}
        assert json.loads(facts.pop("dates")).keys() == {
            "written",
            "oldest_episode",
            "newest_episode",
        }
        assert facts == {
            "format": "agentic-trajectories",
            "version": "2",
            "domain": "cartpole",
            "source": str(store.parent / "buffer"),
            "control": "action",
        }
        assert texts(file[f"rewards/{TASK}"])["control"] == "action"
        for key in ("observations", "actions", "physics", f"rewards/{TASK}"):
            assert file[key].chunks is None and file[key].compression is None


def test_memory_does_not_grow_with_the_number_of_episodes(tmp_path, directory):
    folder, peaks = directory(*[400] * 40), []
    for count in (1, 4, 40):
        tracemalloc.start()
        convert(folder, tmp_path / "store.h5", [TASK], episodes=count, overwrite=True)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # The first run also holds what is loaded once; 36 more episodes would be 860 kB more.
    assert peaks[2] < peaks[1] + 400_000


def test_only_the_first_episodes_are_taken_on_request(tmp_path, directory):
    folder = directory(6, 3, 9)
    convert(folder, tmp_path / "store.h5", [TASK], episodes=2)
    data = load_dataset(tmp_path / "store.h5", TASK)
    np.testing.assert_array_equal(data.lengths, [6, 3])
    assert data.observations.shape == (2, 6, 5)


def test_a_damaged_episode_stops_the_conversion_or_is_skipped_by_name(tmp_path, directory):
    folder, out = directory(6, 3, 9), tmp_path / "store.h5"
    damaged = list_episodes(folder)[1]
    damaged.write_bytes(damaged.read_bytes()[:-40])
    with pytest.raises(AgenticError, match=re.escape(str(damaged))):
        convert(folder, out, [TASK])
    assert not out.exists()
    done = convert(folder, out, [TASK], skip_damaged=True)
    assert done.episodes == 2 and len(done.skipped) == 1 and str(damaged) in done.skipped[0]
    np.testing.assert_array_equal(load_dataset(out, TASK).lengths, [6, 9])
    for path in list_episodes(folder):
        path.write_bytes(b"")
    with pytest.raises(AgenticError, match="holds no undamaged episode"):
        convert(folder, out, [TASK], skip_damaged=True, overwrite=True)


def test_an_interrupted_conversion_leaves_nothing(tmp_path, directory):
    folder = directory(6, 3, 9)
    here = sorted(tmp_path.iterdir())

    def interrupt(done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        convert(folder, tmp_path / "store.h5", [TASK], progress=interrupt)
    assert sorted(tmp_path.iterdir()) == here


FULL_DISK = """
import resource, sys
from agentic.dataset import convert
from agentic.errors import AgenticError
folder, out, *sizes = sys.argv[1:]
for size in map(int, sizes):
    # No file may grow beyond this, which fails like a full disk: in the middle of a write.
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    try:
        convert(folder, out, ["cartpole_swingup"], overwrite=True)
    except AgenticError as error:
        print(error)
"""


def test_a_full_disk_is_one_sentence_and_leaves_what_was_there(tmp_path, directory):
    folder, out = directory(600, 300), tmp_path / "store.h5"
    convert(folder, out, [TASK])
    before, here = out.read_bytes(), sorted(tmp_path.iterdir())
    # Before the first byte, in the metadata, in the arrays, and at the very end.
    sizes = [0, 100, 3_000, len(before) // 2, len(before) - 1]
    script = [sys.executable, "-c", FULL_DISK, str(folder), str(out), *map(str, sizes)]
    run = subprocess.run(script, capture_output=True, text=True, env=os.environ, check=True)
    sentence = f"{out} could not be written (File too large); nothing was left behind"
    assert [line.startswith(sentence) for line in run.stdout.splitlines()] == [True] * len(sizes)
    assert out.read_bytes() == before and sorted(tmp_path.iterdir()) == here


class OutputOnASmallDisk(Output):
    @staticmethod
    def free_bytes(folder):
        return 100


def test_too_little_free_space_is_noticed_before_the_first_byte(tmp_path, directory):
    with pytest.raises(AgenticError, match=r"needs 0 MB and .* has 0 MB free"):
        convert(directory(6), tmp_path / "store.h5", [TASK], output_type=OutputOnASmallDisk)
    assert not (tmp_path / "store.h5").exists()


def test_an_existing_file_is_kept_unless_it_is_to_be_replaced(store, tmp_path):
    before = store.read_bytes()
    with pytest.raises(AgenticError, match="exists already"):
        convert(tmp_path / "buffer", store, [TASK])
    assert store.read_bytes() == before
    convert(tmp_path / "buffer", store, [TASK], overwrite=True)
    assert describe_data(store).facts["tasks"].keys() == {TASK}


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ({"tasks": [], "physics": False}, "--no-physics was given without a task"),
        ({"workers": 0}, "workers is 0; it must be at least 1"),
        ({"tasks": ["cartpole_swing"]}, "did you mean 'cartpole_swingup'"),
        ({"tasks": [TASK, "walker_run"]}, "walker_run and cartpole_swingup do not share"),
        ({"tasks": [TASK, "cartpole_two_poles"]}, "do not share a simulator"),
        ({"control": "none"}, "control is 'none'"),
        ({"episodes": 0}, "episodes is 0; it must be at least 1"),
        ({"out": "store.hdf"}, r"store.hdf; its name must end in \.h5"),
        ({"directory": "nowhere"}, "nowhere does not exist"),
    ],
)
def test_wrong_arguments_are_named(tmp_path, directory, options, rule):
    arguments = {"directory": directory(5), "out": tmp_path / "store.h5", "tasks": [TASK]}
    with pytest.raises(AgenticError, match=rule):
        convert(**arguments | options)
    assert not (tmp_path / "store.h5").exists()


def test_a_task_without_labels_names_those_there_are_and_the_command(store):
    command = (
        r"has no rewards for cartpole_balance_sparse, only for cartpole_balance, cartpole_swingup; "
        r"run `agentic data relabel .*store\.h5 --task cartpole_balance_sparse`"
    )
    with pytest.raises(AgenticError, match=command):
        load_dataset(store, "cartpole_balance_sparse")


def test_labels_of_the_other_control_mode_are_not_handed_out(store):
    with pytest.raises(
        AgenticError, match=r"labelled with control 'action' and 'zero' was asked.*--control zero`"
    ):
        load_dataset(store, TASK, control="zero")
    assert open_store(store, TASK).control == "action"


def test_a_damaged_or_foreign_store_is_named(store):
    whole = store.read_bytes()
    for content in (b"", b"hello", whole[: len(whole) // 2], whole[:-1]):
        store.write_bytes(content)
        with pytest.raises(
            AgenticError, match=r"store\.h5 (is no HDF5 file|cannot be read as a store)"
        ):
            load_dataset(store, TASK)
    with h5py.File(store, "w") as file:
        file["x"] = 1
    with pytest.raises(AgenticError, match="is HDF5 but no store of trajectories"):
        load_dataset(store, TASK)
    store.unlink()
    with pytest.raises(AgenticError, match="does not exist"):
        load_dataset(store, TASK)


def test_a_store_of_another_layout_is_refused(store):
    with h5py.File(store, "r+") as file:
        file.attrs["version"] = np.bytes_("7")
    with pytest.raises(AgenticError, match="is a store of version 7"):
        load_dataset(store, TASK)
    with h5py.File(store, "r+") as file:
        file.attrs["version"] = np.bytes_("2")
        actions = file["actions"][()]
        del file["actions"]
        file.create_dataset("actions", data=actions, chunks=(1, 9, 1))
    with pytest.raises(AgenticError, match="has actions in pieces or compressed"):
        load_dataset(store, TASK)
    with h5py.File(store, "r+") as file:
        del file["actions"]
        file["actions"] = np.zeros((3, 9, 4), np.float32)
    with pytest.raises(
        AgenticError, match=r"actions? of width 4, but cartpole_swingup has width 1"
    ):
        load_dataset(store, TASK)
    with h5py.File(store, "r+") as file:
        del file["actions"]
    with pytest.raises(AgenticError, match="cannot be read as a store"):
        load_dataset(store, TASK)


def test_a_flipped_bit_in_the_structure_is_noticed_and_crashes_nothing(store):
    whole, rng = store.read_bytes(), np.random.default_rng(0)
    intact, refused = load_dataset(store, TASK), 0
    shapes = [array.shape for array in (intact.observations, intact.actions, intact.physics)]
    for place in rng.integers(len(whole), size=400):
        noisy = bytearray(whole)
        noisy[place] ^= 1 << int(rng.integers(8))
        store.write_bytes(noisy)
        try:
            data = load_dataset(store, TASK)
        except AgenticError as error:
            assert str(store) in str(error)
            refused += 1
        else:
            assert [a.shape for a in (data.observations, data.actions, data.physics)] == shapes
    assert refused > 20
