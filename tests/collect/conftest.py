"""Fixtures of the tests of collecting."""

import compiling
import pytest
from plane import plane  # noqa: F401  a fixture


@pytest.fixture(scope="session", autouse=True)
def compiled_once(tmp_path_factory):
    """Keep compiled programs on disk: every agent here would otherwise compile the same again."""
    with compiling.kept_on_disk(tmp_path_factory.mktemp("compiled")):
        yield
