"""Collecting: exploration without rewards, which writes ExoRL-format buffers with physics.

    collect          explore a task and write a folder of episodes; can be interrupted and resumed
    CollectConfig    the task, the explorer and its options
    EXPLORERS        the nine explorers that made ExoRL, by name

One DDPG agent (`ddpg`), one replay buffer (`replay`) and one loop (`rounds`) serve every explorer.
An explorer is a small module in `explorers/`: an intrinsic reward and how its networks learn. Names
are imported on first use, so that `import agentic.collect` loads neither JAX nor a simulator.
"""

import importlib

_HOMES = {
    "CollectConfig": "agentic.collect.config",
    "EXPLORERS": "agentic.collect.config",
    "collect": "agentic.collect.collection",
}
__all__ = sorted(_HOMES)


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
