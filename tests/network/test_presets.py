"""Presets are what their names say, and a run's own layers, heads and width come first."""

import jax
import pytest

from agentic.bench.memory import VARIANTS
from agentic.bench.memory import network as benchmarked
from agentic.errors import AgenticError
from agentic.network.config import PRESETS, NetworkConfig
from agentic.network.parameters import count, initialize


@pytest.mark.parametrize("name, millions", [("20m", 20), ("100m", 100)])
def test_a_preset_has_the_parameters_of_its_name(name, millions):
    config = benchmarked(name, VARIANTS["blockwise"], 1, 1000, "float32")
    shapes = jax.eval_shape(lambda: initialize(config, jax.random.key(0)))
    assert count(shapes) / 1e6 == pytest.approx(millions, rel=0.07)


@pytest.mark.parametrize("name", ["1b", "3b", "7b", "13b", "30b", "70b"])
def test_the_layers_of_a_language_model_have_about_the_weights_of_its_name(name):
    size = PRESETS[name]
    billions = 12 * size.layers * size.width**2 / 1e9
    assert billions == pytest.approx(float(name[:-1]), rel=0.12)
    assert size.width % size.heads == 0


def network(**fields):
    return NetworkConfig(observation_size=1, action_size=1, episode_length=1, **fields)


def test_a_model_names_the_size_and_explicit_fields_come_first():
    assert tuple(PRESETS["3x128"]) == tuple(
        getattr(network(), name) for name in ("layers", "heads", "width")
    )
    mixed = network(model="20m", layers=2, heads=4)
    assert (mixed.layers, mixed.heads, mixed.width) == (2, 4, PRESETS["20m"].width)


def test_a_wrong_model_is_met_with_the_closest():
    with pytest.raises(AgenticError, match="model is '35m'; did you mean"):
        network(model="35m")
