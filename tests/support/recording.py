"""Slow, obvious dm_control loops that the tests of the simulation compare with."""

import functools
import warnings

import numpy as np
from dm_control.rl.control import PhysicsError
from dm_control.utils.rewards import tolerance
from support import jaco_oracle

from agentic.simulation import dm_environment as worlds
from agentic.simulation import make_simulation
from agentic.simulation.tasks import TASKS

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # dm_control warns where there is no display
    from dm_control import suite

SUITE_TASKS = sorted(name for name, task in TASKS.items() if task.in_suite)
INF = float("inf")


def _flip(physics):
    standing = tolerance(physics.torso_height(), bounds=(1.2, INF), margin=0.6)
    upright = (1 + physics.torso_upright()) / 2
    momentum = physics.named.data.subtree_angmom["torso"][1]
    move = tolerance(momentum, (5, INF), margin=5, value_at_margin=0, sigmoid="linear")
    return (3 * standing + upright) / 4 * (5 * move + 1) / 6


def _upright(physics):
    return tolerance(
        physics.torso_upright(), (1, INF), sigmoid="linear", margin=2, value_at_margin=0
    )


def _jump(physics):
    height = physics.named.data.sensordata["center_of_mass"][2]
    return _upright(physics) * tolerance(
        height, (1, INF), margin=1, value_at_margin=0.5, sigmoid="linear"
    )


def _maze(x, y):
    def reward(physics):
        distance = np.linalg.norm(physics.named.data.geom_xpos["ball"] - [x, y, 0.01])
        near = tolerance(distance, bounds=(0, 0.015), margin=0.015)
        control = tolerance(physics.control(), margin=1, value_at_margin=0, sigmoid="quadratic")
        return near * (control.mean() + 4) / 5

    return reward


# The goals that ExoRL adds.
EXTRA_REWARDS = {
    "cheetah_run_backward": lambda physics: tolerance(
        -physics.speed(), (10, INF), margin=10, value_at_margin=0, sigmoid="linear"
    ),
    "walker_flip": _flip,
    "quadruped_stand": _upright,
    "quadruped_jump": _jump,
    "point_mass_maze_reach_top_left": _maze(-0.15, 0.15),
    "point_mass_maze_reach_top_right": _maze(0.15, 0.15),
    "point_mass_maze_reach_bottom_left": _maze(-0.15, -0.15),
    "point_mass_maze_reach_bottom_right": _maze(0.15, -0.15),
}


def load(name, seed=None):
    """Return an environment that dm_control steps, without the contexts that escape opens.

    It is dm_control's own, jaco's oracle, or for the maze, whose model is ours, the package's.
    """
    random = None
    if seed is not None:
        random = np.random.RandomState(np.random.MT19937(np.random.SeedSequence(seed)))
    task = TASKS[name]
    if task.domain == "jaco":
        return jaco_oracle.load(task.goal, random)
    if task.domain == "point_mass_maze":
        environment = worlds.load(task)
        environment.task.random = random or environment.task.random
        return environment
    environment = suite.load(task.domain, task.suite_task, task_kwargs={"random": random})
    environment.physics._contexts = _Contexts() if name == "quadruped_escape" else None
    return environment


class _Contexts:
    """Stands where the drawing contexts stand; the terrain upload goes nowhere."""

    def __getattr__(self, name):
        return self

    def __call__(self, *arguments):
        return self

    def __enter__(self):
        return self

    def __exit__(self, *arguments):
        return None


def reward_of(name, environment):
    """Return the slow reward of a task: physics -> float."""
    return EXTRA_REWARDS.get(name, environment.task.get_reward)


def flat(observation):
    return np.concatenate([np.ravel(part) for part in observation.values()])


def scaled(environment, actions):
    """Return actions [n, A], clipped to [-1, 1], on the scale of the environment's own actions."""
    action = environment.action_spec()
    centre, half = (action.minimum + action.maximum) / 2, (action.maximum - action.minimum) / 2
    return centre + half * np.clip(actions.astype(np.float64), -1, 1)


def smooth_actions(task, steps, num, seed):
    """Return actions [steps, num, A] float32 that reach beyond [-1, 1] at times."""
    noise = np.random.default_rng(seed).normal(size=(steps, num, task.action_size))
    smooth = np.zeros_like(noise)
    for step in range(1, steps):
        smooth[step] = 0.8 * smooth[step - 1] + 0.5 * noise[step]
    return smooth.astype(np.float32)


@functools.cache
def episode(name, steps=20):
    """Return (physics [n, P], actions [n, A], rewards [n], observations [n, O]) of 2 rows."""
    task = TASKS[name]
    simulation = make_simulation(name, num=2, threads=1)
    simulation.reset(np.arange(2), [(5, 0), (5, 1)])
    parts = []
    for actions in smooth_actions(task, steps, 2, seed=3):
        observations, rewards, _ = simulation.step(actions)
        parts.append((simulation.physics, actions, rewards, observations))
    return tuple(np.concatenate(part) for part in zip(*parts, strict=True))


def loop_states(name, physics, actions):
    """Return dm_control's answers for stored states, one by one, after a reset of each.

    They are the rewards with the actuators at zero [n], the rewards with the actions applied [n],
    and the observations [n, O] with the actuators at zero.
    """
    environment = load(name)
    simulator = environment.physics
    reward = reward_of(name, environment)
    zero, with_actions, observations = [], [], []
    for state, inputs in zip(physics, scaled(environment, actions), strict=True):
        try:
            with simulator.reset_context():
                simulator.set_state(state)
        except PhysicsError:  # a ball inside a wall fills the contact buffer
            pass
        zero.append(reward(simulator))
        observations.append(flat(environment.task.get_observation(simulator)))
        simulator.set_control(inputs)
        with_actions.append(reward(simulator))
    return np.array(zero), np.array(with_actions), np.array(observations)
