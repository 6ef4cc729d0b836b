"""What a name on --method stands for: its options, its learner and its policy in one file.

METHODS is the only list of names. A method is one module and one line here; the module ends with
METHODS, its own by name, and is imported when one of them is first used.
"""

import importlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any


class Registry(Mapping[str, Any]):
    """Methods (`agentic.methods.method.Method`) by name, each given itself or by its module."""

    def __init__(self, **homes: Any):
        self._homes = homes

    def __getitem__(self, name: str) -> Any:
        home = self._homes[name]
        return importlib.import_module(home).METHODS[name] if isinstance(home, str) else home

    def __iter__(self) -> Iterator[str]:
        return iter(self._homes)

    def __len__(self) -> int:
        return len(self._homes)

    @contextmanager
    def including(self, **homes: Any) -> Iterator[None]:
        """Have further methods for a while."""
        before, self._homes = self._homes, self._homes | homes
        try:
            yield
        finally:
            self._homes = before


METHODS = Registry(
    at="agentic.methods.transformer",
    dt="agentic.methods.transformer",
    bc="agentic.methods.transformer",
    bc10="agentic.methods.transformer",
    td3="agentic.methods.td3",
    td3_bc="agentic.methods.td3",
    iql="agentic.methods.iql",
)
