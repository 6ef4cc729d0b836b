"""Offline reinforcement learning with Agentic Transformers; heavy parts load on first use."""

import importlib

from agentic.simulation.gym.ids import register_with_gymnasium

_HOMES = {
    "AgenticError": "agentic.errors",
    "Chain": "agentic.trajectory",
    "ChainSampler": "agentic.dataset",
    "Dataset": "agentic.dataset",
    "Trajectory": "agentic.trajectory",
    "configure": "agentic.methods.method",
    "evaluate": "agentic.evaluation.evaluate",
    "load_dataset": "agentic.dataset",
    "load_policy": "agentic.methods.train",
    "register": "agentic.simulation",
    "run": "agentic.methods.train",
    "sample_directory": "agentic.dataset",
    "train": "agentic.methods.train",
    "write_report": "agentic.report.page",
}
# What a name of earlier versions stands for.
_EARLIER = {"run": "train"}
__version__ = "0.1.0"
__all__ = [*sorted(_HOMES), "__version__"]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), _EARLIER.get(name, name))


def __dir__() -> list[str]:
    return __all__


register_with_gymnasium()
