"""Gymnasium identifiers for every task and task family; registering them loads no simulator.

Gymnasium is heavy and not every command needs it. So `import agentic` does not import it, but waits
for the first import elsewhere: the identifiers exist after `import agentic` and
`import gymnasium`, in either order.
"""

import importlib.util
import sys
from importlib.machinery import ModuleSpec
from typing import Any


def register() -> None:
    """Register `agentic/{name}-v0` for every task and task family with gymnasium, once."""
    from gymnasium.envs import registration

    from agentic.simulation.tasks import FAMILY_BASES, TASKS, get_task

    for name in (*TASKS, *FAMILY_BASES):
        identifier = f"agentic/{name}-v0"
        if identifier not in registration.registry:
            registration.register(
                id=identifier,
                # Data sets store these words, so they name no file inside the package.
                entry_point="agentic.simulation:TaskEnv",
                vector_entry_point="agentic.simulation:TaskVectorEnv",
                max_episode_steps=get_task(name).episode_length,
                kwargs={"task": name},
            )


def environment_spec(task: str) -> Any:
    """Return the specification from which gymnasium makes a task's environment."""
    import gymnasium

    from agentic.simulation.tasks import get_task

    get_task(task)
    register()
    return gymnasium.spec(f"agentic/{task}-v0")


def register_with_gymnasium() -> None:
    """Register now if gymnasium is imported already, else as soon as it is."""
    if "gymnasium" in sys.modules:
        register()
    else:
        sys.meta_path.insert(0, _Waiting())


class _Waiting:
    """An import hook that waits for the first import of gymnasium and then removes itself."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        if name != "gymnasium":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is None or spec.loader is None:
            sys.meta_path.insert(0, self)
            return spec
        execute = spec.loader.exec_module

        def execute_and_register(module: object) -> None:
            execute(module)
            register()

        spec.loader.exec_module = execute_and_register
        return spec
