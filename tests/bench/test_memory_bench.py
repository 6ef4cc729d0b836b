"""A training step's bytes grow as the design says: by XLA's analysis, at small size."""

import json
from dataclasses import replace
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import pytest

from agentic.bench.memory import VARIANTS, Options, network, run, step_bytes
from agentic.errors import AgenticError
from experiments.benchmarks import memory

STEPS = 512


@lru_cache
def temporary(name: str, trajectories: int) -> int:
    variant = VARIANTS[name]
    config = network("3x128", variant, trajectories, STEPS, "float32")
    return step_bytes(config, variant, trajectories, STEPS).temporary


def test_layers_are_not_copied_to_loop_over_them():
    """On a short chain a step holds less beside its state than the weights of its layers alone."""
    variant = VARIANTS["blockwise, recomputed"]
    config = network("3x128", variant, 1, 8, "float32")
    config = replace(config, layers=8)
    weights = 4 * config.layers * 12 * config.width**2
    assert step_bytes(config, variant, 1, 8).temporary < weights


def test_each_way_to_save_memory_saves_some():
    """Of three layers, which need no loop: the compiler must not undo what saves memory."""
    found = {name: temporary(name, 2) for name in VARIANTS}
    order = (
        "vanilla", "memory-efficient", "blockwise", "blockwise, attention kept",
        "blockwise, recomputed",
    )  # fmt: skip
    for more, less in pairwise(order):
        assert found[less] < 0.95 * found[more], (less, found)
    assert found["memory-efficient, recomputed"] < 0.7 * found["memory-efficient"]
    assert found["vanilla"] > 8 * found["blockwise, recomputed"]


def test_twice_the_tokens_are_twice_the_bytes_and_the_longest_context_fills_its_budget():
    name, budget = "blockwise, recomputed", 1
    options = Options(("3x128",), (name,), steps=STEPS, trajectories=64, budgets=(budget, 4))
    (row,) = run(options, str)
    assert row["doubling"] <= 2.1  # 16,384 tokens to 8,192
    trajectories = row["tokens in 1 GB"] // (4 * STEPS)
    variant = VARIANTS[name]
    found = step_bytes(
        network("3x128", variant, trajectories, STEPS, "float32"), variant, trajectories, STEPS
    )
    whole = trajectories * 4 * STEPS / row["tokens in 1 GB"]
    assert sum(found) == pytest.approx(budget * 1e9 * whole, rel=0.02)
    tokens = 64 * 4 * STEPS
    assert row["fits"] == ("1 GB" if tokens <= row["tokens in 1 GB"] else "4 GB")
    assert row[f"GB at {tokens} tokens"] == pytest.approx(tokens / row["tokens in 1 GB"], rel=0.05)


def test_the_committed_table_is_that_of_the_committed_records():
    folder = Path(memory.__file__).parent
    records = (folder / name for name in ("memory.json", "memory-32-devices.json"))
    rows = [row for path in records for row in memory.named(json.loads(path.read_text()))]
    assert (folder / "memory.md").read_text() == memory.table(rows)
    assert "| 350m | blockwise, recomputed |" in memory.table(rows)


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
