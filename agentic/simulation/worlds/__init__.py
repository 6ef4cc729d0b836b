"""The worlds that ExoRL adds to dm_control's suite: their models and initial states.

Each module makes a dm_control environment out of a model and a task, which draws initial states
from its own `random`. `agentic.simulation.domains` computes the rewards, for many rows at once.
"""

from dm_control.rl import control

from agentic.simulation.tasks import Task
from agentic.simulation.worlds import jaco, point_mass_maze

_WORLDS = {"jaco": jaco.make, "point_mass_maze": point_mass_maze.make}


def make_world(task: Task) -> control.Environment:
    """Return a new environment of `task`, whose domain is not in the suite."""
    physics, initial_states = _WORLDS[task.domain](task.goal)
    return control.Environment(
        physics,
        initial_states,
        time_limit=task.episode_length * task.control_timestep,
        control_timestep=task.control_timestep,
    )
