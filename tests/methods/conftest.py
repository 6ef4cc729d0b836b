"""Fixtures of the tests of value learning."""

import pytest
from support import compiling


@pytest.fixture(scope="session", autouse=True)
def compiled_once(tmp_path_factory):
    """Keep compiled programs on disk: runs of one configuration share them."""
    with compiling.kept_on_disk(tmp_path_factory.mktemp("compiled")):
        yield
