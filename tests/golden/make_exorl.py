"""Cut the golden excerpts `exorl_DOMAIN.npz` out of episodes of the original environments.

    python tests/golden/make_exorl.py REFERENCE

REFERENCE is the folder that AGENTIC_EXORL_REFERENCE names. An excerpt has K rows, each in both
control modes for every task: those with the largest and the smallest rewards, then evenly spaced
ones, so that no reward is constant.

    before   [K, P] float64   state one step earlier
    action   [K, A] float32   what led from it to
    physics  [K, P] float64   the state that is rewarded
    TASK__action, TASK__zero  [K] float64
"""

import sys
from pathlib import Path

import numpy as np

from agentic.simulation.tasks import TASKS

ROWS = 24


def excerpt(reference: Path, domain: str) -> dict[str, np.ndarray]:
    """Return the arrays of one domain's excerpt."""
    [path] = Path(reference, domain, "random", "buffer").glob("*.npz")
    episode, rewards = np.load(path), {}
    for task in sorted(Path(reference, "rewards").glob(f"{domain}_*.npz")):
        if TASKS[task.stem].domain == domain:
            for mode in ("action", "zero"):
                stored = np.load(task)[f"{path.stem}__control_{mode}"]
                rewards[f"{task.stem}__{mode}"] = stored
    rows = {1, len(episode["physics"]) - 1}
    for reward in rewards.values():
        order = 1 + np.argsort(reward[1:], kind="stable")
        rows |= {int(order[0]), int(order[-1]), int(order[-7])}
    for row in np.linspace(2, len(episode["physics"]) - 2, ROWS):
        if len(rows) < ROWS:
            rows.add(int(row))
    rows = np.array(sorted(rows))
    return {
        "before": episode["physics"][rows - 1],
        "action": episode["action"][rows],
        "physics": episode["physics"][rows],
    } | {name: reward[rows] for name, reward in rewards.items()}


def main() -> None:
    """Write one file per domain of the reference."""
    reference = Path(sys.argv[1])
    for domain in sorted({TASKS[path.stem].domain for path in (reference / "rewards").iterdir()}):
        np.savez_compressed(
            Path(__file__).with_name(f"exorl_{domain}.npz"), **excerpt(reference, domain)
        )


if __name__ == "__main__":
    main()
