"""The table of all tasks. It is static, so that asking for sizes loads no simulator.

The numbers are those of dm_control 1.0.50; a test compares every row with the real environment.
"""

from dataclasses import dataclass, replace

from agentic.errors import AgenticError, closest


@dataclass(frozen=True)
class Task:
    """A task's name, sizes and time limit, and where its model and initial states come from."""

    name: str  # "walker_run": the domain, then the goal; either may contain underscores
    domain: str  # "walker": one robot and one observation
    goal: str  # "run": one reward
    observation_size: int  # O
    action_size: int  # A, every action in [-1, 1]
    physics_size: int  # P = positions + velocities + activations
    episode_length: int  # steps until the time limit
    control_timestep: float  # seconds from one action to the next
    # The task of dm_control's suite that gives the model and the initial states; None for our own.
    suite_task: str | None
    fixed_model: bool  # False where every episode changes the model itself

    @property
    def in_suite(self) -> bool:
        """Whether dm_control has this task with its reward, not only the model."""
        return self.suite_task == self.goal


@dataclass(frozen=True)
class _Sizes:
    observation_size: int
    action_size: int
    physics_size: int
    control_timestep: float
    episode_length: int = 1000


_CARTPOLE = _Sizes(5, 1, 4, 0.01)
_POINT_MASS = _Sizes(4, 2, 4, 0.02)
_CHEETAH = _Sizes(17, 6, 18, 0.01)
_WALKER = _Sizes(24, 6, 18, 0.025)
_QUADRUPED = _Sizes(78, 12, 57, 0.02)
_MAZE = _Sizes(4, 2, 4, 0.02)
_JACO = _Sizes(42, 9, 18, 0.04, episode_length=250)


def _task(
    domain: str, goal: str, sizes: _Sizes, suite_task: str = "", fixed_model: bool = True
) -> Task:
    return Task(
        name=f"{domain}_{goal}",
        domain=domain,
        goal=goal,
        **vars(sizes),
        suite_task=suite_task or goal,
        fixed_model=fixed_model,
    )


def _reaching(domain: str, sizes: _Sizes) -> list[Task]:
    corners = ("top_left", "top_right", "bottom_left", "bottom_right")
    goals = [_task(domain, f"reach_{corner}", sizes) for corner in corners]
    return [replace(goal, suite_task=None) for goal in goals]


TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        _task("cartpole", "balance", _CARTPOLE),
        _task("cartpole", "balance_sparse", _CARTPOLE),
        _task("cartpole", "swingup", _CARTPOLE),
        _task("cartpole", "swingup_sparse", _CARTPOLE),
        _task("cartpole", "two_poles", _Sizes(8, 1, 6, 0.01)),
        _task("cartpole", "three_poles", _Sizes(11, 1, 8, 0.01)),
        _task("cheetah", "run", _CHEETAH),
        _task("cheetah", "run_backward", _CHEETAH, suite_task="run"),
        *_reaching("jaco", _JACO),
        _task("point_mass", "easy", _POINT_MASS),
        _task("point_mass", "hard", _POINT_MASS, fixed_model=False),
        *_reaching("point_mass_maze", _MAZE),
        _task("quadruped", "walk", _QUADRUPED),
        _task("quadruped", "run", _QUADRUPED),
        _task("quadruped", "escape", _Sizes(101, 12, 57, 0.02), fixed_model=False),
        _task("quadruped", "fetch", _Sizes(90, 12, 70, 0.02)),
        _task("quadruped", "stand", _QUADRUPED, suite_task="walk"),
        _task("quadruped", "jump", _QUADRUPED, suite_task="walk"),
        _task("walker", "stand", _WALKER),
        _task("walker", "walk", _WALKER),
        _task("walker", "run", _WALKER),
        _task("walker", "flip", _WALKER, suite_task="walk"),
    )
}


def task_names() -> list[str]:
    """Return the name of every task, sorted."""
    return sorted(TASKS)


def get_task(name: str) -> Task:
    """Return the task called `name`, for example "walker_run".

    Raises:
      AgenticError: the name is unknown; the message gives the closest one.
    """
    if name not in TASKS:
        raise AgenticError(f"unknown task {name!r}: {closest(name, TASKS)}")
    return TASKS[name]
