"""A method is one module and one line that registers it: this one trains, resumes, acts, reports.

Everything between the imports and the fixture is what the module of a new method would hold.
"""

import json
import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pytest
from support.command_line import fails, run

from agentic import configure, load_policy, sample_directory, train
from agentic.acting.policy import Policy
from agentic.dataset.episodes import list_episodes
from agentic.errors import AgenticError
from agentic.methods import METHODS
from agentic.training.learner import Batch, Course

TASK = "cartpole_swingup"


@dataclass(frozen=True)
class MeanOptions:
    """The mean action of the data, by stochastic approximation.

    Attributes:
        pace: share of its way to a drawn action that the mean goes at a step.
    """

    pace: float = 0.1

    def __post_init__(self):
        if not 0 < self.pace <= 1:
            raise AgenticError(f"pace is {self.pace}; it must lie in (0, 1].")


class MeanState(NamedTuple):
    mean: np.ndarray
    step: np.ndarray


class MeanLearner:
    def __init__(self, config, data):
        self.config = config
        self.actions = data.actions.reshape(-1, data.actions.shape[2])
        self.from_data = {"action_size": self.actions.shape[1]}

    def initial(self):
        return MeanState(np.zeros(self.actions.shape[1], np.float32), np.zeros((), np.int32))

    like = initial

    @contextmanager
    def batches(self):
        def draw(step, limit):
            generator = np.random.default_rng([self.config.seed, step])
            return Batch(self.actions[generator.integers(len(self.actions))], 1)

        yield draw

    def update(self, state, batch):
        error = batch.data - state.mean
        mean = state.mean + np.float32(self.config.options.pace) * error
        step = np.asarray(state.step + np.int32(1))
        return MeanState(mean, step), {"loss": np.square(error).mean()}

    def record(self, metrics, step):
        return {"loss": float(metrics["loss"].mean())}

    def saved(self, state):
        return {"state": state}

    def restored(self, items):
        return MeanState(*map(np.asarray, items["state"]))


class MeanPolicy(Policy):
    def __init__(self, action):
        self.action = action

    def reset(self, batch=None):
        pass

    def act(self, observation):
        return np.broadcast_to(self.action, (*np.shape(observation)[:-1], len(self.action)))

    def observe(self, reward, done, action=None):
        pass


class Mean:
    title = "mean action"
    Options = MeanOptions
    course = Course(steps=6, log_every=2, checkpoint_every=3)
    imitates = True
    across_processes = False

    def learner(self, config, data):
        return MeanLearner(config, data)

    def policy(self, document, checkpoint, **kept):
        size = document["from_data"]["action_size"]
        like = MeanState(np.zeros(size, np.float32), np.zeros((), np.int32))
        return MeanPolicy(np.asarray(checkpoint.load("state", like).mean))

    def notes(self, config):
        return [f"a pace of {config.options.pace:g}"]


@pytest.fixture(autouse=True)
def registered():
    with METHODS.including(mean=Mean()):
        yield
    assert "mean" not in METHODS


@pytest.fixture
def episodes(tmp_path):
    """A folder of two episodes of the sample."""
    folder = tmp_path / "episodes"
    folder.mkdir()
    for path in list_episodes(sample_directory())[::25]:
        shutil.copy(path, folder)
    return folder


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_it_trains_resumes_acts_and_is_reported(episodes, tmp_path, capsys):
    out, page = tmp_path / "run", tmp_path / "page.html"
    command = ("train", TASK, "--method", "mean", "--data", episodes, "--out", out, "--pace", "0.5")
    assert run(*command) == 0
    words = capsys.readouterr().out
    assert "a pace of 0.5" in words and "training mean" in words
    assert [line["step"] for line in lines(out / "metrics.jsonl")] == [2, 3, 4, 6]
    document = json.loads((out / "config.json").read_text())
    assert document["options"] == {"pace": 0.5} and document["steps"] == 6
    assert "was trained with pace = 0.5" in fails(capsys, *command, "--resume", "--pace", "0.1")
    assert "pace is 2.0; it must lie in" in fails(capsys, *command, "--pace", "2")
    assert run("evaluate", out, "--seeds", "3", "--episodes", "1") == 0
    assert "mean action" in capsys.readouterr().out
    [line] = lines(out / "evaluation.jsonl")
    assert (line["method"], line["length"]) == ("mean", 1000)
    assert run("report", out, "--out", page) == 0
    assert "Mean action on cartpole_swingup" in page.read_text()


def test_a_resumed_run_is_the_whole_one(episodes, tmp_path):
    config = configure(TASK, str(episodes), "mean", seed=2)

    def power_cut(done, *_):
        if done == 4:
            raise RuntimeError("power cut")

    whole = train(config, tmp_path / "whole")
    with pytest.raises(RuntimeError):
        train(config, tmp_path / "cut", progress=power_cut)
    told = []
    cut = train(config, tmp_path / "cut", resume=True, progress=lambda done, *_: told.append(done))
    assert told == [4, 6]  # on from the checkpoint of step 3
    losses = [[line["loss"] for line in lines(run / "metrics.jsonl")] for run in (cut, whole)]
    assert losses[0] == losses[1]
    np.testing.assert_array_equal(load_policy(cut).action, load_policy(whole).action)
    assert (load_policy(cut).action != 0).all()


def test_help_has_it(capsys):
    assert run("train", "--help") == 0
    words = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert ",mean}" in words and "mean: mean action" in words and "--pace" not in words
    assert run("train", "--method", "mean", "--help") == 0
    words = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "--pace FLOAT share of its way to a drawn action" in words and "--layers" not in words
    assert "(default: 6)" in words  # steps


def test_its_options_are_its_own(capsys, tmp_path):
    given = ("train", TASK, "--data", tmp_path, "--out", tmp_path / "run")
    assert "--pace does nothing to at; it is an option of mean" in fails(capsys, *given, "--pace=1")
    with pytest.raises(AgenticError, match="layers is not an option of mean"):
        configure(TASK, "", "mean", layers=3)
