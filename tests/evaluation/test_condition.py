"""Laws of evaluation.jsonl: whole contexts, each once, in an order that no interruption changes."""

import json

import numpy as np
import pytest

from agentic.evaluation.condition import Ledger

KEPT = {
    "task": "walker_run", "method": "at", "step": 10, "memory": "kept", "target_return": 5.0,
    "action_noise": 0.0, "episodes": 2, "cache_dtype": "float32",
}  # fmt: skip


def lines(seeds, condition=KEPT, offset=0.0, places=None):
    return [
        condition | {"seed": seed, "context": (places or seeds).index(seed), "episode": episode,
                     "return": offset + 10.0 * seed + episode, "length": 1000}
        for seed in seeds
        for episode in range(condition["episodes"])
    ]  # fmt: skip


def test_what_was_added_is_there_for_the_next_reader(tmp_path):
    Ledger(tmp_path).add(lines((3, 5)))
    ledger = Ledger(tmp_path)
    assert ledger.missing(KEPT, (3, 4, 5)) == [4]
    np.testing.assert_array_equal(ledger.returns(KEPT, (5, 3)), [[50, 51], [30, 31]])
    assert ledger.records(KEPT, (3,)) == lines((3, 5))[:2]


@pytest.mark.parametrize("name", KEPT)
def test_another_condition_is_another_context(tmp_path, name):
    ledger = Ledger(tmp_path)
    ledger.add(lines((3,)))
    other = KEPT | {name: 7}
    assert ledger.missing(other, (3,)) == [3]
    ledger.add(lines((3,), other))
    assert ledger.missing(KEPT, (3,)) == [] == Ledger(tmp_path).missing(other, (3,))


def test_lines_from_before_caches_could_be_narrow_were_measured_in_float32(tmp_path):
    old = {name: value for name, value in KEPT.items() if name != "cache_dtype"}
    Ledger(tmp_path).add(lines((3,), old))
    ledger = Ledger(tmp_path)
    assert ledger.missing(KEPT, (3,)) == []
    assert ledger.missing(KEPT | {"cache_dtype": "bfloat16"}, (3,)) == [3]
    ledger.add(lines((3,), offset=1000.0))
    assert ledger.returns(old, (3,)).tolist() == [[1030, 1031]]


def test_the_order_of_additions_leaves_no_trace_within_a_condition(tmp_path):
    places = (9, 1, 4)
    files = []
    for number, waves in enumerate([[(9, 1, 4)], [(4,), (9,), (1,)], [(1, 4), (9,)]]):
        folder = tmp_path / str(number)
        folder.mkdir()
        for wave in waves:
            Ledger(folder).add(lines(wave, places=places))
        files.append((folder / "evaluation.jsonl").read_bytes())
    assert files[0] == files[1] == files[2]
    assert [json.loads(line)["seed"] for line in files[0].splitlines()] == [9, 9, 1, 1, 4, 4]


def test_a_context_measured_again_replaces_itself_and_no_other(tmp_path):
    ledger = Ledger(tmp_path)
    ledger.add(lines((3, 5)))
    ledger.add(lines((5,), offset=1000.0, places=(3, 5)))
    np.testing.assert_array_equal(ledger.returns(KEPT, (3, 5)), [[30, 31], [1050, 1051]])
    assert len((tmp_path / "evaluation.jsonl").read_text().splitlines()) == 4


def test_a_context_that_lost_a_line_is_missing(tmp_path):
    Ledger(tmp_path).add(lines((3, 5)))
    path = tmp_path / "evaluation.jsonl"
    path.write_text(path.read_text()[:-20])
    assert Ledger(tmp_path).missing(KEPT, (3, 5)) == [5]
