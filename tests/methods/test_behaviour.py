"""What the baselines are known for, on a point that walks a line.

Recorded steps go right or left as a coin falls. Imitation therefore stands still on average; IQL
and TD3+BC, which imitate and value, must go right.
"""

import dataclasses

import numpy as np
import pytest
from support import line

from agentic.acting.reactive import ReactivePolicy
from agentic.methods.method import fit, jitted_actor, make_learn, make_method
from agentic.methods.options import IQLConfig, TD3BCConfig, TD3Config
from agentic.methods.transitions import TransitionSampler
from agentic.network.config import Normalization

OPTIONS = {
    "task": line.TASK, "data": "", "width": 32, "batch_size": 64, "learning_rate": 2e-3,
    "discount": 0.9, "target_rate": 0.02, "steps": 400, "log_every": 400,
}  # fmt: skip


@pytest.fixture(scope="module")
def data():
    return line.mixed()


@pytest.fixture(scope="module")
def trained(data):
    """Return a function that trains a configuration and returns its policy, once each."""
    policies = {}

    def train(config):
        if config not in policies:
            method = make_method(config, 1, 1)
            learn = make_learn(method)
            sampler = TransitionSampler(data, config.batch_size, config.seed)
            *_, (state, _) = fit(method.init(), learn, sampler, config)
            still = Normalization((0.0,), (1.0,))
            policies[config] = ReactivePolicy(jitted_actor(method), state.actor.parameters, still)
        return policies[config]

    return train


TD3 = TD3Config(**OPTIONS)
TD3_BC, IQL = TD3BCConfig(**OPTIONS), IQLConfig(**OPTIONS)
# Behaviour cloning as the two do it: by squares, and by density.
CLONING = [dataclasses.replace(TD3_BC, alpha=0.0), dataclasses.replace(IQL, temperature=0.0)]


def test_values_beat_imitation_on_mixed_data(trained, data):
    recorded = data.returns.mean()  # 2 of the 35 that going right at once brings
    cloned = [line.mean_return(trained(config)) for config in CLONING]
    assert max(cloned) < recorded
    for config in (IQL, TD3_BC, TD3):
        assert line.mean_return(trained(config)) > 5 * recorded, config.method


def test_td3_which_nothing_holds_back_goes_right_at_once(trained):
    """On data that have seen all of the world, values alone do best."""
    assert line.mean_return(trained(TD3)) > max(
        line.mean_return(trained(config)) for config in (TD3_BC, IQL)
    )


def test_td3_bc_without_values_acts_like_the_mean_of_the_data(trained):
    places = np.linspace(-0.4, 0.4, 9, dtype=np.float32)[:, None]

    def actions(config):
        policy = trained(config)
        policy.reset(len(places))
        return policy.act(places)

    cloned = actions(CLONING[0])
    assert np.abs(cloned).max() < 0.35  # the drivers' actions are -0.8 and 0.8
    distances = [
        np.abs(actions(dataclasses.replace(TD3_BC, alpha=alpha)) - cloned).mean()
        for alpha in (2.5, 0.05)
    ]
    assert distances[0] > 0.2 and distances[1] < 0.3 * distances[0]
