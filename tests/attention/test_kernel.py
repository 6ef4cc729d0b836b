"""The kernel's exponential is the exponential."""

import jax.numpy as jnp
import numpy as np

from agentic.attention.kernel import exp2


def test_a_power_of_two_is_right_to_a_float32s_precision():
    x = np.linspace(-126, 127, 2**20, dtype=np.float32)
    np.testing.assert_allclose(np.asarray(exp2(x), np.float64), np.exp2(np.float64(x)), rtol=1.2e-7)


def test_whole_powers_are_exact():
    n = np.arange(-126, 128)
    np.testing.assert_array_equal(exp2(jnp.float32(n)), np.ldexp(1.0, n))


def test_what_is_too_small_is_zero_and_nan_stays():
    """Hidden scores are -inf; what comes of them must add nothing at all."""
    assert not np.any(exp2(jnp.array([-np.inf, -1e30, -1000.0, -127.0, -126.6], jnp.float32)))
    assert np.isnan(exp2(jnp.float32(np.nan)))
