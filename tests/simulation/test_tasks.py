"""Laws: the table of tasks is dm_control's, and reading it loads no simulator."""

import subprocess
import sys

import numpy as np
import pytest
from support.recording import SUITE_TASKS, flat, load

from agentic.errors import AgenticError
from agentic.simulation import rewards
from agentic.simulation.tasks import TASKS, get_task, task_names


@pytest.mark.parametrize("name", task_names())
def test_table_is_that_of_the_real_environment(name):
    task = get_task(name)
    environment = load(name)
    action = environment.action_spec()
    first = environment.reset()
    state = environment.physics.get_state()
    assert name == task.name == f"{task.domain}_{task.goal}"
    assert (flat(first.observation).size, *action.shape, state.size) == (
        task.observation_size,
        task.action_size,
        task.physics_size,
    )
    assert environment.control_timestep() == pytest.approx(task.control_timestep, abs=1e-12)
    assert environment._step_limit == task.episode_length


def test_every_suite_task_of_the_domains_is_there():
    from dm_control import suite

    domains = {task.domain for task in TASKS.values()}
    assert set(SUITE_TASKS) == {f"{d}_{goal}" for d, goal in suite.ALL_TASKS if d in domains}


@pytest.mark.parametrize(
    "wrong, right",
    [
        ("walker_rum", "walker_run"),
        ("pointmass_easy", "point_mass_easy"),
        ("point_maze_reach_top_left", "point_mass_maze_reach_top_left"),
        ("jaco_top_left", "jaco_reach_top_left"),
        ("maze_reach_top_left", "point_mass_maze_reach_top_left"),
    ],
)
def test_wrong_name_is_met_with_the_closest(wrong, right):
    with pytest.raises(AgenticError, match=f"{wrong}.*did you mean '{right}'"):
        get_task(wrong)
    with pytest.raises(AgenticError, match=f"did you mean '{right}'"):
        rewards(wrong, np.zeros((1, 4)))


def test_reading_the_table_loads_no_simulator():
    program = (
        "import sys\n"
        "import agentic.simulation.tasks\n"
        "loaded = {'mujoco', 'dm_control', 'OpenGL', 'glfw', 'numpy'} & set(sys.modules)\n"
        "assert not loaded, loaded\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True)
