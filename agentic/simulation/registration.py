"""Gymnasium identifiers for every task; registering loads no simulator."""

from agentic.simulation.tasks import TASKS


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
