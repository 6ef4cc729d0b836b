"""What earlier versions wrote in config.json is read as what this one would have written."""

import json
from pathlib import Path

import pytest

from agentic.experiment.results import read_results
from agentic.experiment.spec import load_experiment
from agentic.methods.method import config_of, configure
from agentic.training.earlier import in_todays_words
from agentic.training.run import read_config

ROOT = Path(__file__).resolve().parents[2]
RUNS = ROOT / "tests" / "golden" / "earlier_run"
COURSE = {"steps": 5, "log_every": 1, "checkpoint_every": 3}
# The options that golden/earlier_run was made with.
MADE = {
    "at": {
        "action_chunk": 10, "layers": 1, "width": 8, "trajectories": 2, "batch_size": 1,
        "dropout": 0.0,
    },
    "td3": {"width": 8, "batch_size": 4},
}  # fmt: skip


@pytest.mark.parametrize("method", MADE)
def test_a_run_of_an_earlier_version_has_the_configuration_it_was_made_with(method):
    document = read_config(RUNS / method)
    made = configure("cartpole_swingup", "episodes", method, **COURSE, **MADE[method])
    assert config_of(document) == made
    sizes = {"observation_size": 5, "action_size": 1}
    assert document["from_data"].items() >= sizes.items()
    assert len(document["from_data"]["normalization"]["observation_mean"]) == 5
    assert document["data"]["recompute_observations"] is False
    assert not {"experiment", "policy", "sampler", "training"} & document.keys()


@pytest.mark.parametrize("method", MADE)
def test_todays_words_stay(method):
    document = read_config(RUNS / method)
    assert in_todays_words(document) == document


@pytest.mark.parametrize("name", ["sample", "exorl", "exorl_count", "exorl_recipe", "recipe"])
def test_committed_cells_have_the_configurations_of_their_experiment(name):
    """Cells of five versions: some had no model, no window, or no choice of the best part."""
    folder = ROOT / "experiments" / name
    results = read_results(load_experiment(folder), folder)
    assert results.cells and results.other == ()


def test_a_batch_is_counted_in_chains():
    lines = (ROOT / "experiments" / "exorl_recipe" / "cells.jsonl").read_text().splitlines()
    cells = {line["cell"]: line for line in map(json.loads, lines)}
    for cell, trajectories, chains in [("default-100", 8, 2), ("chain-8-100", 16, 2)]:
        assert cells[cell]["experiment"]["batch_size"] == trajectories
        assert config_of(in_todays_words(cells[cell])).options.sampler.batch_size == chains


def test_methods_of_single_trajectories_lose_the_options_of_chains():
    lines = (ROOT / "experiments" / "sample" / "cells.jsonl").read_text().splitlines()
    line = next(line for line in map(json.loads, lines) if line["method"] == "bc10")
    options = in_todays_words(line)["options"]
    assert "trajectories" not in options["sampler"] and "trajectory_embedding" not in options
    assert (options["sampler"]["top_fraction"], options["sampler"]["batch_size"]) == (0.1, 8)
