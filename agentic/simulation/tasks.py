"""The table of all tasks. It is static, so that asking for sizes loads no simulator.

A name stands for one task, "walker_run", or for a task family: tasks of one domain that differ in
their reward by a code. `agentic.simulation.families` defines these rewards. A family's name is

    point_mass_goal             one of FAMILY_BASES,
    point_mass_goal:0.05        the same with another size, or
    walker_stand,walker_walk    a list of tasks that share a simulator.

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


# The task whose model and initial states a family has.
FAMILY_BASES: dict[str, str] = {
    "point_mass_goal": "point_mass_easy",
    "point_mass_goal_sparse": "point_mass_easy",
    "point_mass_maze_goal": "point_mass_maze_reach_top_left",
    "cartpole_position": "cartpole_swingup",
    "cheetah_velocity": "cheetah_run",
    "walker_velocity": "walker_walk",
    "cartpole_prior": "cartpole_swingup",
    "cheetah_prior": "cheetah_run",
    "jaco_prior": "jaco_reach_top_left",
    "point_mass_prior": "point_mass_easy",
    "point_mass_maze_prior": "point_mass_maze_reach_top_left",
    "quadruped_prior": "quadruped_walk",
    "walker_prior": "walker_walk",
}


def task_names() -> list[str]:
    """Return the name of every task, sorted."""
    return sorted(TASKS)


def is_family(name: str) -> bool:
    """Return whether `name` has the form of a family's name."""
    return "," in name or name.partition(":")[0] in FAMILY_BASES


def get_task(name: str) -> Task:
    """Return the task or task family called `name`, as it looks from outside.

    Raises:
      AgenticError: nothing has this name; the message names the closest one.
    """
    if name in TASKS:
        return TASKS[name]
    base = base_task(name)
    family_size(name)
    prefix = f"{base.domain}_"
    goal = ",".join(part.removeprefix(prefix) for part in name.split(","))
    return replace(base, name=name, goal=goal)


def base_task(name: str) -> Task:
    """Return the task that gives `name` its model and its initial states.

    This is a family's base, the first task of a list, or the task itself.

    Raises:
      AgenticError: nothing has this name, or the tasks of a list do not share a simulator.
    """
    if "," in name:
        return listed_tasks(name)[0]
    family = name.partition(":")[0]
    if family in FAMILY_BASES:
        return TASKS[FAMILY_BASES[family]]
    if name in TASKS:
        return TASKS[name]
    raise AgenticError(f"unknown task {name!r}: {closest(name, [*TASKS, *FAMILY_BASES])}")


def family_size(name: str) -> float | None:
    """Return the number after the colon of a family's name, or None where there is no colon.

    Raises:
      AgenticError: it is not a positive number.
    """
    family, colon, text = name.partition(":")
    if not colon:
        return None
    try:
        size = float(text)
    except ValueError:
        size = 0.0
    if not 0 < size < float("inf"):
        raise AgenticError(
            f"{name!r} has size {text!r}; a positive number must follow the colon, for example "
            f"'{family}:0.1'"
        )
    return size


def listed_tasks(names: str) -> tuple[Task, ...]:
    """Return the tasks of a list such as "walker_stand,walker_walk".

    Raises:
      AgenticError: a task is unknown or named twice, or the tasks do not share a simulator.
    """
    tasks = []
    for name in names.split(","):
        if name not in TASKS:
            raise AgenticError(f"unknown task {name!r} in the list {names!r}: "
                               f"{closest(name, TASKS)}")  # fmt: skip
        tasks.append(TASKS[name])
    first = tasks[0]
    for task in tasks:
        # Tasks that share a simulator differ in these alone.
        alike = replace(task, name=first.name, goal=first.goal, suite_task=first.suite_task)
        if alike != first or not task.fixed_model:
            raise AgenticError(
                f"{task.name} and {first.name} do not share a simulator; a list needs tasks of one "
                "domain with the same observations and one fixed model"
            )
    if len(set(tasks)) < len(tasks):
        raise AgenticError(f"the list {names!r} names a task twice: name each task once")
    return tuple(tasks)
