"""Laws of policies: what they say of themselves, defaults, copies, seeds, noise."""

import numpy as np
import pytest
from support import synthetic

from agentic.acting.context import ContextPolicy
from agentic.acting.noise import ActionNoise
from agentic.acting.policy import Policy, as_policy
from agentic.acting.random_policy import RandomPolicy
from agentic.acting.reactive import ReactivePolicy
from agentic.errors import AgenticError
from agentic.network.config import Normalization
from agentic.simulation.tasks import get_task

TASK = get_task("cartpole_swingup")


class Bare:
    """A policy as a user writes it: three methods, and a count of what they were called with."""

    def __init__(self):
        self.calls = []

    def reset(self):
        self.calls.append("reset")

    def act(self, observation):
        return np.tanh(observation[..., :1])

    def observe(self, reward, done):
        self.calls.append("observe")


def context_policy(inputs="Rsard", **fields) -> ContextPolicy:
    config = synthetic.policy_config("1", inputs=inputs, **fields)
    return ContextPolicy(config, synthetic.parameters(config), synthetic.TARGET)


def reactive_policy(size=5) -> ReactivePolicy:
    still = Normalization((0.0,) * size, (1.0,) * size)
    return ReactivePolicy(lambda parameters, seen: seen[:, :1], None, still)


def test_a_policy_that_only_acts_is_one_of_single_episodes_without_a_target():
    policy = as_policy(Bare())
    assert (policy.episodes, policy.target_return, policy.keeps_context) == (1, None, False)
    assert (policy.cache_dtype, policy.devices) == ("float32", 1)
    policy.check_fits(TASK)
    acting = policy.side_by_side((3, 5))
    acting.reset(2)
    observations = np.ones((2, 5))
    np.testing.assert_allclose(acting.act(observations), np.tanh(observations[:, :1]), rtol=1e-6)
    assert acting.act(observations).dtype == np.float32
    acting.observe(np.ones(2), np.zeros(2, bool))
    assert policy.inner.calls == ["reset", "observe"]
    assert as_policy(policy) is policy


@pytest.mark.parametrize("missing", ["reset", "act", "observe"])
def test_what_does_not_act_is_refused_by_name(missing):
    methods = {name: lambda *_: None for name in ("reset", "act", "observe") if name != missing}
    with pytest.raises(AgenticError, match=rf"Odd has no {missing}\(\); a policy has reset"):
        as_policy(type("Odd", (), methods)())


@pytest.mark.parametrize(
    "policy", [RandomPolicy(1), reactive_policy(), context_policy("sa"), Policy()]
)
def test_what_is_told_of_no_return_aims_at_none(policy):
    assert policy.target_return is None
    with pytest.raises(AgenticError, match=r"target return 900 .* never told of a target return"):
        policy.aiming_at(900)


def test_aiming_at_another_return_makes_a_copy_that_acts_by_it():
    policy = context_policy()
    higher = policy.aiming_at(10 * synthetic.TARGET)
    assert (policy.target_return, higher.target_return) == (
        synthetic.TARGET,
        10 * synthetic.TARGET,
    )
    observation = np.ones(synthetic.OBSERVATIONS)
    np.testing.assert_array_equal(
        higher.act(observation), policy.aiming_at(10 * synthetic.TARGET).act(observation)
    )
    assert np.abs(higher.act(observation) - policy.act(observation)).max() > 1e-4


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        (RandomPolicy(3), "draws actions of 3 values and cartpole_swingup takes 1"),
        (reactive_policy(4), "has observation_size 4 and cartpole_swingup has 5"),
        (context_policy(), "has observation_size 4 and cartpole_swingup has 5"),
    ],
)
def test_a_policy_of_another_task_does_not_fit(policy, words):
    with pytest.raises(AgenticError, match=words):
        policy.check_fits(TASK)


@pytest.mark.parametrize("policy", [RandomPolicy(2), reactive_policy(4), context_policy()])
def test_side_by_side_it_leaves_the_policy_itself_as_it_was(policy):
    observations = np.random.default_rng(0).normal(size=(3, 4))
    policy.reset()
    first = policy.act(observations[0])
    acting = policy.side_by_side((3, 5, 8))
    acting.reset(3)
    acting.act(observations)
    acting.observe(np.ones(3), np.zeros(3, bool))
    policy.reset()
    np.testing.assert_array_equal(policy.act(observations[0]), first)


def test_a_random_policy_starts_again_at_reset_and_each_context_has_its_own_seed():
    policy, observations = RandomPolicy(3, seeds=(4, 9)), np.zeros((2, 5))
    first = [policy.act(observations) for _ in range(50)]
    policy.reset(2)
    np.testing.assert_array_equal(first, [policy.act(observations) for _ in range(50)])
    alone = RandomPolicy(3).side_by_side((9,))
    np.testing.assert_array_equal([a[1] for a in first], [alone.act(np.zeros(5)) for _ in first])
    assert np.abs(first).max() <= 1
    assert (np.array(first)[:, 0] != np.array(first)[:, 1]).all()


class Still(Policy):
    """Always acts alike, and keeps what it is told of its actions."""

    def __init__(self):
        self.told = []

    def reset(self, batch=None):
        self.told.clear()

    def act(self, observation):
        return np.full((len(observation), 1), 0.2, np.float32)

    def observe(self, reward, done, action=None):
        self.told.append(action)


def executed(deviation, seeds=(1, 2, 3), steps=480) -> tuple[np.ndarray, Still]:
    still = Still()
    noisy = ActionNoise(still, deviation, seeds)
    noisy.reset(len(seeds))
    actions = []
    for _ in range(steps):
        actions.append(noisy.act(np.zeros((len(seeds), 5))))
        noisy.observe(np.zeros(len(seeds)), np.zeros(len(seeds), bool))
    return np.stack(actions), still


def test_noise_is_what_its_deviation_says_and_what_is_executed_is_what_is_told():
    actions, still = executed(0.1)
    np.testing.assert_array_equal(actions, np.stack(still.told))
    noise = actions - np.float32(0.2)
    assert abs(noise.mean()) < 0.01 and abs(noise.std() - 0.1) < 0.005
    assert np.abs(np.corrcoef(noise[..., 0].T)[np.triu_indices(3, 1)]).max() < 0.15
    np.testing.assert_array_equal(executed(0.1, (2,))[0][:, 0], actions[:, 1])
    assert (np.abs(executed(50.0)[0]) <= 1).all()
