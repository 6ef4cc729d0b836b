"""Processes find each other or say why not; two train what one does, and one goes on from it."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

import agentic
from agentic.errors import AgenticError
from agentic.methods import METHODS
from agentic.methods.method import configure
from agentic.methods.train import load_data, load_policy, train
from agentic.training import checkpoint, processes
from agentic.training.processes import Processes

ROOT = Path(agentic.__file__).parent.parent
TASK, DATA = "cartpole_swingup", str(agentic.sample_directory())
OPTIONS = {
    "mesh": "fsdp=2,sequence=2", "trajectories": 2, "batch_size": 4, "action_chunk": 100,
    "layers": 1, "width": 16, "dropout": 0.0, "steps": 4, "log_every": 1, "checkpoint_every": 2,
}  # fmt: skip
CONFIG = configure(TASK, DATA, **OPTIONS)
LONG = {"steps": 10**6, "checkpoint_every": 10**6}


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"coordinator": "host:1"}, "--processes is missing; .* needs all of --coordinator"),
        ({"processes": 2, "process_id": 0}, "--coordinator is missing"),
        ({"coordinator": "host", "processes": 2, "process_id": 0}, "such as host:12355"),
        ({"coordinator": "host:port", "processes": 2, "process_id": 0}, "such as host:12355"),
        ({"coordinator": "host:1", "processes": 2, "process_id": 2}, "process_id is 2 of 2.*0 to"),
        ({"cpu_devices": 0}, "cpu_devices is 0; it must be at least 1"),
    ],
)
def test_mistakes_about_processes_end_in_one_sentence(fields, words):
    with pytest.raises(AgenticError, match=words) as caught:
        Processes(**fields)
    assert "\n" not in str(caught.value)


def test_one_process_leads_and_agrees_with_itself():
    assert processes.leads()
    assert [processes.any_of(flag) for flag in (True, False)] == [True, False]
    processes.wait("no one")


def start_two(folder: Path, **changes) -> list[subprocess.Popen]:
    """Start two processes of two simulated devices each."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    options = [
        word
        for name, value in (OPTIONS | changes).items()
        for word in (f"--{name.replace('_', '-')}", str(value))
    ]
    command = [
        sys.executable, "-m", "agentic", "train", TASK, "--data", DATA, *options,
        "--out", str(folder),
        "--cpu-devices", "2", "--coordinator", f"localhost:{port}", "--processes", "2",
    ]  # fmt: skip
    environment = os.environ | {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return [
        subprocess.Popen([*command, "--process-id", i], cwd=ROOT, env=environment, **pipes)
        for i in ("0", "1")
    ]


def by_gloo(line: str) -> bool:
    """Say whether a line is one of Gloo's or a piece of one: it writes word by word."""
    whole = "[Gloo] Rank is connected to peer ranks. Expected number of connected peer ranks is :"
    pieces = line.replace("[Gloo]", " [Gloo] ").split()
    return all(word in whole.split() or word.isdigit() for word in pieces)


def arrays(folder: Path, data) -> list[np.ndarray]:
    learner = METHODS["at"].learner(CONFIG.changed(mesh=None), data)
    items = learner.saved(learner.like())
    loaded = {name: checkpoint.load(folder, 4, name, tree) for name, tree in items.items()}
    return jax.tree.leaves(loaded)


def test_two_processes_write_a_run_that_one_reads_and_goes_on_with(tmp_path):
    folder = tmp_path / "run"
    two = start_two(folder)
    outputs = [process.communicate(timeout=500) for process in two]
    assert [process.returncode for process in two] == [0, 0], outputs
    said = [[line for line in out.splitlines() if not by_gloo(line)] for out, _ in outputs]
    assert said[0][-1] == f"next: agentic evaluate {folder}" and said[1] == []
    document = json.loads((folder / "config.json").read_text())
    assert document["processes"] == 2
    metrics = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [record["step"] for record in metrics] == [1, 2, 3, 4]
    assert load_policy(folder).act(np.ones(5)).shape == (1,)
    data = load_data(CONFIG)
    expected = arrays(folder, data)
    # Back to step 2, and on from there with one process and one device.
    shutil.rmtree(folder / "checkpoints" / "4")
    train(CONFIG.changed(mesh=None, accumulate=2), folder, resume=True, data=data)
    for actual, wanted in zip(arrays(folder, data), expected, strict=True):
        np.testing.assert_allclose(actual, wanted, atol=1e-5)
    again = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    np.testing.assert_allclose([r["loss"] for r in again], [r["loss"] for r in metrics], rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1])
def test_a_process_that_dies_ends_the_other_with_a_sentence(tmp_path, victim):
    two = start_two(tmp_path / "run", **LONG)
    log = tmp_path / "run" / "metrics.jsonl"
    while not (log.exists() and log.stat().st_size) and two[0].poll() is None:
        pass
    two[victim].send_signal(signal.SIGKILL)
    two[victim].communicate()
    _, error = two[1 - victim].communicate(timeout=2 * processes.HEARTBEAT_SECONDS)
    assert two[1 - victim].returncode != 0
    assert "lost another one" in error, error


@pytest.mark.slow
def test_ctrl_c_in_one_process_stops_and_saves_in_both(tmp_path):
    two = start_two(tmp_path / "run", **LONG)
    log = tmp_path / "run" / "metrics.jsonl"
    while not (log.exists() and log.stat().st_size) and two[0].poll() is None:
        pass
    two[1].send_signal(signal.SIGINT)
    errors = [process.communicate(timeout=200)[1] for process in two]
    assert [process.returncode for process in two] == [130, 130]
    assert all("--resume goes on from there" in error for error in errors), errors
    assert checkpoint.latest(tmp_path / "run") == len(log.read_text().splitlines())
