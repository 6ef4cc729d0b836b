"""Nearest neighbours and particle entropy against brute force."""

import jax.numpy as jnp
import numpy as np
import pytest

from agentic.collect.entropy import nearest, particle_entropy


def brute_force(points, others, k, same):
    """Return the sorted distances to the k nearest others, point by point."""
    rows = []
    for i, point in enumerate(points):
        distances = [
            np.sqrt(((point - other) ** 2).sum())
            for j, other in enumerate(others)
            if not (same and i == j)
        ]
        rows.append(sorted(distances)[:k])
    return np.array(rows)


@pytest.fixture
def points():
    # Far from the origin, where a naive expansion of the square loses its digits.
    return 50 + np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)


@pytest.mark.parametrize("k", [1, 3, 12])
def test_nearest_is_brute_force(points, k):
    others = points[:15] + np.float32(0.3)
    for second, same in ((others, False), (points, True)):
        actual = nearest(jnp.asarray(points), jnp.asarray(second), k, same)
        expected = brute_force(points.astype(float), second.astype(float), k, same)
        np.testing.assert_allclose(actual, expected, rtol=1e-3, atol=1e-3)


def test_a_twin_is_a_neighbour_at_distance_zero(points):
    twice = jnp.asarray(np.concatenate([points, points]))
    np.testing.assert_allclose(nearest(twice, twice, 1, same=True), 0, atol=5e-3)


def test_particle_entropy_is_the_logarithm_of_one_plus_the_mean_distance(points):
    expected = np.log1p(brute_force(points.astype(float), points.astype(float), 5, True).mean(-1))
    np.testing.assert_allclose(particle_entropy(jnp.asarray(points), 5), expected, rtol=1e-3)


def test_particle_entropy_grows_with_distance(points):
    entropies = [
        float(particle_entropy(jnp.asarray(points * np.float32(scale)), 5).mean())
        for scale in (0.5, 1, 2)
    ]
    assert entropies == sorted(entropies)
    outlier = jnp.asarray(np.concatenate([points, points[:1] + np.float32(9)]))
    assert int(particle_entropy(outlier, 5).argmax()) == len(points)


def test_fewer_points_than_neighbours(points):
    few = jnp.asarray(points[:4])
    np.testing.assert_array_equal(particle_entropy(few, 12), particle_entropy(few, 3))
