"""The data commands: their words, their exit codes, and the path from episodes to training."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from support.command_line import fails, run

import agentic
from agentic import sample_directory
from agentic.cli.train import label_if_needed, load
from agentic.dataset import Dataset, load_dataset
from agentic.dataset.episodes import list_episodes

TASK, OTHER = "cartpole_swingup", "cartpole_balance"


@pytest.fixture(scope="module")
def episodes(tmp_path_factory) -> Path:
    """Three episodes of the sample."""
    folder = tmp_path_factory.mktemp("episodes")
    for path in list_episodes(sample_directory())[::20]:
        shutil.copy(path, folder)
    return folder


def loaded(data: Path, relabel: bool = False, **options) -> Dataset:
    """Return the data set that `agentic train` would train on: training is tested elsewhere."""
    config = agentic.configure(TASK, data, **options)
    if relabel:
        label_if_needed(config)
    return load(config)


def test_from_episodes_to_training_by_the_words_that_are_printed(episodes, tmp_path, capsys):
    store, picture = tmp_path / "store.h5", tmp_path / "returns.png"
    assert run("data", "convert", episodes, store, "--workers", 1) == 0
    words = capsys.readouterr().out.replace("\n", "")
    assert "3 episodes, 3,000 steps" in words and "agentic data relabel" in words
    train = ("train", TASK, "--data", store, "--out", tmp_path / "run")
    sentence = fails(capsys, *train)
    command = f"agentic data relabel {store} --task {TASK}"
    assert f"`{command}`" in sentence and "--relabel" in sentence
    assert "no labels to draw" in fails(capsys, "data", "info", store, "--histogram", picture)
    assert run(*command.split()[1:], OTHER) == 0
    assert run("data", "info", store, "--histogram", picture) == 0
    assert {TASK, OTHER} <= set(capsys.readouterr().out.split())
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert loaded(store).task == TASK


def test_train_labels_on_the_way_if_asked(episodes, tmp_path):
    store = tmp_path / "store.h5"
    assert run("data", "convert", episodes, store, "--task", OTHER) == 0
    assert loaded(store, relabel=True).control == "action"
    before = store.stat().st_mtime_ns
    assert loaded(store, relabel=True).control == "action"
    assert store.stat().st_mtime_ns == before
    assert loaded(store, relabel=True, control="zero").control == "zero"
    assert loaded(episodes, relabel=True).control == "action"


def test_train_computes_observations_anew_if_asked(episodes, tmp_path, capsys):
    folder = tmp_path / "wide"
    folder.mkdir()
    for path in list_episodes(episodes):
        with np.load(path) as stored:
            content = {key: stored[key] for key in stored}
        content["observation"] = np.pad(content["observation"], ((0, 0), (0, 2)))
        np.savez(folder / path.name, **content)
    train = ("train", TASK, "--data", folder, "--out", tmp_path / "run")
    sentence = fails(capsys, *train)
    assert "width 7" in sentence and "width 5" in sentence and "--recompute" in sentence
    assert loaded(folder, recompute_observations=True).observations.shape == (3, 1000, 5)


def test_info_prints_nothing_but_json_where_json_is_asked_for(episodes):
    command = [sys.executable, "-m", "agentic", "data", "info", str(episodes), "--task", TASK]
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, check=True)
    facts = json.loads(done.stdout)
    assert facts["steps"] == 3000 and facts["tasks"][TASK]["returns"]["max"] > 0


def test_verify_says_what_is_wrong_and_fails(episodes, tmp_path, capsys):
    store = tmp_path / "store.h5"
    assert run("data", "convert", episodes, store, "--task", TASK) == 0
    assert run("data", "verify", store) == 0 and run("data", "verify", episodes) == 0
    assert "all of them whole" in capsys.readouterr().out
    with h5py.File(store, "r+") as file:
        file[f"rewards/{TASK}"][1, 7] += np.float32(0.5)
    assert "2 problems in 3 episodes" in fails(capsys, "data", "verify", store)
    folder = tmp_path / "damaged"
    shutil.copytree(episodes, folder)
    victim = list_episodes(folder)[1]
    victim.write_bytes(victim.read_bytes()[:5000])
    assert run("data", "verify", folder, "--json") == 1
    output = capsys.readouterr()
    assert victim.name in json.loads(output.out)["problems"][0]
    sentence = fails(capsys, "data", "convert", folder, tmp_path / "new.h5")
    assert victim.name in sentence and "--skip-damaged" in sentence
    assert run("data", "convert", folder, tmp_path / "new.h5", "--skip-damaged") == 0
    assert victim.name in capsys.readouterr().out


@pytest.mark.parametrize("form", ["exorl", "minari"])
def test_export_and_import_are_a_round_trip(episodes, tmp_path, capsys, form):
    if form == "minari":
        pytest.importorskip("minari")
    store, out, again = tmp_path / "store.h5", tmp_path / "out", tmp_path / "again.h5"
    assert run("data", "convert", episodes, store, "--task", TASK) == 0
    assert run("data", "export", store, out, "--format", form) == 0
    task = ("--task", TASK) if form == "exorl" else ()
    assert run("data", "import", out, again, *task) == 0
    assert "agentic train" in capsys.readouterr().out
    assert load_dataset(again, TASK).fingerprint == load_dataset(store, TASK).fingerprint
    assert "exists already" in fails(capsys, "data", "import", out, again, *task)


def test_mistakes_of_the_command_line_are_one_sentence(episodes, tmp_path, capsys):
    store = tmp_path / "store.h5"
    assert run("data", "convert", episodes, store, "--task", TASK, "--no-physics") == 0
    for arguments, words in (
        (("relabel", store, "--task", OTHER), "holds no physics"),
        (("relabel", tmp_path / "no.h5", "--task", OTHER), "does not exist"),
        (("info", store, "--histogram", tmp_path / "a.jpg"), "must end in .png"),
        (("export", store, tmp_path / "o", "--format", "exorl", "--name", "x"), "--name x is for"),
        (("import", "no/such-v0", tmp_path / "o.h5"), "minari download"),
        (("convert", episodes, store), "pass --overwrite"),
    ):
        assert words in fails(capsys, "data", *arguments)
