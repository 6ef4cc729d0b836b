"""The sample's learner: its sums are exact, its gradients right, its bits the same everywhere."""

import hashlib
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).parents[1] / "data" / "sample"
sys.path.insert(0, str(FOLDER))
import learner  # noqa: E402 (a script's neighbour, not a package)

sys.path.remove(str(FOLDER))


def test_a_product_has_the_same_bits_in_every_order_of_summation():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 30, 100)), rng.normal(size=(2, 100, 20)) * 1e-3
    expected = learner.dot(a, b)
    assert np.abs(expected - a @ b).max() < 100 * 2.0**-20 * np.abs(a).max() * np.abs(b).max()
    for _ in range(5):
        order = rng.permutation(100)
        assert np.array_equal(learner.dot(a[..., order], b[:, order]), expected)
    assert not learner.dot(np.zeros((2, 3)), np.ones((3, 4))).any()


def test_a_product_too_long_to_be_exact_is_refused():
    long = np.ones((1, learner.LONGEST + 1))
    with pytest.raises(ValueError, match="512"):
        learner.dot(long, long.T)


def test_gradients_are_those_of_finite_differences():
    rng = np.random.default_rng(1)
    params = learner.init_networks(rng, 2, (3, 8, 8, 2))
    x, weight = rng.normal(size=(2, 5, 3)), rng.normal(size=(2, 5, 2))

    def loss() -> float:
        return float((learner.forward(params, x)[0] * weight).sum())

    gradient, d_x = learner.backward(params, learner.forward(params, x)[1], weight)
    for array, slope in [(x, d_x), *((params[name], gradient[name]) for name in params)]:
        index = tuple(rng.integers(size) for size in array.shape)
        before, difference = array[index], 1e-3
        array[index] = before + difference
        above = loss()
        array[index] = before - difference
        below = loss()
        array[index] = before
        assert slope[index] == pytest.approx((above - below) / (2 * difference), abs=2e-2)


def learned() -> str:
    """Return the hash of all that a few updates learn at the recipe's size."""
    settings = tomllib.loads((FOLDER / "recipe.toml").read_text())["agent"]
    rng = np.random.default_rng(2)
    agent = learner.TD3(settings, rng, 5, 1)
    for _ in range(20):
        observation, following = rng.uniform(-1, 1, (2, settings["batch_size"], 5))
        action, reward = rng.uniform(-1, 1, (2, settings["batch_size"], 1))
        agent.learn(observation, action, reward, following)
    arrays = [*agent.actor.values(), *agent.critics.values(), agent.act(observation[0])]
    return hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()


@pytest.mark.parametrize("kind", ["Prescott", "Haswell"])
def test_every_kind_of_processor_learns_the_same_bits(kind):
    # What NumPy and its OpenBLAS would run on older processors than this one.
    environment = os.environ | {
        "OPENBLAS_CORETYPE": kind,
        "NPY_DISABLE_CPU_FEATURES": "AVX512_ICL X86_V4" + (" X86_V3" if kind == "Prescott" else ""),
    }
    other = subprocess.run(
        [sys.executable, "-W", "ignore", __file__], env=environment, capture_output=True, text=True
    )
    assert other.returncode == 0, other.stderr
    assert other.stdout.strip() == learned()


if __name__ == "__main__":
    print(learned())
