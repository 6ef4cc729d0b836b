"""The choice between the implementations of a simulation."""

from agentic.errors import AgenticError
from agentic.simulation.batched import BatchSimulation
from agentic.simulation.families import get_family
from agentic.simulation.family_simulation import FamilySimulation
from agentic.simulation.interface import Simulation
from agentic.simulation.looped import LoopSimulation
from agentic.simulation.tasks import get_task, is_family


def make_simulation(task: str, num: int, threads: int = 0) -> Simulation:
    """Return `num` independent simulations of `task` that step together.

    Args:
      task: a task, for example "walker_run", or a task family, for example "point_mass_goal".
      num: how many simulations, at least 1.
      threads: number of threads; 0 picks a number that suits the amount of work, at most one per
        CPU. The results are the same bit for bit. Tasks whose model changes with every episode
        step in a loop and ignore it.

    Raises:
      AgenticError: unknown task, or `num` or `threads` out of range.
    """
    spec = get_task(task)
    if num < 1:
        raise AgenticError(f"num is {num}: a simulation needs at least 1 row")
    if threads < 0:
        raise AgenticError(f"threads is {threads}: it must be at least 0 (0 picks a number)")
    if is_family(task):
        return FamilySimulation(get_family(task), num, threads)
    if spec.fixed_model:
        return BatchSimulation(spec, num, threads)
    return LoopSimulation(spec, num)
