"""One file per domain: the observations of its robots and the rewards of its goals, row by row.

A domain is made with a batch. It binds the fields that it reads at once, because a derived field is
current only after the first call that follows its binding. `observe()` returns [N, O] float64 and
`reward(goal)` returns [N] float64, both for the batch's present state. Task families read further
numbers, such as `speed()`, each [N] float64, too. The formulas are those of
dm_control's suite (Tassa et al. 2018, arXiv 1801.00690) and of ExoRL (Yarats et al. 2022, arXiv
2201.13425). `reward_stage` and `observation_stage` name the stage up to which MuJoCo must compute.
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
    """Return the class of the domain called `name`; its stages are known without a batch."""
    return _DOMAINS[name]


def make_domain(name: str, batch: Batch, model: mujoco.MjModel) -> Domain:
    """Return the domain called `name`, which reads from `batch`, whose rows simulate `model`."""
    return _DOMAINS[name](batch, model)
