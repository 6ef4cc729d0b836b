"""Nearest neighbours and the particle estimate of entropy, as APT, APS and ProtoRL use them."""

import jax
import jax.numpy as jnp


def nearest(points_BxF: jax.Array, others_MxF: jax.Array, k: int, same: bool = False) -> jax.Array:
    """Return the Euclidean distances to the k nearest others, ascending: [B, k].

    With `same`, the others are the points themselves, and no point is its own neighbour. Distances
    come from one matrix product, |p - q|^2 = |p|^2 + |q|^2 - 2 p.q, with the points' centre as
    origin, where cancellation is least.
    """
    centre = jax.lax.stop_gradient(others_MxF.mean(axis=0))
    p, q = points_BxF - centre, others_MxF - centre
    squared = (p * p).sum(-1)[:, None] + (q * q).sum(-1)[None, :] - 2 * (p @ q.T)
    if same:
        squared = jnp.where(jnp.eye(len(p), dtype=bool), jnp.inf, squared)
    closest = -jax.lax.top_k(-squared, k)[0]
    return jnp.sqrt(jnp.maximum(closest, 0.0))


def particle_entropy(points_BxF: jax.Array, k: int) -> jax.Array:
    """Return each particle's share of the entropy of the batch: [B].

        r(z_i) = log(1 + (1/k) sum_j |z_i - z_j|),   j over the k nearest neighbours of i

    Liu & Abbeel 2021 (APT), arXiv 2103.04551; their constant c inside the logarithm is 1.
    """
    k = min(k, len(points_BxF) - 1)
    return jnp.log1p(nearest(points_BxF, points_BxF, k, same=True).mean(axis=-1))
