"""Do the stored actions lead from one stored state to the next? Some steps are simulated again.

    stored     p_t -- a_t --> p_t+1        off = |simulated - p_t+1| / |p_t+1 - p_t|
    simulated  p_t -- a_t --> ?            every coordinate in units of its usual change

Data that this version of MuJoCo recorded are off by rounding, 1e-15 in the median. Other versions
differ a little. Actions that are shifted by one row are off by 0.2 (smooth) to 1 (random).
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from agentic import simulation
from agentic.dataset.episodes import tasks_of_widths
from agentic.simulation.tasks import base_task

# How far off the median step of an episode may be, in steps' changes: between what versions of
# MuJoCo differ by and what wrong actions make.
TOLERANCE = 0.05
EPISODES, STEPS = 32, 16


class RecordedSteps(NamedTuple):
    """Some steps of one episode, and the actions of the rows before and after them.

    name: of the episode, for people; states and next_states [n, P]; actions, before, after [n, A].
    """

    name: str
    states: np.ndarray
    actions: np.ndarray
    before: np.ndarray
    after: np.ndarray
    next_states: np.ndarray


def simulators(widths: dict[str, int]) -> tuple[str, ...]:
    """Return the tasks that may have recorded arrays of these widths.

    Observations of another width are another version's; states and actions tell enough.
    """
    others = {key: width for key, width in widths.items() if key != "observation"}
    return tasks_of_widths(widths) or tasks_of_widths(others)


class Replayed(NamedTuple):
    """How far simulated steps are off the stored ones.

    steps: how many were simulated; median and largest, of how far they are off; problems, a
    sentence for the episodes whose actions do not fit.
    """

    steps: int
    median: float
    largest: float
    problems: tuple[str, ...]

    def __str__(self) -> str:
        return (
            f"{self.steps} steps simulated again from their stored states are off by "
            f"{self.median:.1g} of a step's change in the median, {self.largest:.1g} at most "
            f"(an episode's median may be {TOLERANCE})"
        )


def sample(count: int, most: int = EPISODES) -> list[int]:
    """Return which of `count` episodes to replay, `most` at most, with the first and the last."""
    return sorted({round(index) for index in np.linspace(0, count - 1, min(count, most))})


def recorded_steps(name: str, physics: np.ndarray, actions: np.ndarray) -> RecordedSteps:
    """Return the steps to replay of an episode with physics [T + 1, P] and actions [T, A]."""
    last = len(actions) - 1
    # Not the first and the last step where there are others, so that they have neighbours.
    first, end = min(1, last), max(last - 1, min(1, last))
    at = np.unique(np.linspace(first, end, STEPS).round().astype(int))
    before, after = np.maximum(at - 1, 0), np.minimum(at + 1, last)
    arrays = physics[at], actions[at], actions[before], actions[after], physics[at + 1]
    return RecordedSteps(name, *map(np.array, arrays))


def replay(steps: Sequence[RecordedSteps], tasks: Sequence[str]) -> Replayed | None:
    """Simulate some steps of every episode again.

    Args:
        steps: of a few episodes of a data set, as `sample` draws them.
        tasks: tasks or families whose simulator may have recorded them; the one that fits best is
            taken.

    Returns:
        How far off they are, or None where the model of their task changes with every episode.
    """
    fixed = [task for task in tasks if base_task(task).fixed_model]
    if not steps or not fixed:
        return None
    best, task, off = np.inf, "", []
    for candidate in fixed:
        tried = _how_far_off(candidate, steps, lambda each: each.actions)
        median = float(np.median(np.concatenate(tried)))
        if median < best or not task:
            best, task, off = median, candidate, tried
        if best <= TOLERANCE:
            break
    bad = [each for each, far in zip(steps, off, strict=True) if np.median(far) > TOLERANCE]
    if bad and len(fixed) < len(tasks):
        # They may come from a task whose model changes with every episode.
        return None
    problems = (_problem(task, bad, len(steps)),) if bad else ()
    together = np.concatenate(off)
    return Replayed(len(together), best, float(together.max()), problems)


def _how_far_off(
    task: str, episodes: Sequence[RecordedSteps], action: Callable[[RecordedSteps], np.ndarray]
) -> list[np.ndarray]:
    """Return for each episode how far every step is off, with the actions that `action` takes."""
    state = np.concatenate([episode.states for episode in episodes])
    stored = np.concatenate([episode.next_states for episode in episodes])
    simulated = simulation.next_states(task, state, np.concatenate([action(e) for e in episodes]))
    # Odd states may lead to infinite ones.
    with np.errstate(over="ignore", invalid="ignore"):
        change = stored - state
        unit = np.maximum(np.sqrt(np.mean(change**2, axis=0)), 1e-6)
        size = np.linalg.norm(change / unit, axis=1)
        # A step that hardly changes anything is measured by one that changes a little.
        least = 0.1 * len(unit) ** 0.5
        off = np.linalg.norm((simulated - stored) / unit, axis=1) / np.maximum(size, least)
    off = np.clip(np.nan_to_num(off, nan=np.inf), 0.0, 1e9)
    return np.split(off, np.cumsum([len(episode.states) for episode in episodes])[:-1])


def _problem(task: str, bad: Sequence[RecordedSteps], count: int) -> str:
    """Return the sentence on the episodes whose actions do not fit, and what would."""
    own, before, after = (
        float(np.median(np.concatenate(_how_far_off(task, bad, action))))
        for action in (lambda e: e.actions, lambda e: e.before, lambda e: e.after)
    )
    why = "the actions, the states or the simulator are not those that were recorded together"
    for shifted, row in ((before, "before"), (after, "after")):
        if shifted < min(TOLERANCE, own / 4):
            why = f"with the action of the row {row} it is {shifted:.1g}: the actions are shifted"
    return (
        f"{len(bad)} of {count} replayed episodes have actions that do not lead from one stored "
        f"state to the next (first: {bad[0].name}): steps of {task} are off by {own:.2g} of their "
        f"change in the median, and {TOLERANCE} is allowed; {why}."
    )
