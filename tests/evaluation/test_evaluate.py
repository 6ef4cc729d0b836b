"""Evaluation is a function of seeds, contexts are strangers, and controls do what they say.

Most tests replace the simulator by a stand-in with cartpole's sizes and episodes of twelve steps.
"""

from types import SimpleNamespace

import numpy as np
import pytest
from support import synthetic
from support.short_episodes import STEPS, TASK, ShortEpisodes, policy

from agentic.acting.context import ContextPolicy, RandomPolicy
from agentic.acting.memory import MEMORIES, lived_context, random_context, shuffled_order
from agentic.errors import AgenticError
from agentic.evaluation import evaluate
from agentic.evaluation import evaluate as evaluation
from agentic.evaluation.protocol import PROTOCOLS

DATA = synthetic.dataset(TASK, sizes=(5, 1), count=5, steps=STEPS)


@pytest.fixture
def short(monkeypatch):
    monkeypatch.setattr(evaluation, "make_simulation", lambda task, num: ShortEpisodes(num))


@pytest.fixture
def same_start(monkeypatch):
    """Every episode of a context starts in one state, so that only memory tells them apart."""
    start = lambda seed: np.random.default_rng(seed[0]).normal(size=5)  # noqa: E731
    monkeypatch.setattr(evaluation, "make_simulation", lambda task, num: ShortEpisodes(num, start))


def test_same_seeds_same_table(short):
    tables = [evaluate(p, TASK, 4, (3, 5)).returns for p in (policy(), policy())]
    np.testing.assert_array_equal(*tables)
    assert np.unique(tables[0]).size == 8


@pytest.mark.parametrize("memory", ["kept", "index", "shuffled", "random"])
@pytest.mark.parametrize("noise", [0.0, 0.2])
def test_a_context_has_the_same_bits_whatever_lives_beside_it(short, memory, noise):
    def returns(seeds):
        options = {"memory": memory, "data": DATA, "action_noise": noise}
        return evaluate(policy(), TASK, 4, seeds, **options).returns

    # One group that is not full, one group and a bit of another, and other places in them.
    many = returns(tuple(range(9)))
    np.testing.assert_array_equal(returns((5,))[0], many[5])
    np.testing.assert_array_equal(
        returns((8, 40, 3)), np.stack([many[8], returns((40,))[0], many[3]])
    )


def test_noise_is_what_its_deviation_says_and_what_is_executed_is_what_is_told(short):
    told = []

    class Still(RandomPolicy):
        target_return = 1.0

        def act(self, observation):
            return np.full((len(observation), 1), 0.2, np.float32)

        def observe(self, reward, done, action=None):
            told.append(action)

    agent = Still(1)
    simulation = ShortEpisodes(3)
    steps = list(evaluation.rollout(agent, simulation, 40, (1, 2, 3), action_noise=0.1))
    executed = np.stack([step.actions for step in steps])
    np.testing.assert_array_equal(executed, np.stack(told))
    noise = executed - np.float32(0.2)
    assert abs(noise.mean()) < 0.01 and abs(noise.std() - 0.1) < 0.005
    assert np.abs(np.corrcoef(noise[..., 0].T)[np.triu_indices(3, 1)]).max() < 0.15
    told.clear()
    list(evaluation.rollout(agent, ShortEpisodes(1), 1, (1,)))
    assert set(told) == {None}
    large = list(evaluation.rollout(agent, ShortEpisodes(1), 1, (1,), action_noise=50.0))
    assert all(np.abs(step.actions) <= 1 for step in large)


def test_cartpole_itself_gives_the_same_table_twice():
    agent = policy()
    first, second = (evaluate(agent, TASK, 1, (3, 5)) for _ in range(2))
    np.testing.assert_array_equal(first.returns, second.returns)
    assert first.lengths.tolist() == [[1000], [1000]]


def test_the_table_is_the_sum_of_rewards_of_each_episode(short):
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


def test_records_and_reductions(short):
    counts = []
    agent = policy()
    result = evaluate(agent, TASK, seeds=(3, 5), progress=lambda *now: counts.append(now))
    assert result.returns.shape == (2, agent.config.trajectories)
    records = result.records()
    assert [tuple(r.values()) for r in records] == [
        (
            TASK,
            "kept",
            8.0,
            0.0,
            "float32",
            3,
            seed,
            context,
            episode,
            result.returns[context, episode],
            STEPS,
        )
        for context, seed in enumerate((3, 5))
        for episode in range(3)
    ]
    assert result.records(method="at")[5] == {"method": "at"} | records[5]
    assert list(records[0]) == [
        "task", "memory", "target_return", "action_noise", "cache_dtype", "episodes", "seed",
        "context", "episode", "return", "length",
    ]  # fmt: skip
    assert (PROTOCOLS["best"](result.returns) >= PROTOCOLS["mean"](result.returns)).all()
    assert counts == [(i + 1, 3000) for i in range(3 * STEPS)]


def test_cleared_contexts_begin_every_episode_as_their_first(same_start):
    tables = {m: evaluate(policy(), TASK, 3, (3, 5), m).returns for m in MEMORIES
              if m != "random"}  # fmt: skip
    first = np.repeat(tables["kept"][:, :1], 3, axis=1)
    np.testing.assert_array_equal(tables["cleared"], first)
    for name in ("kept", "index", "shuffled"):
        np.testing.assert_array_equal(tables[name][:, 0], first[:, 0])
        assert (np.abs(tables[name] - first)[:, 1:] > 1e-3).all(), name


def test_without_an_embedding_of_the_index_telling_it_changes_nothing(same_start):
    agent = policy(trajectory_embedding=False)
    tables = [evaluate(agent, TASK, 3, (3, 5), memory).returns for memory in ("index", "cleared")]
    # Another index is another place in the cache, so sums run in another order.
    np.testing.assert_allclose(*tables, atol=1e-3)


def test_random_memory_is_as_many_random_trajectories_before_each_episode(same_start):
    agent, seeds = policy(), (3, 5)
    result = evaluate(agent, TASK, 4, seeds, memory="random", data=DATA).returns
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


def test_shuffling_is_one_other_order_of_what_was_lived(same_start, monkeypatch):
    kept, shuffled = (evaluate(policy(), TASK, 4, (3, 5), m).returns for m in ("kept", "shuffled"))
    # The first episode has no history, the second one with a single place in it.
    np.testing.assert_allclose(shuffled[:, :2], kept[:, :2], atol=1e-3)
    in_order = lambda count, lived, seeds: np.tile(np.arange(count), (len(seeds), 1))  # noqa: E731
    monkeypatch.setattr("agentic.acting.memory.shuffled_order", in_order)
    again = evaluate(policy(), TASK, 3, (3, 5), "shuffled").returns
    np.testing.assert_allclose(again, kept[:, :3], atol=1e-3)
    swapped = lambda count, lived, seeds: in_order(count, lived, seeds)[:, ::-1]  # noqa: E731
    monkeypatch.setattr("agentic.acting.memory.shuffled_order", swapped)
    other = evaluate(policy(), TASK, 3, (3, 5), "shuffled").returns
    assert (np.abs(other - kept[:, :3])[:, 2] > 1e-3).all()


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
    orders = shuffled_order(5, 7, range(60))
    assert (np.sort(orders, axis=1) == np.arange(5)).all()
    assert len(np.unique(orders, axis=0)) > 30
    np.testing.assert_array_equal(shuffled_order(5, 7, [31]), orders[31:32])


def test_mistakes_end_in_one_sentence(short):
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
        ((agent, TASK, 2, (1,), "random"), "draws trajectories from the data; pass data="),
        ((RandomPolicy(1), TASK, 2, (1,), "cleared"), "is a control of policies that keep"),
    ]:
        with pytest.raises(AgenticError, match=words) as caught:
            evaluate(*arguments)
        assert "\n" not in str(caught.value)
    config = synthetic.policy_config("1")
    brief = ContextPolicy(config, synthetic.parameters(config), 1.0)
    brief.config = SimpleNamespace(observation_size=5, action_size=1, episode_length=7)
    for stride, steps in [(1, 7), (100, 700)]:
        brief.stride = stride
        with pytest.raises(AgenticError, match=f"of {steps} steps and cartpole_swingup has 1000"):
            evaluate(brief, TASK, 1, (1,))
