"""Laws: a row per task and number of threads; wrong options are one sentence."""

import pytest

from agentic.bench.simulation import Options, run
from agentic.errors import AgenticError

SMALL = Options(tasks=("cartpole_swingup", "walker_run"), num=2, steps=3, repeats=2)


def test_a_row_per_task_and_number_of_threads():
    said = []
    rows = run(SMALL, said.append)
    assert [(row["task"], row["threads"]) for row in rows] == [
        (task, threads) for task in SMALL.tasks for threads in SMALL.threads
    ]
    for row in rows:
        assert row["environments"] == 2
        assert row["ratio"] == row["batched steps/s"] / row["dm_control steps/s"] > 0
    assert said[-1] == "walker_run: repetition 2 of 2"


@pytest.mark.parametrize(
    "wrong, sentence",
    [
        (dict(tasks=("walker_flip",)), "dm_control has no walker_flip"),
        (dict(tasks=("walker_rum",)), "did you mean 'walker_run'"),
        (dict(steps=1001), "steps is 1001; an episode of cartpole_swingup has 1000"),
        (dict(steps=0), "steps is 0"),
        (dict(tasks=()), "tasks is empty"),
        (dict(threads=()), r"threads is \(\); give one or more numbers of at least 1"),
        (dict(num=0), "num is 0; it must be at least 1"),
        (dict(threads=(0,)), r"threads is \(0,\)"),
    ],
)
def test_mistakes_are_met_with_a_sentence(wrong, sentence):
    with pytest.raises(AgenticError, match=sentence):
        Options(**wrong)
