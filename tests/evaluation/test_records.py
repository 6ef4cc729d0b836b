"""Laws of evaluation.jsonl: whole contexts, each once, in an order that no interruption changes."""

import json
from dataclasses import fields, replace

import pytest

from agentic.evaluation.condition import Condition
from agentic.evaluation.records import Records

KEPT = Condition(
    task="walker_run", method="at", step=10, memory="kept", target_return=5.0, episodes=2
)


@pytest.fixture
def folder(tmp_path):
    return run_folder(tmp_path)


def run_folder(path):
    path.mkdir(exist_ok=True)
    (path / "config.json").write_text('{"task": "walker_run", "method": "at"}')
    return path


def lines(seeds, condition=KEPT, offset=0.0, places=None):
    return [
        condition.record() | {"seed": seed, "context": (places or seeds).index(seed),
                     "episode": episode, "return": offset + 10.0 * seed + episode, "length": 1000}
        for seed in seeds
        for episode in range(condition.episodes)
    ]  # fmt: skip


def returns(records, condition, seeds):
    return [record["return"] for record in records.of(condition, seeds)]


def test_what_was_added_is_there_for_the_next_reader(folder):
    Records(folder).add(lines((3, 5)))
    records = Records(folder)
    assert records.missing(KEPT, (3, 4, 5)) == [4]
    assert returns(records, KEPT, (5, 3)) == [50, 51, 30, 31]
    assert records.of(KEPT, (3,)) == lines((3, 5))[:2]


@pytest.mark.parametrize("name", [part.name for part in fields(Condition)])
def test_another_condition_is_another_context(folder, name):
    records = Records(folder)
    records.add(lines((3,)))
    other = replace(KEPT, **{name: 7})
    assert records.missing(other, (3,)) == [3]
    records.add(lines((3,), other))
    assert records.missing(KEPT, (3,)) == [] == Records(folder).missing(other, (3,))


def test_lines_from_before_a_field_existed_were_measured_under_its_default(folder):
    late = ("cache_dtype", "action_noise", "memory", "task", "method")
    old = [{k: v for k, v in line.items() if k not in late} for line in lines((3,))]
    (folder / "evaluation.jsonl").write_text("".join(json.dumps(line) + "\n" for line in old))
    records = Records(folder)
    assert records.missing(KEPT, (3,)) == []
    assert records.of(KEPT, (3,)) == old
    assert records.missing(replace(KEPT, cache_dtype="bfloat16"), (3,)) == [3]
    records.add(lines((3,), offset=1000.0))
    assert returns(records, KEPT, (3,)) == [1030, 1031]


def test_the_order_of_additions_leaves_no_trace_within_a_condition(tmp_path):
    places = (9, 1, 4)
    files = []
    for number, waves in enumerate([[(9, 1, 4)], [(4,), (9,), (1,)], [(1, 4), (9,)]]):
        folder = run_folder(tmp_path / str(number))
        for wave in waves:
            Records(folder).add(lines(wave, places=places))
        files.append((folder / "evaluation.jsonl").read_bytes())
    assert files[0] == files[1] == files[2]
    assert [json.loads(line)["seed"] for line in files[0].splitlines()] == [9, 9, 1, 1, 4, 4]


def test_a_context_measured_again_replaces_itself_and_no_other(folder):
    records = Records(folder)
    records.add(lines((3, 5)))
    records.add(lines((5,), offset=1000.0, places=(3, 5)))
    assert returns(records, KEPT, (3, 5)) == [30, 31, 1050, 1051]
    assert len((folder / "evaluation.jsonl").read_text().splitlines()) == 4


def test_a_context_that_lost_a_line_is_missing(folder):
    Records(folder).add(lines((3, 5)))
    path = folder / "evaluation.jsonl"
    path.write_text(path.read_text()[:-20])
    assert Records(folder).missing(KEPT, (3, 5)) == [5]
