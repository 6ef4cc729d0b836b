"""A training step's bytes grow as the design says: by XLA's analysis, at small size."""

from dataclasses import replace
from functools import lru_cache

import pytest

from agentic.bench.memory import VARIANTS, Options, step_bytes
from agentic.bench.memory import policy as policy_of
from agentic.errors import AgenticError

STEPS = 512


@lru_cache
def temporary(name: str, trajectories: int) -> int:
    variant = VARIANTS[name]
    config = policy_of("3x128", variant, trajectories, STEPS, "float32")
    return step_bytes(config, variant, trajectories, STEPS).temporary


@pytest.mark.parametrize("name", ["blockwise, recomputed"])
def test_twice_the_tokens_are_twice_the_bytes(name):
    assert temporary(name, 4) <= 2.1 * temporary(name, 2)


def test_layers_are_not_copied_to_loop_over_them():
    """On a short chain a step holds less beside its state than the weights of its layers alone."""
    variant = VARIANTS["blockwise, recomputed"]
    config = policy_of("3x128", variant, 1, 8, "float32")
    config = replace(config, layers=8)
    weights = 4 * config.layers * 12 * config.width**2
    assert step_bytes(config, variant, 1, 8).temporary < weights


def test_each_way_to_save_memory_saves_some():
    names = ("vanilla", "memory-efficient", "blockwise, recomputed")
    vanilla, efficient, blockwise = (temporary(name, 2) for name in names)
    assert blockwise < efficient < vanilla
    assert vanilla > 5 * blockwise


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"model": ("351m",)}, "model is '351m'; did you mean '350m'"),
        ({"trajectories": 0}, "trajectories is 0"),
        ({"budgets": ()}, "give gigabytes"),
        ({"variants": ("blockwize",)}, "did you mean 'blockwise'"),
    ],
)
def test_wrong_options_are_one_sentence(fields, words):
    with pytest.raises(AgenticError, match=words):
        Options(**fields)
