"""Laws: episodes start where ExoRL says, drawn from their seed alone; the maze's walls stop."""

import numpy as np
import pytest

from agentic.simulation import dm_environment, make_simulation
from agentic.simulation.tasks import TASKS

MAZE, JACO = TASKS["point_mass_maze_reach_top_left"], TASKS["jaco_reach_top_left"]


def test_the_ball_starts_at_rest_anywhere_in_the_top_left_corner():
    simulation = make_simulation(MAZE.name, 64)
    simulation.reset(np.arange(64), [(row,) for row in range(64)])
    x, y, *velocity = simulation.physics.T
    for place, (low, high) in zip((x, y), ((-0.29, -0.15), (0.15, 0.29)), strict=True):
        assert low <= place.min() < low + 0.02 and high - 0.02 < place.max() <= high
    assert abs(np.corrcoef(x, y)[0, 1]) < 0.5
    assert not np.any(velocity)


def test_the_global_generator_plays_no_part():
    simulation = make_simulation(MAZE.name, 2)
    np.random.seed(0)
    first = simulation.reset([0], [(5,)])
    np.random.seed(1)
    np.testing.assert_array_equal(simulation.reset([1], [(5,)]), first)


@pytest.mark.parametrize(
    "start, push, coordinate, wall",
    [((-0.1, 0.1), (1, 0), 0, -0.03), ((0.1, 0.1), (-1, 0), 0, 0.03),
     ((-0.1, 0.1), (0, -1), 1, 0.03), ((0.1, -0.1), (0, 1), 1, -0.03),
     ((-0.25, 0.25), (1, 0), 0, None), ((-0.25, 0.25), (0, -1), 1, None)],
)  # fmt: skip
def test_walls_stop_the_ball_and_leave_a_way_round(start, push, coordinate, wall):
    world = dm_environment.load(MAZE)
    with world.physics.reset_context():
        world.physics.set_state(np.array([*start, 0, 0]))
    for _ in range(300):
        world.physics.set_control(push)
        world.physics.step()
    arrived, direction = world.physics.position()[coordinate], push[coordinate]
    if wall is None:
        assert direction * arrived > 0.25
    else:
        assert abs(arrived - wall) < 2e-3


def test_the_hand_starts_above_the_table_and_points_down():
    world = dm_environment.load(JACO)
    places, grasps = [], []
    for seed in range(64):
        dm_environment.reset(world, (seed,))
        site = world.physics.bind(world.task._hand.tool_center_point)
        places.append(site.xpos.copy())
        assert site.xmat[8] == pytest.approx(-1, abs=1e-3)
        fingers = world.physics.bind(world.task._hand.joints)
        low, high = fingers.range.T
        closed = (fingers.qpos - low) / (high - low)
        assert np.ptp(closed) < 1e-12
        grasps.append(closed[0])
        assert not world.physics.velocity().any()
    box = zip(np.transpose(places), (-0.2, -0.2, 0.02), (0.2, 0.2, 0.4), strict=True)
    for place, low, high in box:
        near = 0.15 * (high - low)
        assert low - 1e-3 < place.min() < low + near and high - near < place.max() < high + 1e-3
    assert 0 <= min(grasps) < 0.2 and 0.8 < max(grasps) <= 1


@pytest.mark.parametrize("name", sorted(name for name in TASKS if "reach" in name))
def test_every_goal_has_its_own_corner(name):
    task = TASKS[name]
    model = dm_environment.load(task).physics.model.ptr
    if task.domain == "jaco":
        place, distance, height = model.site("target").pos, 0.09, 0.001
    else:
        place, distance, height = model.geom("target").pos, 0.15, 0.01
    x = -distance if "left" in task.goal else distance
    y = distance if "top" in task.goal else -distance
    np.testing.assert_allclose(place, [x, y, height])
