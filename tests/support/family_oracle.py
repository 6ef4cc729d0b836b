"""Task families written out, one state at a time, on dm_control's own physics."""

import functools

import numpy as np
from dm_control.rl.control import PhysicsError
from dm_control.utils.rewards import tolerance
from support.recording import flat, load, reward_of, scaled

from agentic.simulation.tasks import base_task

STATES = {"jaco": slice(12, 18), "quadruped": slice(48, 78)}  # sensors, which a state lacks


def _distance(physics, ball, code):
    return np.hypot(*(physics.named.data.geom_xpos[ball][:2] - code))


def _gentle(physics):
    control = tolerance(physics.control(), margin=1, value_at_margin=0, sigmoid="quadratic")
    return (control.mean() + 4) / 5


def _maze(size):
    def reward(physics, code):
        distance = _distance(physics, "ball", code)
        return tolerance(distance, bounds=(0, size), margin=size) * _gentle(physics)

    return reward


def _cartpole(physics, code):
    upright = (physics.pole_angle_cosine().mean() + 1) / 2
    velocity = (1 + tolerance(physics.angular_vel(), margin=5).min()) / 2
    near = np.exp(-(((physics.cart_position() - code[0]) / 0.5) ** 2))
    return upright * _gentle(physics) * velocity * near


def _walker(physics, code):
    standing = tolerance(physics.torso_height(), bounds=(1.2, np.inf), margin=0.6)
    standing = (3 * standing + (1 + physics.torso_upright()) / 2) / 4
    return standing * np.exp(-(((physics.horizontal_velocity() - code[0]) / 1.5) ** 2))


def _bell(size):
    return lambda physics, code: np.exp(-((_distance(physics, "pointmass", code) / size) ** 2))


REWARDS = {
    "point_mass_goal": _bell(0.15),
    "point_mass_goal:0.05": _bell(0.05),
    "point_mass_goal_sparse": lambda p, code: float(_distance(p, "pointmass", code) <= 0.06),
    "point_mass_maze_goal": _maze(0.06),
    "point_mass_maze_goal:0.02": _maze(0.02),
    "cartpole_position": _cartpole,
    "cheetah_velocity": lambda p, code: np.exp(-(((p.speed() - code[0]) / 2) ** 2)),
    "walker_velocity": _walker,
}


def prior(observation, code):
    """Return the random reward of a code, number by number."""
    size, used = len(observation), 3
    seen = [float(np.arcsinh(value)) for value in observation]
    parts = []
    for length in (size, size, 8 * size, 8, 8):
        parts.append([float(value) for value in code[used : used + length]])
        used += length
    assert used == len(code)
    point, weights, inner, bias, outer = parts
    goal = sum((w * (f - p)) ** 2 for w, f, p in zip(weights, seen, point, strict=True))
    line = sum(w * (f - p) for w, f, p in zip(weights, seen, point, strict=True))
    network = 0.0
    for unit in range(8):
        total = sum(f * inner[8 * entry + unit] for entry, f in enumerate(seen))
        network += outer[unit] * np.tanh(total + bias[unit])
    each = [np.exp(-goal / 0.3**2), (1 + np.tanh(line)) / 2, (1 + np.tanh(network)) / 2]
    [kind] = np.flatnonzero(code[:3])
    return each[kind]


@functools.cache
def _named(name):
    return reward_of(name, load(name))


def reward_in(name, environment, code):
    """Return the slow reward of a family's task in the environment's present state."""
    physics = environment.physics
    if name in REWARDS:
        return REWARDS[name](physics, np.asarray(code, np.float64))
    if "," in name:
        return _named(name.split(",")[int(np.argmax(code))])(physics)
    observation = flat(environment.task.get_observation(physics))
    entries = np.delete(observation, STATES.get(base_task(name).domain, slice(0, 0)))
    return prior(entries, code)


def rewards_of_states(name, physics, actions, codes):
    """Return rewards of stored states one by one: with control at zero [n], with actions [n]."""
    environment = load(base_task(name).name)
    simulator, zero, with_actions = environment.physics, [], []
    for state, control, code in zip(physics, scaled(environment, actions), codes, strict=True):
        try:
            with simulator.reset_context():
                simulator.set_state(state)
        except PhysicsError:  # a ball inside a wall fills the contact buffer
            pass
        zero.append(reward_in(name, environment, code))
        simulator.set_control(control)
        with_actions.append(reward_in(name, environment, code))
    return np.array(zero), np.array(with_actions)
