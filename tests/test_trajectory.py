"""Laws of the two records: legal ones pass, illegal ones are named in one sentence."""

import dataclasses

import jax
import numpy as np
import pytest

from agentic.errors import AgenticError
from agentic.trajectory import Chain, Trajectory


def trajectory(steps: int = 3) -> Trajectory:
    rng = np.random.default_rng(steps)
    return Trajectory(
        observations=rng.normal(size=(steps, 5)).astype(np.float32),
        actions=rng.uniform(-1, 1, (steps, 2)).astype(np.float32),
        rewards=rng.uniform(size=steps).astype(np.float32),
        physics=rng.normal(size=(steps + 1, 4)),
    )


@pytest.mark.parametrize("steps", [1, 3])
def test_a_legal_trajectory_passes_with_and_without_physics(steps):
    legal = trajectory(steps)
    assert legal.check() is legal and len(legal) == steps
    without = dataclasses.replace(legal, physics=None)
    assert without.check() is without
    at_the_edge = dataclasses.replace(legal, actions=np.full((steps, 2), -1, np.float32))
    assert at_the_edge.check() is at_the_edge


def changed(field: str, index: tuple, value: float) -> Trajectory:
    broken = trajectory()
    getattr(broken, field)[index] = value
    return broken


@pytest.mark.parametrize(
    ("broken", "sentence"),
    [
        (trajectory(0), "no steps; an episode needs at least one"),
        ({"observations": np.zeros((4, 5))}, r"observations of shape \(4, 5\); with 3 rewards"),
        ({"actions": np.zeros((2, 2))}, r"actions of shape \(2, 2\); with 3 rewards .* 3 rows"),
        ({"actions": np.zeros(3)}, r"actions of shape \(3,\); .* 2 axes"),
        ({"rewards": np.zeros((3, 1))}, r"rewards of shape \(3, 1\); .* 1 axes"),
        ({"physics": np.zeros((3, 4))}, r"physics of shape \(3, 4\); .* 4 rows"),
        (changed("observations", (1, 2), np.nan), "in observations at row 1 that is not finite"),
        (changed("actions", (0, 0), np.inf), "in actions at row 0 that is not finite"),
        (changed("rewards", (2,), -np.inf), "in rewards at row 2 that is not finite"),
        (changed("physics", (3, 1), np.nan), "in physics at row 3 that is not finite"),
        (changed("actions", (1, 1), -1.5), r"action of size 1\.5; actions lie in \[-1, 1\]"),
    ],
)
def test_an_illegal_trajectory_is_refused_with_its_name_and_the_rule(broken, sentence):
    if isinstance(broken, dict):
        broken = dataclasses.replace(trajectory(), **broken)
    with pytest.raises(AgenticError, match=f"^episode 7 has .*{sentence}") as error:
        broken.check("episode 7")
    assert str(error.value).endswith(".") and "\n" not in str(error.value)


def test_the_return_is_summed_in_float64():
    rewards = np.array([1e8, 1, 1, 1], np.float32)
    assert dataclasses.replace(trajectory(4), rewards=rewards).total_reward == 1e8 + 3


def test_a_trajectory_cannot_be_changed_in_place():
    with pytest.raises(dataclasses.FrozenInstanceError):
        trajectory().rewards = np.zeros(3)


def test_a_chain_is_a_pytree_of_its_six_arrays():
    chain = Chain(*(np.zeros((2, 3, 4, size)) for size in range(6)))
    leaves, structure = jax.tree.flatten(chain)
    assert len(leaves) == 6 and isinstance(jax.tree.unflatten(structure, leaves), Chain)
