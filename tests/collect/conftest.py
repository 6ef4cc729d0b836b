"""Fixtures of the tests of collecting."""

import pytest
from support import compiling
from support.plane import plane  # noqa: F401  a fixture


@pytest.fixture(scope="session", autouse=True)
def compiled_once(tmp_path_factory):
    """Keep compiled programs on disk: every agent here would otherwise compile the same again."""
    with compiling.kept_on_disk(tmp_path_factory.mktemp("compiled")):
        yield
