"""The zero of every score: measured on every task, with all that is needed to measure it again."""

import json
from importlib.resources import files

import numpy as np
import pytest

from agentic.acting.random_policy import RandomPolicy
from agentic.evaluation.evaluate import evaluate
from agentic.evaluation.references import FILE, random_reference
from agentic.simulation.tasks import get_task, task_names

DOCUMENT = json.loads(files("agentic.evaluation").joinpath(FILE).read_text())


@pytest.mark.parametrize("task", task_names())
def test_every_task_has_raw_returns_within_what_an_episode_can_bring(task):
    reference = random_reference(task)
    assert len(reference.returns) >= 16
    assert all(0 <= value <= get_task(task).episode_length for value in reference.returns)
    assert reference.mean == np.mean(DOCUMENT["returns"][task])


def test_the_file_says_where_it_is_from():
    assert DOCUMENT["command"] == "python -m experiments.references.experiment"
    assert {"mujoco", "dm-control", "numpy"} <= DOCUMENT["versions"].keys()
    assert DOCUMENT["commit"] and "dirty" not in DOCUMENT["commit"]
    assert "experiments.references" in random_reference("walker_run").source


def test_what_was_never_measured_has_no_reference():
    assert random_reference("walker_fly") is None


@pytest.mark.parametrize("task", ["cartpole_swingup", "point_mass_easy"])
def test_random_actions_earn_it_again(task):
    first = DOCUMENT["seeds"]["first"]
    policy = RandomPolicy(get_task(task).action_size)
    again = evaluate(policy, task, 1, (first, first + 1)).returns[:, 0]
    # Another processor may round differently, and a step's rounding grows over an episode.
    np.testing.assert_allclose(again, DOCUMENT["returns"][task][:2], rtol=0.05, atol=0.5)
