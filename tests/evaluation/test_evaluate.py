"""Evaluation is a function of seeds, contexts are strangers, and controls do what they say.

Most tests replace the simulator by a stand-in with cartpole's sizes and episodes of twelve steps.
"""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from support import synthetic
from support.short_episodes import STEPS, TASK, ShortEpisodes, evaluate, policy

from agentic.acting.memory import MEMORIES, Shuffled, lived_context, random_context
from agentic.acting.random_policy import RandomPolicy
from agentic.errors import AgenticError
from agentic.evaluation import Condition
from agentic.evaluation import evaluate as evaluation
from agentic.evaluation.protocol import PROTOCOLS, summarise

DATA = synthetic.dataset(TASK, sizes=(5, 1), count=5, steps=STEPS)


def start(seed):
    """Return the state that a context starts all its episodes in: memory alone tells them apart."""
    return np.random.default_rng(seed[0]).normal(size=5)


evaluate_same_start = partial(
    evaluation.evaluate, make_simulation=lambda task, num: ShortEpisodes(num, start)
)


def test_same_seeds_same_table():
    tables = [evaluate(p, TASK, 4, (3, 5)).returns for p in (policy(), policy())]
    np.testing.assert_array_equal(*tables)
    assert np.unique(tables[0]).size == 8


@pytest.mark.parametrize("memory", ["kept", "index", "shuffled", "random"])
@pytest.mark.parametrize("noise", [0.0, 0.2])
def test_a_context_has_the_same_bits_whatever_lives_beside_it(memory, noise):
    def returns(seeds):
        options = {"memory": memory, "data": DATA, "action_noise": noise}
        return evaluate(policy(), TASK, 4, seeds, **options).returns

    # One group that is not full, one group and a bit of another, and other places in them.
    many = returns(tuple(range(9)))
    np.testing.assert_array_equal(returns((5,))[0], many[5])
    np.testing.assert_array_equal(
        returns((8, 40, 3)), np.stack([many[8], returns((40,))[0], many[3]])
    )


def test_cartpole_itself_gives_the_same_table_twice():
    agent = policy()
    first, second = (evaluation.evaluate(agent, TASK, 1, (3, 5)) for _ in range(2))
    np.testing.assert_array_equal(first.returns, second.returns)
    assert first.lengths.tolist() == [[1000], [1000]]


def test_the_table_is_the_sum_of_rewards_of_each_episode():
    agent = RandomPolicy(1, seeds=(3, 5))
    result = evaluate(agent, TASK, 3, (3, 5))
    for context, seed in enumerate((3, 5)):
        alone, simulation = RandomPolicy(1, seeds=(seed,)), ShortEpisodes(1)
        for episode in range(3):
            observation, total = simulation.reset([0], [(seed, episode)]), 0.0
            for _ in range(STEPS):
                observation, reward, _ = simulation.step(alone.act(observation))
                total += reward[0]
            assert result.returns[context, episode] == pytest.approx(total, abs=1e-4)
    assert (result.lengths == STEPS).all()


def test_records_and_reductions():
    counts = []
    agent = policy()
    result = evaluate(agent, TASK, seeds=(3, 5), progress=lambda *now: counts.append(now))
    assert result.returns.shape == (2, agent.config.trajectories)
    assert result.condition == Condition.of(agent, TASK, 3)
    assert result.records() == [
        {
            "method": "policy", "memory": "kept", "step": None, "task": TASK, "target_return": 8.0,
            "action_noise": 0.0, "cache_dtype": "float32", "episodes": 3, "seed": seed,
            "context": context, "episode": episode, "return": result.returns[context, episode],
            "length": STEPS,
        }
        for context, seed in enumerate((3, 5))
        for episode in range(3)
    ]  # fmt: skip
    assert (PROTOCOLS["best"](result.returns) >= PROTOCOLS["mean"](result.returns)).all()
    assert counts == [(i + 1, 3000) for i in range(3 * STEPS)]


def test_cleared_contexts_begin_every_episode_as_their_first():
    tables = {m: evaluate_same_start(policy(), TASK, 3, (3, 5), m).returns for m in MEMORIES
              if m != "random"}  # fmt: skip
    first = np.repeat(tables["kept"][:, :1], 3, axis=1)
    np.testing.assert_array_equal(tables["cleared"], first)
    for name in ("kept", "index", "shuffled"):
        np.testing.assert_array_equal(tables[name][:, 0], first[:, 0])
        assert (np.abs(tables[name] - first)[:, 1:] > 1e-3).all(), name


def test_without_an_embedding_of_the_index_telling_it_changes_nothing():
    agent = policy(trajectory_embedding=False)
    tables = [
        evaluate_same_start(agent, TASK, 3, (3, 5), memory).returns
        for memory in ("index", "cleared")
    ]
    # Another index is another place in the cache, so sums run in another order.
    np.testing.assert_allclose(*tables, atol=1e-3)


def test_random_memory_is_as_many_random_trajectories_before_each_episode():
    agent, seeds = policy(), (3, 5)
    result = evaluate_same_start(agent, TASK, 4, seeds, memory="random", data=DATA).returns
    for episode in range(4):
        if episode:
            agent.prefill(random_context(agent, DATA, episode, seeds))
        else:
            agent.reset(2)
        simulation, total = ShortEpisodes(2), np.zeros(2)
        simulation.state = lambda seed: np.random.default_rng(seed[0]).normal(size=5)
        observations = simulation.reset([0, 1], [(seed,) for seed in seeds])
        for _ in range(STEPS):
            observations, rewards, done = simulation.step(agent.act(observations))
            agent.observe(rewards, done)
            total += rewards
        # In a batch of two, not in a group: sums in another order.
        np.testing.assert_allclose(result[:, episode], total, atol=1e-3)


@pytest.mark.parametrize("lived", [1, 2, 7])
def test_a_random_context_is_distinct_whole_trajectories_in_hindsight_order(lived):
    agent = policy(target=8.0, trajectories=4)
    chain = random_context(agent, DATA, lived, (3, 5))
    assert chain.mask.shape == (2, 4, STEPS)
    count = min(lived, 3)
    for row, seed in enumerate((3, 5)):
        lengths = chain.mask[row].sum(-1)
        assert (lengths > 0).tolist() == [True] * count + [False] * (4 - count)
        # Every length of the data occurs once, so that a length names its trajectory.
        drawn = [int(np.flatnonzero(DATA.lengths == length)[0]) for length in lengths[:count]]
        assert len(set(drawn)) == count
        assert (np.diff(DATA.returns[drawn]) >= 0).all()
        for place, index in enumerate(drawn):
            steps = DATA.lengths[index]
            np.testing.assert_array_equal(
                chain.rewards[row, place, :steps], DATA.rewards[index, :steps]
            )
        assert (chain.returns_to_go[row, :count, 0] == 8.0).all()
        alone = random_context(agent, DATA, lived, (seed,))
        np.testing.assert_array_equal(alone.observations[0], chain.observations[row])


def test_a_random_context_of_a_strided_policy_is_one_of_strided_episodes():
    agent, other = policy(target=8.0, trajectories=4), policy(target=8.0, trajectories=4)
    agent.stride = 5
    ours, theirs = (
        random_context(agent, DATA, 2, (3,)),
        random_context(other, DATA.every(5), 2, (3,)),
    )
    for array, expected in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(array, expected)
    assert ours.mask.shape == (1, 4, 3)


def test_shuffling_is_one_other_order_of_what_was_lived(monkeypatch):
    def in_order(count, lived, seeds):
        return np.tile(np.arange(count), (len(seeds), 1))

    def backwards(count, lived, seeds):
        return in_order(count, lived, seeds)[:, ::-1]

    for order in (in_order, backwards):
        fields = {"name": order.__name__, "order": staticmethod(order)}
        monkeypatch.setitem(MEMORIES, order.__name__, type("Ordered", (Shuffled,), fields))
    kept, shuffled, again, other = (
        evaluate_same_start(policy(), TASK, 4, (3, 5), memory).returns
        for memory in ("kept", "shuffled", "in_order", "backwards")
    )
    # The first episode has no history, the second one with a single place in it.
    np.testing.assert_allclose(shuffled[:, :2], kept[:, :2], atol=1e-3)
    np.testing.assert_allclose(again[:, :3], kept[:, :3], atol=1e-3)
    assert (np.abs(other - kept)[:, 2] > 1e-3).all()


@pytest.mark.parametrize("stride", [1, 5])
def test_a_lived_context_holds_each_contexts_own_trajectories_in_the_order_asked_for(stride):
    agent = policy(target=8.0, trajectories=4)
    agent.stride = stride
    rng = np.random.default_rng(0)
    episodes = [
        (
            rng.normal(size=(2, STEPS, 5)),
            rng.normal(size=(2, STEPS, 1)),
            rng.normal(size=(2, STEPS)),
        )
        for _ in range(3)
    ]
    order = np.array([[2, 0, 1], [1, 2, 0]])
    chain = lived_context(agent, episodes, order)
    assert chain.mask.any(-1).tolist() == [[True] * 3 + [False]] * 2
    for row, places in enumerate(order):
        for place, index in enumerate(places):
            observations, actions, rewards = (part[row] for part in episodes[index])
            kept = range(0, STEPS, stride)
            np.testing.assert_allclose(
                chain.observations[row, place], observations[kept], rtol=1e-6
            )
            np.testing.assert_allclose(chain.actions[row, place], actions[kept], rtol=1e-6)
            sums = [rewards[t : t + stride].sum() for t in kept]
            np.testing.assert_allclose(chain.rewards[row, place], sums, rtol=1e-5)
            to_go = [8.0 - sum(sums[:k]) for k in range(len(sums))]
            np.testing.assert_allclose(chain.returns_to_go[row, place], to_go, rtol=1e-5)


def test_the_order_of_a_shuffled_history_depends_on_the_seed_alone():
    orders = Shuffled.order(5, 7, range(60))
    assert (np.sort(orders, axis=1) == np.arange(5)).all()
    assert len(np.unique(orders, axis=0)) > 30
    np.testing.assert_array_equal(Shuffled.order(5, 7, [31]), orders[31:32])


def test_a_policy_of_ones_own_needs_to_act_and_no_more():
    class Leaning:
        """Leans against what it sees, the more the longer its context is."""

        def reset(self):
            self.steps = 0

        def act(self, observation):
            return -np.tanh(observation[:, :1] * self.steps / 30)

        def observe(self, reward, done):
            self.steps += 1

    result = evaluate(Leaning(), TASK, 3, (3, 5), method="leaning")
    simulation, total = ShortEpisodes(2), np.zeros((2, 3))
    own = Leaning()
    own.reset()
    for episode in range(3):
        observations = simulation.reset([0, 1], [(3, episode), (5, episode)])
        for _ in range(STEPS):
            observations, rewards, done = simulation.step(own.act(observations))
            own.observe(rewards, done)
            total[:, episode] += rewards
    np.testing.assert_allclose(result.returns, total, atol=1e-3)
    assert result.condition == Condition(method="leaning", task=TASK, episodes=3)
    assert evaluate(Leaning(), TASK).returns.shape == (8, 1)
    with pytest.raises(AgenticError, match=r"'cleared' changes the context .* this policy keeps"):
        evaluate(Leaning(), TASK, memory="cleared")


def test_a_summary_is_every_protocol_and_prints_it():
    result = evaluate(policy(), TASK, 4, (3, 5, 8))
    summary = result.summary()
    assert summary.summaries == summarise(result.returns)
    assert summary["best"].mean >= summary["mean"].mean
    text = str(summary)
    assert text.startswith(f"policy on {TASK}, 3 contexts of 4 episodes: mean over contexts and")
    for name, one in summarise(result.returns).items():
        line = next(line for line in text.splitlines() if line.split()[0] == name)
        assert line.split()[1] == f"{one.mean:.1f}"
        assert line.endswith(f"({one.low:.1f} to {one.high:.1f})")
    assert result.summary(best_of=2)["best"] == summarise(result.returns, best_of=2)["best"]
    alone = str(evaluate(policy(), TASK, 4, (3,)).summary())
    assert "nan" not in alone and "(" not in alone


def test_mistakes_end_in_one_sentence():
    agent = policy()
    for arguments, words in [
        ((agent, "walker_run"), "the policy has observation_size 5 and walker_run has 24"),
        ((agent, "cartpole_swingupp"), "unknown task"),
        ((agent, TASK, 0), "0 episodes in 8 contexts"),
        ((agent, TASK, 1, ()), "1 episodes in 0 contexts"),
        ((agent, TASK, 1, (4, 2, 4)), "seed 4 is given twice"),
        ((agent, TASK, 1, (4, -2)), "seed -2 is negative"),
        ((agent, TASK, 1, (4,), "kept", None, None, -0.1), "action_noise is -0.1"),
        ((agent, TASK, 2, (1,), "clear"), "memory is 'clear'; did you mean 'cleared'"),
        ((agent, TASK, 2, (1,), "random"), "'random' needs the data set; pass data="),
        ((RandomPolicy(1), TASK, 2, (1,), "cleared"), "and this policy keeps none"),
    ]:
        with pytest.raises(AgenticError, match=words) as caught:
            evaluate(*arguments)
        assert "\n" not in str(caught.value)
    brief = policy()
    brief.config = replace(brief.config, episode_length=7)
    for stride, steps in [(1, 7), (100, 700)]:
        brief.stride = stride
        with pytest.raises(AgenticError, match=f"of {steps} steps and cartpole_swingup has 1000"):
            evaluate(brief, TASK, 1, (1,))
