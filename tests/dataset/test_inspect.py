"""What `agentic data info` will print is counted, not guessed; looking at it needs no simulator."""

import json
import subprocess
import sys

import numpy as np
import pytest

from agentic.dataset import convert, describe_data, load_dataset

TASK, OTHER = "cartpole_swingup", "cartpole_balance"


def test_a_directory_is_counted_from_its_headers(directory):
    folder = directory(6, 3, 9)
    facts = describe_data(folder).facts
    assert facts == {
        "kind": "episodes",
        "path": str(folder),
        "episodes": 3,
        "steps": 18,
        "length_range": (3, 9),
        "bytes": sum(path.stat().st_size for path in folder.iterdir()),
        "shapes": {"observation": (7, 5), "action": (7, 1), "physics": (7, 4)},
        "tasks": {},
    }


def test_a_directory_and_its_store_agree(tmp_path, directory):
    folder, path = directory(6, 3, 9), tmp_path / "store.h5"
    convert(folder, path, [TASK, OTHER])
    loose, stored = describe_data(folder, TASK).facts, describe_data(path).facts
    assert stored["tasks"].keys() == {TASK, OTHER}
    assert stored["tasks"][TASK] == loose["tasks"][TASK]
    for key in ("episodes", "steps", "length_range", "shapes"):
        assert stored[key] == loose[key]
    assert (stored["kind"], stored["domain"], stored["source"]) == (
        "store",
        "cartpole",
        str(folder),
    )
    assert stored["bytes"] == path.stat().st_size and "mujoco" in stored["versions"]
    assert describe_data(path, OTHER).facts["tasks"] == {OTHER: stored["tasks"][OTHER]}
    json.dumps([loose, stored])


def test_returns_are_quantiles_of_the_returns(directory):
    folder = directory(6, 3, 9, 4)
    returns = load_dataset(folder, TASK).returns
    facts = describe_data(folder, TASK).facts["tasks"][TASK]["returns"]
    assert list(facts) == ["min", "25%", "50%", "75%", "max", "mean"]
    assert facts["min"] == returns.min() and facts["max"] == returns.max()
    assert facts["50%"] == pytest.approx(np.median(returns))
    assert facts["mean"] == pytest.approx(returns.mean())


def test_nothing_heavy_is_imported_before_it_is_needed(directory):
    script = (
        "import sys, agentic.dataset as d; "
        "heavy = {'jax', 'h5py', 'mujoco', 'dm_control'}; "
        "assert not heavy & set(sys.modules); "
        "d.describe_data(sys.argv[1]); "
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script, str(directory(5))], check=True)
