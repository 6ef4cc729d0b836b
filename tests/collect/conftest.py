"""Fixtures of the tests of collecting."""

import jax
import pytest
from plane import plane  # noqa: F401  a fixture


@pytest.fixture(scope="session", autouse=True)
def compiled_once(tmp_path_factory):
    """Keep compiled programs on disk: every agent here would otherwise compile the same again."""
    settings = {
        "jax_compilation_cache_dir": str(tmp_path_factory.mktemp("compiled")),
        "jax_persistent_cache_min_compile_time_secs": 0.1,
    }
    before = {name: getattr(jax.config, name) for name in settings}
    for name, value in settings.items():
        jax.config.update(name, value)
    yield
    for name, value in before.items():
        jax.config.update(name, value)
    from jax.experimental.compilation_cache import compilation_cache

    compilation_cache.reset_cache()
