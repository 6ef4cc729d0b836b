"""Every test runs with eight CPU devices and strict dtype promotion; warnings are errors."""

import os

# Before jax is imported: one thread per test worker keeps parallel workers from fighting for cores.
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax

jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_numpy_dtype_promotion", "strict")
