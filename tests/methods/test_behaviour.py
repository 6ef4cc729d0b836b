"""What the baselines are known for, on a point that walks a line.

Recorded steps go right or left as a coin falls. Imitation therefore stands still on average; IQL
and TD3+BC, which imitate and value, must go right.
"""

import numpy as np
import pytest
from support import line

from agentic.methods.method import configure
from agentic.methods.train import load_policy, train

# Observations and rewards as they are: the line has no scales to do away with.
OPTIONS = {
    "width": 32, "batch_size": 64, "learning_rate": 2e-3, "discount": 0.9, "target_rate": 0.02,
    "normalize": False, "steps": 400, "log_every": 400, "checkpoint_every": 400,
}  # fmt: skip


@pytest.fixture(scope="module")
def data():
    return line.mixed()


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    """Return a function that trains a configuration and returns its policy, once each."""
    policies = {}

    def policy_of(config):
        if config not in policies:
            folder = tmp_path_factory.mktemp("runs") / "run"
            policies[config] = load_policy(train(config, folder, data=data))
        return policies[config]

    return policy_of


TD3 = configure(line.TASK, "", "td3", **OPTIONS)
TD3_BC = configure(line.TASK, "", "td3_bc", **OPTIONS)
IQL = configure(line.TASK, "", "iql", scale_rewards=False, **OPTIONS)
# Behaviour cloning as the two do it: by squares, and by density.
CLONING = [TD3_BC.changed(alpha=0.0), IQL.changed(temperature=0.0)]


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
        np.abs(actions(TD3_BC.changed(alpha=alpha)) - cloned).mean() for alpha in (2.5, 0.05)
    ]
    assert distances[0] > 0.2 and distances[1] < 0.3 * distances[0]
