"""Laws of evaluating a run: nothing twice, nothing lost, the same file however it came about."""

import dataclasses
import json

import numpy as np
import pytest
from support import short_episodes, synthetic
from support.short_episodes import TASK, evaluate, evaluate_run, policy, run_folder

from agentic.acting.context import ContextPolicy
from agentic.cli import evaluate as cli
from agentic.errors import AgenticError
from agentic.evaluation.run import EvaluationConfig
from agentic.interruption import Interrupted

SEEDS = (3, 5, 8, 2, 9)


@pytest.fixture
def run(tmp_path):
    """Return a function that makes a run folder."""
    return lambda name="run": run_folder(tmp_path / name)


def content(folder):
    return (folder / "evaluation.jsonl").read_bytes()


def test_lines_hold_the_raw_returns_and_everything_that_they_depend_on(run):
    folder = run()
    (result,) = evaluate_run(folder, EvaluationConfig(seeds=SEEDS, action_noise=0.1))
    np.testing.assert_array_equal(
        result.returns, evaluate(policy(), TASK, 3, SEEDS, action_noise=0.1).returns
    )
    lines = [json.loads(line) for line in content(folder).splitlines()]
    assert [(r["seed"], r["context"], r["episode"]) for r in lines] == [
        (seed, context, episode) for context, seed in enumerate(SEEDS) for episode in range(3)
    ]
    assert [r["return"] for r in lines] == result.returns.ravel().tolist()
    expected = {"task": TASK, "method": "at", "step": 40, "memory": "kept", "target_return": 8.0,
                "action_noise": 0.1, "episodes": 3, "cache_dtype": "float32"}  # fmt: skip
    for line in lines:
        assert expected.items() <= line.items()
        assert {"jax", "mujoco", "numpy", "agentic"} <= line["provenance"]["versions"].keys()
        assert {"commit", "python", "machine"} <= line["provenance"].keys()


def forbidden(task, num):
    raise AssertionError("something was rolled out again")


def test_twice_is_once(run):
    folder = run()
    config = EvaluationConfig(seeds=SEEDS, memory=("kept", "index"), random_policy=True)
    first = evaluate_run(folder, config)
    before = content(folder)
    second = evaluate_run(folder, config, make_simulation=forbidden)
    assert content(folder) == before
    for one, other in zip(first, second, strict=True):
        assert one.condition == other.condition
        assert one.other_provenance == other.other_provenance == 0
        np.testing.assert_array_equal(one.returns, other.returns)
        np.testing.assert_array_equal(one.lengths, other.lengths)


def test_what_earlier_versions_recorded_is_not_rolled_out_again(run):
    """Lines with fewer fields, in another order, with the names that those versions gave them."""
    folder = run()
    config = EvaluationConfig(seeds=SEEDS, memory=("kept", "cleared"), random_policy=True)
    evaluate_run(folder, config)
    lines = [json.loads(line) for line in content(folder).splitlines()]
    order = ("method", "step", "task", "memory", "target_return", "episodes", "seed", "context",
             "episode", "return", "length")  # fmt: skip
    old = [{name: line[name] for name in order} for line in lines]
    (folder / "evaluation.jsonl").write_text("".join(json.dumps(line) + "\n" for line in old))
    before = content(folder)
    results = evaluate_run(folder, config, make_simulation=forbidden)
    assert content(folder) == before
    assert [result.other_provenance for result in results] == [len(SEEDS)] * 3


def test_rolled_out_again_the_bytes_are_the_same(run):
    folder = run()
    evaluate_run(folder, EvaluationConfig(seeds=SEEDS))
    before = content(folder)
    evaluate_run(folder, EvaluationConfig(seeds=SEEDS, again=True))
    assert content(folder) == before


@pytest.mark.parametrize("parallel", [1, 2, 4])
def test_how_many_live_side_by_side_leaves_no_trace(run, parallel):
    together, apart = run("together"), run("apart")
    evaluate_run(together, EvaluationConfig(seeds=SEEDS, memory=("kept", "shuffled")))
    evaluate_run(
        apart, EvaluationConfig(seeds=SEEDS, memory=("kept", "shuffled"), parallel=parallel)
    )
    assert content(together) == content(apart)


@pytest.mark.parametrize("stop", [1, 60, 150])
def test_interrupted_and_called_again_it_ends_with_the_same_bytes(run, stop):
    whole, broken = run("whole"), run("broken")
    config = EvaluationConfig(seeds=SEEDS, clear_context=True, parallel=2)
    evaluate_run(whole, config)
    calls = []

    def interrupt(*now):
        calls.append(now)
        if len(calls) == stop:
            raise KeyboardInterrupt

    with pytest.raises(Interrupted, match="the same command goes on from there"):
        evaluate_run(broken, config, interrupt)
    seen = []
    evaluate_run(broken, config, lambda done, total, label: seen.append(total))
    assert content(broken) == content(whole)
    # Waves of two contexts, 36 calls each, that were finished before are not lived again.
    finished = {1: 0, 60: 2, 150: 7}[stop]
    assert seen[0] == (2 * len(SEEDS) - finished) * 3 * 1000


def test_more_seeds_add_what_is_missing_and_keep_the_rest(run):
    folder = run()
    evaluate_run(folder, EvaluationConfig(seeds=SEEDS[:2]))
    before = content(folder)
    evaluate_run(folder, EvaluationConfig(seeds=SEEDS))
    assert content(folder).startswith(before)
    assert len(content(folder).splitlines()) == 3 * len(SEEDS)


def test_every_target_has_lines_and_a_result_of_its_own(run):
    folder = run()
    results = evaluate_run(
        folder, EvaluationConfig(seeds=(3,), target_return=2.0, target_sweep=(2.0, 6.0))
    )
    assert [result.condition.target_return for result in results] == [2.0, 6.0]
    for result in results:
        alone = evaluate(policy(result.condition.target_return), TASK, 3, (3,))
        np.testing.assert_array_equal(result.returns, alone.returns)
    assert (results[0].returns != results[1].returns).any()


def test_a_narrow_cache_is_a_condition_of_its_own(run):
    folder = run()
    (wide,) = evaluate_run(folder, EvaluationConfig(seeds=(3,)))
    (narrow,) = evaluate_run(folder, EvaluationConfig(seeds=(3,), cache_dtype="bfloat16"))
    assert narrow.condition == dataclasses.replace(wide.condition, cache_dtype="bfloat16")
    alone = evaluate(policy(cache_dtype="bfloat16"), TASK, 3, (3,))
    np.testing.assert_array_equal(narrow.returns, alone.returns)
    assert (narrow.returns != wide.returns).any()
    assert len(content(folder).splitlines()) == 6


def test_a_cache_split_over_devices_earns_the_same_and_is_told_of(run):
    folder, config = run(), EvaluationConfig(seeds=(3, 5), memory=("kept", "cleared"))
    alone = evaluate_run(folder, config)
    seen = []

    class Watched(ContextPolicy):
        def observe(self, *args):
            seen.append(self._cache.positions.sharding)
            super().observe(*args)

    def load_watched(*arguments):
        loaded = short_episodes.load_policy(*arguments)
        loaded.__class__ = Watched
        return loaded

    two = dataclasses.replace(config, devices=2, again=True)
    split = evaluate_run(folder, two, load_policy=load_watched)
    assert {len(sharding.device_set) for sharding in seen} == {2}
    for one, two in zip(alone, split, strict=True):
        np.testing.assert_allclose(two.returns, one.returns, rtol=1e-4)
        assert two.condition == one.condition and two.other_provenance == 0
    assert [result.other_provenance for result in evaluate_run(folder, config)] == [2, 2]
    with pytest.raises(AgenticError, match="devices is 99; this process has 1 to 8"):
        evaluate_run(folder, dataclasses.replace(config, devices=99))


def test_simulated_devices_are_there_before_the_run_is_read():
    calls = []
    cli.evaluate(
        ["runs/some", "--devices", "2", "--cpu-devices", "3"],
        simulate_devices=calls.append,
        work=lambda command: calls.append(command.devices),
    )
    assert calls == [3, 2]


def test_the_best_of_n_makes_contexts_of_at_least_n_for_every_method(run):
    config = EvaluationConfig(seeds=(3,), best_of=5, random_policy=True)
    assert [r.returns.shape for r in evaluate_run(run(), config)] == [(1, 5), (1, 5)]
    fewer = EvaluationConfig(seeds=(3,), best_of=2, random_policy=True)
    assert [r.returns.shape for r in evaluate_run(run("other"), fewer)] == [(1, 3), (1, 3)]


def test_flags_are_memories_by_another_name():
    assert EvaluationConfig(clear_context=True, shuffle_history=True).memories == (
        "kept", "cleared", "shuffled",
    )  # fmt: skip
    both = EvaluationConfig(memory=("cleared",), clear_context=True)
    assert both.memories == ("cleared",)


def test_other_versions_are_told_of(run):
    folder = run()
    evaluate_run(folder, EvaluationConfig(seeds=(3, 5)))
    lines = [json.loads(line) for line in content(folder).splitlines()]
    for line in lines:
        line["provenance"]["versions"]["jax"] = "0.0"
    (folder / "evaluation.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (result,) = evaluate_run(folder, EvaluationConfig(seeds=(3, 5, 8)))
    assert result.other_provenance == 2


def test_mistakes_end_in_one_sentence_before_anything_is_lived(run):
    folder = run()
    for fields, words in [
        ({"seeds": ()}, "needs at least one of each"),
        ({"seeds": (1, 1)}, "seed 1 is given twice"),
        ({"target_sweep": (float("nan"),)}, "must be a finite number"),
        ({"memory": ("kept", "clear")}, "did you mean 'cleared'"),
        ({"parallel": 0}, "parallel is 0 contexts"),
        ({"best_of": 4, "episodes": 3}, "best_of is 4 of 3 episodes"),
        ({"best_of": 0}, "best_of is 0"),
    ]:
        with pytest.raises(AgenticError, match=words) as caught:
            evaluate_run(folder, EvaluationConfig(**fields))
        assert "\n" not in str(caught.value)
    blind = synthetic.policy_config("sa, chunk of 4")
    acting = ContextPolicy(blind, synthetic.parameters(blind), target_return=1.0)
    with pytest.raises(AgenticError, match=r"target return 5 .* never told of a target return"):
        evaluate_run(folder, EvaluationConfig(target_return=5.0), load_policy=lambda *_: acting)
    assert not (folder / "evaluation.jsonl").exists()
