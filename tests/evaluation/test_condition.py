"""Laws of a condition: it is read as it was written, its names are its own, one file adds one.

The last test edits a copy of condition.py, and of nothing else.
"""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import fields, replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from support.short_episodes import TASK, evaluate, evaluate_run, policy, run_folder

import agentic
from agentic.acting.memory import MEMORIES, Memory
from agentic.acting.random_policy import RandomPolicy
from agentic.errors import AgenticError
from agentic.evaluation import Condition
from agentic.evaluation.run import EvaluationConfig
from agentic.report.rows import rows_of
from agentic.report.runs import read_run

PLAIN = Condition(task=TASK, method="at", step=40, target_return=842.76753761163, episodes=4)
# Another value of every field but task and method, which say what is compared at all.
OTHERS = {
    "memory": "cleared", "step": 2500, "target_return": 421.4, "action_noise": 0.1,
    "cache_dtype": "bfloat16", "episodes": 8,
}  # fmt: skip


def every() -> list[Condition]:
    """Return every combination of usual and other values."""
    names = [set(chosen) for n in range(len(OTHERS) + 1) for chosen in combinations(OTHERS, n)]
    return [replace(PLAIN, **{name: OTHERS[name] for name in chosen}) for chosen in names]


def test_every_field_has_another_value_here():
    assert {part.name for part in fields(Condition)} == OTHERS.keys() | {"task", "method"}


def test_a_record_read_back_is_the_condition_it_was_written_from():
    rng = np.random.default_rng(0)
    random = [replace(PLAIN, target_return=rng.normal(), action_noise=rng.random()) for _ in "abc"]
    for condition in [*every(), *random, Condition(task=TASK)]:
        record = {"seed": 3, "return": 1.5} | json.loads(json.dumps(condition.record()))
        again = Condition.from_record(record)
        assert again == condition and again.key == condition.key
        assert hash(again.key) == hash(condition.key)


def test_keys_labels_and_files_tell_conditions_apart():
    conditions = every()
    for name in (
        lambda one: one.key,
        lambda one: one.label(conditions),
        lambda one: one.file_name(),
    ):
        assert len({name(one) for one in conditions}) == len(conditions)


@pytest.mark.parametrize(
    ("older", "means"),
    [
        ({"task": TASK, "method": "at"}, Condition(task=TASK, method="at")),
        ({}, Condition(task="walker_run", method="dt")),
        ({"method": "random", "memory": None}, Condition(task="walker_run", method="random")),
        ({"memory": "index"}, Condition(task="walker_run", method="dt", memory="index")),
    ],
)
def test_what_an_older_record_does_not_say_is_the_runs_or_the_default(older, means):
    assert Condition.from_record(older, task="walker_run", method="dt") == means


def test_a_label_names_what_is_unusual_and_what_sets_apart():
    emptied = replace(PLAIN, memory="cleared")
    higher = replace(PLAIN, target_return=1000.0)
    other = Condition(task=TASK, method="dt", episodes=2)
    assert PLAIN.label() == "Agentic Transformer"
    assert PLAIN.label([PLAIN, other]) == "Agentic Transformer"
    assert PLAIN.label([PLAIN, emptied]) == "Agentic Transformer, context kept"
    assert emptied.label() == "Agentic Transformer, context emptied before each episode"
    assert [one.label([PLAIN, higher]) for one in (PLAIN, higher)] == [
        "Agentic Transformer, target 842.8",
        "Agentic Transformer, target 1000",
    ]
    noisy = replace(PLAIN, action_noise=0.1, cache_dtype="bfloat16")
    assert noisy.label() == "Agentic Transformer, noise 0.1, bfloat16 cache"
    assert replace(PLAIN, method="mine", memory="odd").label() == "mine, odd"
    assert Condition(task=TASK, method="random").label() == "random policy"


def test_the_names_of_videos_are_those_of_earlier_versions():
    assert PLAIN.file_name() == "at-kept-step40-target842.768-4episodes"
    narrow = replace(PLAIN, target_return=None, action_noise=0.1, cache_dtype="bfloat16")
    assert narrow.file_name() == "at-kept-step40-noise0.1-bfloat16-4episodes"


def test_a_condition_knows_of_the_policy_what_the_policy_says():
    condition = Condition.of(policy(8.0, "bfloat16"), TASK, method="at")
    assert (condition.target_return, condition.cache_dtype, condition.episodes) == (
        8.0,
        "bfloat16",
        3,
    )
    condition = Condition.of(RandomPolicy(1), TASK, 2)
    assert condition == Condition(task=TASK, method="random", episodes=2)
    named = policy()
    named.method, named.step = "at", 40
    assert Condition.of(named, TASK) == Condition.of(policy(), TASK, method="at", step=40)


def test_the_usual_condition_changes_nothing_about_a_policy():
    acting = PLAIN.imposed_on(policy(), (3, 5))
    assert type(acting) is type(policy().side_by_side((3, 5)))


@pytest.fixture
def half(monkeypatch):
    """A memory of one's own, added by registering it: every second context is emptied."""

    class Half(Memory):
        name = "half"
        title = "every second context emptied"
        description = "of two contexts one keeps its episodes"

        def between_episodes(self, ended):
            self._trial.contexts.clear(ended & (np.arange(len(ended)) % 2 == 1))

    monkeypatch.setitem(MEMORIES, Half.name, Half)


def test_a_registered_memory_is_evaluated_recorded_resumed_offered_and_reported(
    half, tmp_path, capsys
):
    from agentic.cli.evaluate import parse

    folder = run_folder(tmp_path / "run")
    config = EvaluationConfig(seeds=(3, 5), memory=("kept", "half", "cleared"))
    kept, halved, cleared = evaluate_run(folder, config)
    np.testing.assert_array_equal(halved.returns[0], kept.returns[0])
    np.testing.assert_array_equal(halved.returns[1], cleared.returns[1])
    before = (folder / "evaluation.jsonl").read_bytes()
    evaluate_run(folder, config)
    assert (folder / "evaluation.jsonl").read_bytes() == before
    rows, _ = rows_of([read_run(folder)])
    labels = [row.label for row in rows]
    assert labels[-1] == "Agentic Transformer, every second context emptied"
    assert parse(["run", "--memory", "half"]).memory == ("half",)
    with pytest.raises(SystemExit):
        parse(["run", "--memory", "halves"])
    with pytest.raises(SystemExit):
        parse(["--help"])
    assert "half: of two contexts" in " ".join(capsys.readouterr().out.split())


def test_a_memory_that_there_is_not_is_met_with_the_closest():
    with pytest.raises(AgenticError, match="memory is 'clear'; did you mean 'cleared'"):
        evaluate(policy(), TASK, memory="clear")


# Noise on observations, as one would write it into condition.py: which lines, and after which.
EDITS = {
    "from agentic.acting.policy import Policy\n": '''\
from agentic.acting.policy import PolicyAround


class ObservationNoise(PolicyAround):
    def __init__(self, inner, deviation, seeds):
        super().__init__(inner)
        self._deviation, self._seeds = deviation, seeds

    def reset(self, batch=None):
        self._generators = [np.random.default_rng([seed, 3]) for seed in self._seeds]
        super().reset(batch)

    def act(self, observation):
        draws = [g.normal(0, self._deviation, observation.shape[1]) for g in self._generators]
        return super().act(observation + np.stack(draws))


''',
    "ActionNoise(inner, noise, trial.seeds),\n    )\n": '''\
    observation_noise: float = measured(
        0.0,
        words="noise on observations {:g}".format,
        treatment=lambda inner, noise, trial: ObservationNoise(inner, noise, trial.seeds),
    )
''',
    "    action_noise: float = 0.0\n": "    observation_noise: float = 0.0\n",
}  # fmt: skip


def test_a_new_field_is_written_in_one_file(tmp_path):
    """The package with another condition.py evaluates, records, resumes and reports under it."""
    package, here = tmp_path / "agentic", Path(agentic.__file__).parent
    shutil.copytree(here, package, ignore=shutil.ignore_patterns("__pycache__"))
    path = package / "evaluation" / "condition.py"
    text = path.read_text()
    for place, addition in EDITS.items():
        assert text.count(place) == 1, place
        text = text.replace(place, place + addition)
    path.write_text(text)
    tests = Path(__file__).parents[1]
    result = subprocess.run(
        [sys.executable, tests / "support" / "new_condition.py", tmp_path / "run"],
        env=os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{tests}"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout) == {
        "records": [None, None, 0.5, 0.5],
        "changed": True,
        "the same in Python": True,
        "labels": [
            "Agentic Transformer",
            "Agentic Transformer, noise on observations 0.5",
        ],
        "file": "at-kept-step40-observationnoise0.5-1episodes",
        "flag": 0.5,
    }
