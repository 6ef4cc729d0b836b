"""Every test runs with eight CPU devices and strict dtype promotion; warnings are errors."""

import os

# Set before jax is imported, which reads it: tests use CPUs unless another platform is asked for.
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax

jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_numpy_dtype_promotion", "strict")
