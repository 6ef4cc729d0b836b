"""One file per domain: what its robots observe and what its goals reward, for many rows at once.

A domain is made with a batch and binds what it reads at construction, because a derived field is
current only after the first call that follows its binding. `observe()` returns [N, O] float64 and
`reward(goal)` returns [N] float64, both for the batch's present state. The formulas are those of
dm_control's suite (Tassa et al. 2018, arXiv 1801.00690) and of ExoRL (Yarats et al. 2022, arXiv
2201.13425); `reward_stage` and `observation_stage` say how far MuJoCo must compute for them.
"""

from typing import Protocol

import mujoco
import numpy as np
from mujoco.batch import Batch

from agentic.simulation.domains.cartpole import Cartpole
from agentic.simulation.domains.cheetah import Cheetah
from agentic.simulation.domains.jaco import Jaco
from agentic.simulation.domains.point_mass import PointMass
from agentic.simulation.domains.point_mass_maze import PointMassMaze
from agentic.simulation.domains.quadruped import Quadruped
from agentic.simulation.domains.walker import Walker


class Domain(Protocol):
    """Observations and rewards of every row of a batch."""

    reward_stage: mujoco.mjtStage
    observation_stage: mujoco.mjtStage

    def observe(self) -> np.ndarray: ...

    def reward(self, goal: str) -> np.ndarray: ...


_DOMAINS = {
    "cartpole": Cartpole,
    "cheetah": Cheetah,
    "jaco": Jaco,
    "point_mass": PointMass,
    "point_mass_maze": PointMassMaze,
    "quadruped": Quadruped,
    "walker": Walker,
}


def domain_kind(name: str) -> type[Domain]:
    """Return the class of the domain called `name`, which tells its stages without a batch."""
    return _DOMAINS[name]


def make_domain(name: str, batch: Batch, model: mujoco.MjModel) -> Domain:
    """Return the domain called `name`, reading from `batch`, whose rows simulate `model`."""
    return _DOMAINS[name](batch, model)
