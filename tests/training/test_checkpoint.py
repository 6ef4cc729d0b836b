"""Checkpoints are whole or absent, and say in one sentence why they do not fit."""

import errno
import logging
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from agentic.errors import AgenticError
from agentic.training import checkpoint

TREE = {"kernel": np.arange(6, dtype=np.float32).reshape(2, 3), "layers": [np.ones(4, np.int32)]}


def save(run: Path, *steps: int) -> None:
    for step in steps:
        tree = jax.tree.map(lambda leaf, step=step: leaf + leaf.dtype.type(step), TREE)
        checkpoint.save(run, step, {"parameters": tree})


def like(tree=TREE):
    place = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place), tree)


def assert_loads(run: Path, step: int) -> None:
    loaded = checkpoint.load(run, step, "parameters", like())
    for actual, expected in zip(jax.tree.leaves(loaded), jax.tree.leaves(TREE), strict=True):
        np.testing.assert_array_equal(actual, expected + step)
        assert actual.dtype == expected.dtype


def test_what_is_saved_comes_back_and_the_newest_two_stay(tmp_path):
    save(tmp_path, 5, 10, 100)
    assert checkpoint.steps(tmp_path) == [10, 100]
    assert checkpoint.latest(tmp_path) == 100
    assert_loads(tmp_path, 10)
    assert_loads(tmp_path, 100)


def test_saving_a_step_again_replaces_it(tmp_path):
    save(tmp_path, 3)
    checkpoint.save(tmp_path, 3, {"parameters": jax.tree.map(np.zeros_like, TREE)})
    loaded = checkpoint.load(tmp_path, 3, "parameters", like())
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(loaded))


def test_arrays_spread_over_devices_load_on_one(tmp_path):
    mesh = jax.make_mesh((8,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    spread = jax.device_put(np.arange(16.0, dtype=np.float32), jax.NamedSharding(
        mesh, jax.sharding.PartitionSpec("data")))  # fmt: skip
    checkpoint.save(tmp_path, 1, {"parameters": {"kernel": spread}})
    loaded = checkpoint.load(tmp_path, 1, "parameters", like({"kernel": spread}))["kernel"]
    assert len(loaded.sharding.device_set) == 1
    np.testing.assert_array_equal(loaded, np.arange(16.0))


def test_a_partial_checkpoint_is_never_listed(tmp_path):
    save(tmp_path, 1)
    (tmp_path / "checkpoints" / "2.partial" / "parameters").mkdir(parents=True)
    assert checkpoint.steps(tmp_path) == [1]
    save(tmp_path, 2)
    assert checkpoint.steps(tmp_path) == [1, 2]
    assert_loads(tmp_path, 2)


def test_a_run_without_checkpoint_says_so(tmp_path):
    assert checkpoint.steps(tmp_path) == []
    with pytest.raises(AgenticError, match="has no checkpoint; train first"):
        checkpoint.latest(tmp_path)


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({**TREE, "kernel": np.zeros((3, 3), np.float32)}, r"kernel is .2, 3. there and .3, 3. in"),
        ({**TREE, "bias": np.zeros(3, np.float32)}, "bias is absent there"),
        ({"kernel": TREE["kernel"]}, r"layers/0 is \(4,\) there and absent"),
    ],
)
def test_another_architecture_is_named(tmp_path, other, words):
    save(tmp_path, 1)
    with pytest.raises(AgenticError, match=words) as caught:
        checkpoint.load(tmp_path, 1, "parameters", like(other))
    assert "\n" not in str(caught.value)


def test_a_damaged_checkpoint_is_named(tmp_path):
    save(tmp_path, 1)
    for path in (tmp_path / "checkpoints" / "1" / "parameters").iterdir():
        if path.is_file():
            path.write_bytes(b"")
    with pytest.raises(AgenticError, match="is not a readable checkpoint"):
        checkpoint.load(tmp_path, 1, "parameters", like())


def test_a_save_that_breaks_half_way_leaves_the_earlier_checkpoint(tmp_path):
    save(tmp_path, 1)

    def fill_the_disk(path, tree):
        path.mkdir(parents=True)
        (path / "half").write_text("of the arrays")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(AgenticError, match=r"No space left on device.*last good .* step 1"):
        checkpoint.save(tmp_path, 2, {"parameters": TREE}, write=fill_the_disk)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["1"]
    assert_loads(tmp_path, 1)


def test_a_file_size_limit_met_while_saving_ends_in_one_sentence(tmp_path):
    # The operating system itself refuses to write on, as it does on a full disk.
    code = f"""
import resource
import numpy as np
from agentic.errors import AgenticError
from agentic.training import checkpoint

big = {{"kernel": np.random.default_rng(0).normal(size=300_000)}}
checkpoint.save({str(tmp_path)!r}, 1, {{"parameters": {{"kernel": np.ones(3)}}}})
resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))
try:
    checkpoint.save({str(tmp_path)!r}, 2, {{"parameters": big}})
except AgenticError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    lines = done.stdout.splitlines()
    assert len(lines) == 1, done.stdout + done.stderr
    assert "the checkpoint of step 2 could not be written" in lines[0]
    assert "the last good checkpoint is step 1" in lines[0]
    assert checkpoint.steps(tmp_path) == [1]


def test_writers_that_fail_after_the_first_are_not_heard(tmp_path):
    def full(*_):
        raise OSError("no space left on device")

    log = logging.getLogger("absl")
    before = log.level
    try:
        with pytest.raises(AgenticError, match="no space left"):
            checkpoint.save(tmp_path, 1, {"parameters": {"w": np.zeros(2)}}, write=full)
        assert not log.isEnabledFor(logging.CRITICAL)
    finally:
        log.setLevel(before)
