"""Jaco: an arm and a hand above a table, from dm_control's parts (Yarats et al. 2022)."""

from typing import Any

import numpy as np

from agentic.simulation.worlds.initial_states import InitialStates

# x, y and z of each goal's target in metres; the arm stands behind them, at y = 0.4.
TARGETS = {
    "reach_top_left": (-0.09, 0.09, 0.001),
    "reach_top_right": (0.09, 0.09, 0.001),
    "reach_bottom_left": (-0.09, -0.09, 0.001),
    "reach_bottom_right": (0.09, -0.09, 0.001),
}
TARGET_RADIUS = 0.05
# The point between the fingers starts in this box, pointing down: two corners in metres.
_LOWEST, _HIGHEST = (-0.2, -0.2, 0.02), (0.2, 0.2, 0.4)


class Reaching(InitialStates):
    """The hand anywhere in a box above the table, open or closed."""

    def __init__(self, arm: Any, hand: Any):
        from dm_control.composer import initializers
        from dm_control.composer.variation import distributions

        super().__init__()
        self._arm, self._hand = arm, hand
        # The default orientation points down. A pose that touches something is drawn again.
        self._place_hand = initializers.ToolCenterPointInitializer(
            hand, arm, position=distributions.Uniform(_LOWEST, _HIGHEST)
        )

    def initialize_episode(self, physics: Any) -> None:
        self._hand.set_grasp(physics, close_factors=self.random.uniform())
        self._place_hand(physics, self.random)

    def get_observation(self, physics: Any) -> dict[str, np.ndarray]:
        return {
            f"{body.mjcf_model.model}/{name}": observable(physics, self.random)
            for body in (self._arm, self._hand)
            for name, observable in sorted(body.observables.as_dict(False).items())
            if observable.enabled
        }


def make(goal: str) -> tuple[Any, Reaching]:
    """Return the physics, with a mark at the target of `goal`, and the initial states."""
    from dm_control import mjcf
    from dm_control.manipulation.shared import (
        arenas,
        cameras,
        constants,
        observations,
        robots,
        workspaces,
    )

    arena = arenas.Standard()
    arm = robots.make_arm(obs_settings=observations.PERFECT_FEATURES)
    hand = robots.make_hand(obs_settings=observations.PERFECT_FEATURES)
    arm.attach(hand)
    arena.attach_offset(arm, offset=robots.ARM_OFFSET)
    world = arena.mjcf_model.worldbody
    world.add("camera", **cameras.FRONT_CLOSE._asdict())
    workspaces.add_target_site(
        world, TARGET_RADIUS, visible=True, rgba=constants.RED, name="target", pos=TARGETS[goal]
    )
    return mjcf.Physics.from_mjcf_model(arena.mjcf_model), Reaching(arm, hand)
