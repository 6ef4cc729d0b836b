"""Gymnasium identifiers for every task; registering loads no simulator."""

from typing import Any

from agentic.simulation.tasks import TASKS, get_task


def register() -> None:
    """Register `agentic/{task}-v0` for every task with gymnasium, once."""
    from gymnasium.envs import registration

    for name in TASKS:
        identifier = f"agentic/{name}-v0"
        if identifier not in registration.registry:
            registration.register(
                id=identifier,
                entry_point="agentic.simulation.gymnasium_env:TaskEnv",
                kwargs={"task": name},
            )


def environment_spec(task: str) -> Any:
    """Return gymnasium's specification of a task's environment, from which it can be made."""
    import gymnasium

    get_task(task)
    register()
    return gymnasium.spec(f"agentic/{task}-v0")
