"""A run's configuration: options by flat names, each once, of one method, and back from JSON."""

import json
from dataclasses import asdict, replace

import pytest

import agentic
from agentic.errors import AgenticError
from agentic.methods import METHODS
from agentic.methods.method import config_of, configure, shared_names
from agentic.methods.options import flat_options, option_names, same_result_names

TASK = "cartpole_swingup"


@pytest.mark.parametrize("method", METHODS)
def test_no_option_stands_twice(method):
    names = [*shared_names(), *option_names(METHODS[method].Options)]
    assert len(set(names)) == len(names)
    config = configure(TASK, "", method)
    held = [*shared_names(), *flat_options(config.options)]
    assert set(names) - set(held) <= {"batch_trajectories"}


@pytest.mark.parametrize("method", METHODS)
def test_defaults_are_the_methods_own(method):
    config = configure(TASK, "data.h5", method)
    assert config.course == METHODS[method].course
    assert config.options == METHODS[method].Options()
    assert configure(TASK, "data.h5", method, **flat_options(config.options)) == config


def test_flat_names_reach_their_part():
    config = configure(
        TASK, "", seed=3, steps=7, dropout=0.1, window=40, remat="layer", mesh="data=2"
    )
    assert (config.seed, config.steps, config.log_every) == (3, 7, 20)
    assert config.options.network.dropout == 0.1 and config.options.sampler.window == 40
    assert config.options.training.remat == "layer" and config.options.mesh == "data=2"
    other = config.changed(dropout=0.2, seed=4)
    assert (other.seed, other.options.network.dropout) == (4, 0.2)
    assert other.changed(dropout=0.1, seed=3) == config


def document(config):
    """Return what config.json says of a configuration."""
    words = {"task": config.task, "method": config.method, "seed": config.seed}
    data = {"source": config.data, "control": "action", "recompute_observations": False}
    words |= {"options": asdict(config.options), "data": data, **vars(config.course)}
    return json.loads(json.dumps(words))


@pytest.mark.parametrize("method", METHODS)
def test_a_configuration_comes_back_from_json(method):
    config = configure(TASK, "data.h5", method, seed=2, steps=9, learning_rate=0.5)
    assert config_of(document(config)) == config


def test_an_option_that_did_not_exist_yet_has_its_default():
    words = document(configure(TASK, "data.h5", "bc10", seed=2, dropout=0.1))
    del words["options"]["sampler"]["stride"], words["options"]["training"]
    del words["options"]["sampler"]["top_fraction"]
    assert config_of(words) == configure(TASK, "data.h5", "bc10", seed=2, dropout=0.1)


@pytest.mark.parametrize(
    ("given", "chains"),
    [
        ({}, 2),  # of 4 trajectories
        ({"batch_size": 3}, 3),
        ({"batch_trajectories": 12}, 3),
        ({"trajectories": 1}, 8),
        ({"trajectories": 8}, 1),
        ({"trajectories": 128}, 1),
        ({"trajectories": 2, "batch_trajectories": 8}, 4),
    ],
)
def test_batch_size_counts_chains(given, chains):
    options = configure(TASK, "", **given).options
    assert options.sampler.batch_size == chains == options.chains(seed=0).batch_size
    [note] = METHODS["at"].notes(configure(TASK, "", **given)) or [""]
    n = given.get("trajectories", 4)
    assert note == (f"a batch: {chains} chains of {n} trajectories" if n > 1 else "")


@pytest.mark.parametrize("method", ["dt", "bc", "bc10"])
def test_chains_of_one_are_trajectories(method):
    options = configure(TASK, "", method).options
    assert options.sampler.batch_size == options.chains(seed=0).batch_size == 8
    assert options.chains(seed=0).trajectories == options.chains(seed=0).best_fraction == 1
    assert options.sampler.top_fraction == (0.1 if method == "bc10" else 1.0)
    assert configure(TASK, "", method, batch_size=5).options.sampler.batch_size == 5


def test_what_changes_no_result_may_differ_when_a_run_goes_on():
    assert same_result_names(METHODS["at"].Options) == {"accumulate", "remat", "mesh", "prefetch"}
    assert same_result_names(METHODS["td3"].Options) == {"resident"}


@pytest.mark.parametrize(
    ("method", "fields", "words"),
    [
        ("td3", {"layers": 3}, "layers is not an option of td3;"),
        ("at", {"alpha": 3}, "alpha is not an option of at;"),
        ("dt", {"trajectories": 1}, "trajectories is not an option of dt; .*valid: .*top_fraction"),
        (
            "at",
            {"trajectoris": 1},
            "trajectoris is not an option of at; did you mean 'trajectories'",
        ),
        ("sac", {}, r"method is 'sac'; .*td3_bc"),
        ("td3", {"seed": -1}, "seed is -1; it must be at least 0"),
        ("td3", {"steps": 0}, "steps is 0; it must be at least 1"),
        (
            "at",
            {"batch_trajectories": 6},
            "batch_trajectories is 6, in chains of 4; take a multiple",
        ),
        (
            "at",
            {"batch_trajectories": 0},
            "batch_trajectories is 0, in chains of 4; take a multiple",
        ),
        ("at", {"batch_size": 1, "batch_trajectories": 4}, "both say how large a batch is"),
        ("at", {"batch_size": 0}, "batch_size is 0; it must be at least 1"),
        ("at", {"window": 30}, "window is 30; it must be a multiple of the 20 steps .*such as 20"),
        ("at", {"count": "some"}, "count is 'some'; .*fixed, uniform"),
        ("at", {"top_fraction": 0.0}, r"top_fraction is 0.0; it must lie in \(0, 1\]"),
    ],
)
def test_contradictions_die_in_one_sentence(method, fields, words):
    with pytest.raises(AgenticError, match=words) as caught:
        configure(TASK, "", method, **fields)
    assert "\n" not in str(caught.value)


def test_options_of_another_method_are_refused():
    config = configure(TASK, "", "td3")
    with pytest.raises(
        AgenticError, match=r"options are TD3Options, and iql has IQLOptions; agent"
    ):
        replace(config, method="iql")
    with pytest.raises(AgenticError, match="unknown task 'cartpole_swingu'"):
        replace(config, task="cartpole_swingu")
    with pytest.raises(AgenticError, match="alpha is not an option of td3"):
        config.changed(alpha=1.0)


def test_run_is_what_train_was_called():
    assert agentic.run is agentic.train
