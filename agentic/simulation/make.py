"""The choice between the two implementations of a simulation: batched or looped."""

from agentic.errors import AgenticError
from agentic.simulation.batched import BatchSimulation
from agentic.simulation.interface import Simulation
from agentic.simulation.looped import LoopSimulation
from agentic.simulation.tasks import get_task


def make_simulation(task: str, num: int, threads: int = 0) -> Simulation:
    """Return `num` independent simulations of `task` that step together.

    Args:
      task: a task name, for example "walker_run".
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
    if spec.fixed_model:
        return BatchSimulation(spec, num, threads)
    return LoopSimulation(spec, num)
