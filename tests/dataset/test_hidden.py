"""Laws: a chain has one task; which trajectories are drawn does not depend on it."""

import itertools

import numpy as np
import pytest

from agentic.dataset import FamilyDataset, HiddenTaskSampler, Prefetch
from agentic.errors import AgenticError
from agentic.simulation.families import get_family

LENGTHS = (3, 5, 1, 4, 5, 2, 5, 3, 4, 5, 1, 2)
FAMILY = get_family("point_mass_goal")


def made_up() -> FamilyDataset:
    """Return read-only ragged episodes; every observation names its episode and its time."""
    count, longest, rng = len(LENGTHS), max(LENGTHS), np.random.default_rng(0)
    mask = np.arange(longest) < np.array(LENGTHS)[:, None]
    names = np.stack(np.broadcast_arrays(np.arange(count)[:, None], np.arange(longest)), axis=2)
    # An episode stays near a place of its own.
    features = rng.uniform(-0.25, 0.25, (count, 1, 2)) + rng.normal(0, 0.03, (count, longest, 2))
    arrays = [names * mask[..., None], names[..., :1] * mask[..., None] / 100]
    arrays = [each.astype(np.float32) for each in (*arrays, features * mask[..., None])]
    for array in arrays:
        array.flags.writeable = False
    return FamilyDataset(
        "point_mass_goal", *arrays, np.array(LENGTHS, np.int32), None, "action", "memory", "none"
    )


DATA = made_up()


def named(chain) -> list[list[int]]:
    """Return the episodes of every chain, as their observations name them."""
    counts = chain.mask.any(-1).sum(-1)
    names = chain.observations[..., 0, 0].astype(int)
    return [row[:n].tolist() for row, n in zip(names, counts, strict=True)]


def leaves(batch) -> list[np.ndarray]:
    parts = [leaves(each) if isinstance(each, tuple) else [each] for each in batch]
    return list(itertools.chain(*parts))


def assert_same(one, other):
    for ours, theirs in zip(leaves(one), leaves(other), strict=True):
        np.testing.assert_array_equal(ours, theirs, strict=True)


OPTIONS = [
    {},
    {"trajectories": 4, "count": "uniform", "batch_size": 6},
    {"trajectories": 3, "wrong_belief": 0.5, "candidates": 5, "empty": 0.3},
    {"trajectories": 3, "wrong_belief": 0.5, "window": 2, "align": 2, "count": "uniform"},
]


@pytest.mark.parametrize("options", OPTIONS)
def test_seed_and_step_determine_the_batch(options):
    sampler, again = (HiddenTaskSampler(DATA, **options) for _ in range(2))
    steps = [0, 1, 7]
    batches = [sampler(step) for step in steps]
    for step, batch in reversed(list(zip(steps, batches, strict=True))):
        assert_same(again(step), batch)
    other = HiddenTaskSampler(DATA, **options, seed=1)(0)
    for one, two in ((batches[0], batches[1]), (batches[0], other)):
        assert not np.array_equal(one.codes, two.codes)
        assert not np.array_equal(one.chain.observations, two.chain.observations)


@pytest.mark.parametrize("options", OPTIONS[:3])
def test_a_chain_has_one_task_of_training_and_its_rewards_are_those_of_that_task(options):
    sampler = HiddenTaskSampler(DATA, **options)
    for step in range(5):
        (chain, codes), (drawn, present) = sampler(step), sampler.draw(step)
        assert codes.shape == (sampler.config.batch_size, 2) and codes.dtype == np.float32
        assert len(np.unique(codes, axis=0)) == len(codes)
        assert not FAMILY.is_held_out(codes).any()
        np.testing.assert_array_equal(codes, sampler.codes(step))
        for row, code in enumerate(codes):
            for place, episode in enumerate(drawn[row]):
                steps = LENGTHS[episode] if present[row, place] else 0
                expected = np.zeros(max(LENGTHS), np.float32)
                for time in range(steps):
                    distance = np.linalg.norm(DATA.features[episode, time] - code)
                    expected[time] = np.exp(-((distance / 0.15) ** 2))
                np.testing.assert_allclose(chain.rewards[row, place], expected, atol=1e-6)
                assert chain.mask[row, place].sum() == steps
                held = chain.observations[row, place, :steps], chain.actions[row, place, :steps]
                np.testing.assert_array_equal(held[0], DATA.observations[episode, :steps])
                np.testing.assert_array_equal(held[1], DATA.actions[episode, :steps])
        assert not chain.returns_to_go.any() and not chain.completions.any()


@pytest.mark.parametrize("options", OPTIONS)
def test_nothing_but_the_rewards_depends_on_the_codes(options):
    sampler = HiddenTaskSampler(DATA, **options)
    for step in range(5):
        drawn, other = sampler(step), sampler(step, codes=-sampler.codes(step))
        ours, theirs = drawn.chain._asdict(), other.chain._asdict()
        assert np.ptp(ours.pop("rewards") - theirs.pop("rewards")) > 0.1
        if "before" in ours:
            assert_same(ours.pop("before")[::2], theirs.pop("before")[::2])
        assert_same(ours.values(), theirs.values())


def chains(steps: int = 200, **options):
    """Return the episodes, the codes and the returns of all chains of many batches."""
    sampler = HiddenTaskSampler(DATA, batch_size=16, **options)
    for step in range(steps):
        chain, codes = sampler(step)
        yield from zip(named(chain), codes, chain.rewards.sum(-1), strict=True)


def test_all_trajectories_are_drawn_alike_whatever_they_earn_and_stand_in_any_order():
    counts, ascending = np.zeros(len(DATA)), []
    places = np.zeros((len(DATA), 3))
    for episodes, _, returns in chains(trajectories=3):
        assert len(set(episodes)) == 3
        places[episodes, range(3)] += 1
        ascending.append((np.diff(returns) > 0).all())
    expected = 200 * 16 / len(DATA)
    counts = places.reshape(-1)
    assert (np.abs(counts - expected) < 5 * np.sqrt(expected)).all()
    assert abs(np.mean(ascending) - 1 / 6) < 0.04


def test_a_wrong_belief_takes_the_best_trajectories_for_another_task():
    sampler = HiddenTaskSampler(DATA, trajectories=3, wrong_belief=1.0, candidates=12)
    for step in range(20):
        for row, episodes in enumerate(named(sampler(step).chain)):
            code = FAMILY.draw(np.random.default_rng([0, step, 2, row]), 1)
            returns = FAMILY.reward(DATA.features, code[:, None]) * DATA.mask(np.arange(12))
            best = np.argsort(-returns.sum(1), kind="stable")[:3]
            assert set(episodes) == set(best.tolist())


def test_shares_of_chains_with_a_wrong_belief_or_an_empty_context():
    plain, mixed = (
        [episodes for episodes, _, _ in chains(trajectories=3, wrong_belief=share, candidates=12)]
        for share in (0.0, 0.4)
    )
    differ = np.mean([one != other for one, other in zip(plain, mixed, strict=True)])
    assert abs(differ - 0.4) < 0.05
    sizes = np.array([len(e) for e, _, _ in chains(trajectories=3, empty=0.25)])
    assert set(sizes) == {1, 3} and abs((sizes == 1).mean() - 0.25) < 0.04
    sizes = np.bincount([len(e) for e, _, _ in chains(trajectories=3, count="uniform")])
    assert (np.abs(sizes[1:] / sizes.sum() - 1 / 3) < 0.04).all()


def test_a_window_is_cut_out_of_the_whole_chain():
    options = {"trajectories": 3, "count": "uniform", "wrong_belief": 0.3}
    whole = HiddenTaskSampler(DATA, **options)
    sampler = HiddenTaskSampler(DATA, **options, window=2, align=2)
    for step in range(20):
        window, chain = sampler(step).chain, whole(step).chain
        np.testing.assert_array_equal(sampler(step).codes, whole(step).codes)
        for row, start in enumerate(window.start):
            for name in ("observations", "actions", "rewards", "mask"):
                cut = np.zeros_like(getattr(window, name)[row])
                source = getattr(chain, name)[row][:, start : start + 2]
                cut[:, : source.shape[1]] = source
                np.testing.assert_array_equal(getattr(window, name)[row], cut)
            if start:
                before = chain.rewards[row][:, start - 2 : start]
                np.testing.assert_array_equal(window.before.rewards[row], before)


def test_processes_share_the_chains_of_one_batch():
    options = {"batch_size": 6, "trajectories": 2, "wrong_belief": 0.5, "window": 2, "align": 1}
    whole = leaves(HiddenTaskSampler(DATA, **options)(3))
    parts = [
        leaves(HiddenTaskSampler(DATA, **options, process_index=index, process_count=3)(3))
        for index in range(3)
    ]
    for all_rows, *shares in zip(whole, *parts, strict=True):
        np.testing.assert_array_equal(np.concatenate(shares), all_rows)


def test_batches_can_be_drawn_ahead():
    sampler = HiddenTaskSampler(DATA, wrong_belief=0.5)
    with Prefetch(sampler, 10**6) as ahead:
        for step in range(4):
            assert_same(ahead(step), sampler(step))


@pytest.mark.parametrize(
    "options, sentence",
    [
        ({"trajectories": 13}, "trajectories is 13; .* at most 12"),
        ({"batch_size": 0}, "batch_size is 0; it must be at least 1"),
        ({"empty": 1.5}, r"empty is 1.5; it must lie in \[0, 1\]"),
        ({"wrong_belief": -0.1}, "wrong_belief is -0.1"),
        (
            {"wrong_belief": 0.1, "trajectories": 3, "candidates": 2},
            "candidates is 2; .* least 3",
        ),
        ({"count": "fix"}, "count is 'fix'; did you mean 'fixed'"),
        ({"window": 3, "align": 2}, "window is 3; it must be a multiple of the 2 steps"),
        ({"window": 6}, "window is 6; episodes have 5 steps"),
        ({"seed": -1}, "seed is -1"),
        ({"process_count": 3}, "batch_size is 8 chains, to be shared by 3 processes"),
    ],
)
def test_mistakes_are_met_with_a_sentence(options, sentence):
    with pytest.raises(AgenticError, match=sentence):
        HiddenTaskSampler(DATA, **options)
