"""Tasks, batched environments and rewards of stored states: the only door to dm_control and MuJoCo.

    tasks            the table of tasks
    make_simulation  many episodes of one task that step together: batched, or in a loop
    rewards          rewards of stored states, which relabelling needs; observations likewise
    next_states      one step from each of many stored states
    gym/             the tasks as gymnasium environments
    write_video      pictures to a file

Names load on first use, so importing this package or `agentic.simulation.tasks` loads no simulator.
"""

from importlib import import_module

_HOMES = {
    "Task": "tasks",
    "get_task": "tasks",
    "task_names": "tasks",
    "Simulation": "interface",
    "TaskEnv": "gym.environment",
    "TaskVectorEnv": "gym.vector",
    "make_simulation": "make",
    "rewards": "states",
    "features": "states",
    "TaskFamily": "families",
    "get_family": "families",
    "observations": "states",
    "next_states": "replay",
    "register": "gym.ids",
    "environment_spec": "gym.ids",
    "write_video": "video",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str):
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
