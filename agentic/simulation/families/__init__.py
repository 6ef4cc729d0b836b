"""Task families: one definition of their rewards for stored states, simulations and gymnasium.

family = get_family("point_mass_goal")
features = simulation.features("point_mass_goal", physics, actions)      [N, F]
codes = family.draw(np.random.default_rng(0), 16)                        [16, K]
rewards = family.reward(features, codes[:, None])                        [16, N]
"""

from dataclasses import replace

from agentic.errors import AgenticError, closest
from agentic.simulation.families.family import TaskFamily, array_module, code_from_seed
from agentic.simulation.families.named import NamedTasks, named_tasks
from agentic.simulation.families.prior import PRIORS, RewardPrior
from agentic.simulation.families.target import TARGET_FAMILIES, TargetFamily
from agentic.simulation.tasks import TASKS, family_size

__all__ = [
    "FAMILIES",
    "NamedTasks",
    "RewardPrior",
    "TargetFamily",
    "TaskFamily",
    "array_module",
    "code_from_seed",
    "get_family",
]

FAMILIES: dict[str, TaskFamily] = {family.name: family for family in (*TARGET_FAMILIES, *PRIORS)}


def get_family(name: str) -> TaskFamily:
    """Return the task family called `name`.

    Args:
      name: one of FAMILIES, for example "point_mass_goal"; the same with a size of its own,
        "point_mass_goal:0.05"; or a list of tasks, "walker_stand,walker_walk".

    Raises:
      AgenticError: no family has this name; the message names the closest one.
    """
    if "," in name:
        return named_tasks(name)
    known = FAMILIES.get(name.partition(":")[0])
    if known is None:
        if name in TASKS:
            raise AgenticError(f"{name} is one task; a family is a list of tasks such as "
                               f"{name},..., or one of {', '.join(FAMILIES)}")  # fmt: skip
        raise AgenticError(f"unknown task family {name!r}: {closest(name, FAMILIES)}")
    size = family_size(name)
    return known if size is None else replace(known, name=name, size=size)
