"""The command line: words, exit codes, one sentence for every mistake, and the whole path."""

import json
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support import compiling
from support.command_line import fails, run

from agentic import sample_directory
from agentic.acting.memory import MEMORIES
from agentic.cli import COMMANDS, usage
from agentic.dataset.episodes import list_episodes, write_episode

TASK = "cartpole_swingup"
TINY = [
    "--steps", "4", "--width", "16", "--layers", "1", "--action-chunk", "50",
    "--trajectories", "2", "--batch-size", "1", "--log-every", "2",
]  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def compiled_once(tmp_path_factory):
    """Keep compiled programs on disk: most runs here are of one tiny model."""
    with compiling.plainly(), compiling.kept_on_disk(tmp_path_factory.mktemp("compiled")):
        yield


@pytest.fixture(scope="session")
def episodes(tmp_path_factory) -> Path:
    """Four episodes of the sample."""
    folder = tmp_path_factory.mktemp("episodes")
    for path in list_episodes(sample_directory())[::15]:
        shutil.copy(path, folder)
    return folder


@pytest.fixture
def damaged(episodes, tmp_path):
    """Return a function that copies the episodes and replaces arrays of the first one."""

    def make(**arrays) -> tuple[Path, Path]:
        folder = tmp_path / "damaged"
        shutil.copytree(episodes, folder)
        victim = list_episodes(folder)[0]
        with np.load(victim) as stored:
            content = {name: stored[name] for name in stored} | arrays
        np.savez(victim, **{name: a for name, a in content.items() if a is not None})
        return folder, victim

    return make


@pytest.fixture(scope="session")
def trained(episodes, tmp_path_factory) -> Path:
    """A tiny run."""
    out = tmp_path_factory.mktemp("runs") / "tiny"
    assert run("train", TASK, "--data", episodes, "--out", out, *TINY) == 0
    return out


def test_help_loads_nothing_heavy():
    script = (
        "import sys; from agentic.cli import main; main(['--help']); "
        "heavy = {'jax', 'numpy', 'tyro', 'rich', 'h5py', 'mujoco', 'matplotlib'}; "
        "sys.exit(str(sorted(heavy & sys.modules.keys())) if heavy & sys.modules.keys() else 0)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == usage() + "\n"


def test_words_of_the_command_line(capsys):
    assert run("--help") == 0
    words = capsys.readouterr().out
    for name, (_, text) in COMMANDS.items():
        assert f"  {name} " in words and text in words
    assert run("--version") == 0
    assert capsys.readouterr().out.startswith("agentic 0.")


@pytest.mark.parametrize("command", list(COMMANDS))
def test_every_command_explains_itself(command, capsys):
    assert run(*command.split(), "--help") == 0
    assert f"agentic {command}" in capsys.readouterr().out


def test_unknown_command_names_the_closest(capsys):
    assert "did you mean 'evaluate'" in fails(capsys, "evalute", code=2)
    assert "did you mean 'data info'" in fails(capsys, "data", "inf", code=2)


def test_unknown_choice_is_refused(capsys):
    assert run("train", TASK, "--data", "x", "--out", "y", "--method", "sac") == 2
    assert "Traceback" not in capsys.readouterr().err


def test_whole_path(trained, episodes, tmp_path, capsys):
    evaluate = ("evaluate", trained, "--seeds", "3", "5", "--memory", "kept", "index")
    assert run(*evaluate, "--random-policy", "--episodes", "2") == 0
    table = capsys.readouterr().out
    for word in ("first", "last", "mean", "best of", "last minus", "random policy"):
        assert word in table
    assert "Agentic Transformer, context kept: interquartile mean" in table
    for word in ("score of the mean", "episode 2", "interquartile mean", "random_returns.json"):
        assert word in table
    first = (trained / "evaluation.jsonl").read_bytes()
    records = [json.loads(line) for line in first.splitlines()]
    assert len(records) == 3 * 2 * 2
    assert {"seed", "context", "episode", "return", "length", "target_return"} <= records[0].keys()
    assert run(*evaluate, "--random-policy", "--episodes", "2") == 0
    assert (trained / "evaluation.jsonl").read_bytes() == first
    page = tmp_path / "page.html"
    assert run("report", trained, "--out", page) == 0
    assert page.read_text().startswith("<!")
    assert (trained / "learning_curve.png").exists() and (trained / "episodes.png").exists()


def test_a_sequence_over_eight_devices_trains_and_one_device_evaluates(episodes, tmp_path):
    train = ("train", TASK, "--data", episodes, *TINY)
    out = tmp_path / "run"
    assert run(*train, "--out", out, "--mesh", "sequence=8") == 0
    assert json.loads((out / "config.json").read_text())["options"]["mesh"] == "sequence=8"
    assert run("evaluate", out, "--seeds", "3", "--episodes", "1") == 0
    assert json.loads((out / "evaluation.jsonl").read_text())["length"] == 1000


def test_demo_is_the_main_job_and_a_second_call_trains_nothing(tmp_path, capsys):
    demo = ("demo", "--out", tmp_path / "demo", "--steps", "2", "--contexts", "1")
    assert run(*demo) == 0
    words = capsys.readouterr().out
    assert all(f"Agentic Transformer, {memory.title}:" in words for memory in MEMORIES.values())
    assert str(tmp_path / "demo" / "report.html") in words
    files = {
        path.name: path.read_bytes() for path in (tmp_path / "demo").iterdir() if path.is_file()
    }
    assert len(files["evaluation.jsonl"].splitlines()) == 6 * 4
    assert {"learning_curve.png", "episodes.png", "returns.png", "report.html"} <= files.keys()
    assert run(*demo) == 0
    assert "trained already" in capsys.readouterr().out
    for name in ("metrics.jsonl", "config.json", "evaluation.jsonl"):
        assert (tmp_path / "demo" / name).read_bytes() == files[name]


def test_store_is_converted_described_and_trained_on(episodes, tmp_path, capsys):
    store = tmp_path / "store.h5"
    assert run("data", "convert", episodes, store, "--task", TASK) == 0
    assert run("data", "info", store, "--json") == 0
    assert run("data", "info", episodes, "--task", "cartpole_balance") == 0
    assert "cartpole_balance" in capsys.readouterr().out
    assert run("train", TASK, "--data", store, "--out", tmp_path / "run", *TINY) == 0
    sentence = fails(
        capsys, "train", "cartpole_balance", "--data", store, "--out", tmp_path / "other", *TINY
    )
    assert f"agentic data relabel {store} --task cartpole_balance" in sentence
    assert not (tmp_path / "other").exists()


def test_one_episode_is_enough(episodes, tmp_path, capsys):
    folder = tmp_path / "one"
    folder.mkdir()
    shutil.copy(list_episodes(episodes)[0], folder)
    assert run("train", TASK, "--data", folder, "--out", tmp_path / "run", *TINY) == 0
    assert run("evaluate", tmp_path / "run", "--seeds", "0") == 0


def test_episodes_of_different_length_are_padded(episodes, tmp_path, capsys):
    folder = tmp_path / "ragged"
    shutil.copytree(episodes, folder)
    with np.load(list_episodes(folder)[0]) as stored:
        cut = {name: stored[name][:301] for name in stored}
    write_episode(
        folder / "episode_000099_300.npz", cut["observation"], cut["action"],
        cut["reward"], cut["physics"],
    )  # fmt: skip
    assert run("train", TASK, "--data", folder, "--out", tmp_path / "run", *TINY) == 0


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"action": None}, "action"),
        ({"physics": None}, "physics"),
        ({"observation": np.zeros((1001, 7), np.float32)}, "7"),
        ({"action": np.full((1001, 1), np.nan, np.float32)}, "finite"),
        ({"action": np.array([{}], object)}, "pickled"),
    ],
    ids=["missing key", "no physics", "wrong width", "nan", "pickled"],
)
def test_damaged_episodes(arrays, words, damaged, tmp_path, capsys):
    folder, victim = damaged(**arrays)
    sentence = fails(capsys, "train", TASK, "--data", folder, "--out", tmp_path / "r", *TINY)
    assert victim.name in sentence and words in sentence
    assert not (tmp_path / "r").exists()


def test_truncated_episode(damaged, tmp_path, capsys):
    folder, victim = damaged()
    victim.write_bytes(victim.read_bytes()[:5000])
    sentence = fails(capsys, "train", TASK, "--data", folder, "--out", tmp_path / "r", *TINY)
    assert victim.name in sentence


def test_places_that_are_not_data(tmp_path, capsys):
    out = ("--out", tmp_path / "r", *TINY)
    assert "nowhere" in fails(capsys, "train", TASK, "--data", tmp_path / "nowhere", *out)
    (tmp_path / "empty").mkdir()
    assert "empty" in fails(capsys, "train", TASK, "--data", tmp_path / "empty", *out)
    assert "walker_run" in fails(capsys, "train", "walker_runn", "--data", tmp_path, *out)


def test_places_that_are_not_runs(trained, episodes, tmp_path, capsys):
    assert "not a run folder" in fails(capsys, "evaluate", tmp_path)
    assert "not a run folder" in fails(capsys, "report", tmp_path)
    bare = tmp_path / "bare"
    bare.mkdir()
    shutil.copy(trained / "config.json", bare)
    assert "no checkpoint" in fails(capsys, "evaluate", bare)
    other = tmp_path / "other"
    shutil.copytree(trained, other)
    config = json.loads((other / "config.json").read_text())
    config["options"]["network"]["width"] = 32
    (other / "config.json").write_text(json.dumps(config))
    assert "another architecture" in fails(capsys, "evaluate", other)
    again = ("train", TASK, "--data", episodes, "--out", trained, *TINY)
    assert "--resume" in fails(capsys, *again)
    assert "same settings" in fails(capsys, *again, "--resume", "--learning-rate", "0.5")


def test_full_disk_leaves_one_sentence(episodes, tmp_path):
    """A file size limit stands in for a full disk: writes past it fail in the same way."""
    script = (
        "import resource, signal, sys; from agentic.cli import main; "
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000)); "
        "main(sys.argv[1:])"
    )
    assert resource.RLIMIT_FSIZE is not None
    arguments = ["train", TASK, "--data", str(episodes), "--out", str(tmp_path / "run"), *TINY]
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments, "--width", "128"],
        capture_output=True, text=True, env=os.environ | {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1"},
    )  # fmt: skip
    assert done.returncode == 1, done.stderr[-2000:]
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("error: ") and "disk space" in last
    assert "Traceback" not in done.stderr
    assert not list((tmp_path / "run" / "checkpoints").iterdir())
