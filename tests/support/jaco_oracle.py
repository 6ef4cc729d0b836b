"""ExoRL's jaco as a composer task with composer's own stepping, hooks and observations.

The package builds the same arm another way: a model compiled once that dm_control's plain loop, or
a batch, steps. Facts from Yarats et al. 2022, arXiv 2201.13425, and its published environments.
"""

import warnings

import numpy as np
from dm_control.utils.rewards import tolerance

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # dm_control warns where there is no display
    from dm_control import composer
    from dm_control.composer import initializers
    from dm_control.composer.variation import distributions
    from dm_control.manipulation.shared import arenas, observations, robots, workspaces

TIME_LIMIT, CONTROL_TIMESTEP, RADIUS = 10.0, 0.04, 0.05


class Reach(composer.Task):
    def __init__(self, goal):
        x = -0.09 if "left" in goal else 0.09
        y = 0.09 if "top" in goal else -0.09
        self._goal = np.array([x, y, 0.001])
        self._arena = arenas.Standard()
        self._arm = robots.make_arm(obs_settings=observations.PERFECT_FEATURES)
        self._hand = robots.make_hand(obs_settings=observations.PERFECT_FEATURES)
        self._arm.attach(self._hand)
        self._arena.attach_offset(self._arm, offset=robots.ARM_OFFSET)
        self.control_timestep = CONTROL_TIMESTEP
        self._start = initializers.ToolCenterPointInitializer(
            self._hand,
            self._arm,
            position=distributions.Uniform((-0.2, -0.2, 0.02), (0.2, 0.2, 0.4)),
            quaternion=workspaces.DOWN_QUATERNION,
        )

    @property
    def root_entity(self):
        return self._arena

    def initialize_episode(self, physics, random_state):
        self._hand.set_grasp(physics, close_factors=random_state.uniform())
        self._start(physics, random_state)

    def get_reward(self, physics):
        distance = np.linalg.norm(physics.bind(self._hand.tool_center_point).xpos - self._goal)
        return tolerance(distance, bounds=(0, RADIUS), margin=RADIUS)

    def get_observation(self, physics):
        enabled = {name: each for name, each in self.observables.items() if each.enabled}
        return {name: each(physics) for name, each in enabled.items()}


def load(goal, random):
    environment = composer.Environment(Reach(goal), TIME_LIMIT, random_state=random)
    environment._step_limit = round(TIME_LIMIT / environment.control_timestep())
    return environment
