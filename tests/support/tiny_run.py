"""The smallest run that the command line makes, and how golden/earlier_run was made with it.

    python -m support.tiny_run FOLDER   (in tests)

was called once, before modules changed their places (commit 62a437a). It must not be called again
to make a test pass: what the tests ask is whether runs from then still live.
"""

import json
import shutil
import sys
from contextlib import chdir
from pathlib import Path

import numpy as np
from support.command_line import run

TASK, DATA = "cartpole_swingup", "episodes"
STEPS, SAVED = 5, 3
SHARED = ("--steps", STEPS, "--checkpoint-every", SAVED, "--log-every", 1, "--width", 8)
# --batch-size said what --batch-trajectories says when golden/earlier_run was made.
OPTIONS = {
    # Without dropout, whose masks are drawn in another way than they were then.
    "at": (
        *SHARED, "--layers", 1, "--action-chunk", 10, "--trajectories", 2,
        "--batch-trajectories", 2, "--dropout", 0.0,
    ),
    "td3": (*SHARED, "--batch-size", 4),
}  # fmt: skip
EPISODE = ("--seeds", 3, "--episodes", 1)


def write_episodes(folder: Path) -> None:
    """Write two short episodes in ExoRL's format whose labels are the same on every machine.

    The pole stands upright and still at the origin, so that the reward is a polynomial of the
    action; all values are fractions of integers, and no function is used that rounds at will.
    """
    folder.mkdir()
    for index, (steps, largest) in enumerate([(40, 1.0), (30, 0.5)]):
        rows = steps + 1
        values = (np.arange(rows * 6) * 7919 + index) % 1009 / 504 - 1
        values = values.reshape(rows, 6).clip(-1, 1).astype(np.float32)
        np.savez(
            folder / f"episode_{index:06}_{steps}.npz",
            observation=values[:, :5],
            action=values[:, 5:] * np.float32(largest),
            reward=np.zeros((rows, 1), np.float32),
            discount=np.ones((rows, 1), np.float32),
            physics=np.zeros((rows, 4)),
        )


def train(method: str, *more: str) -> None:
    """Train in the folder of the method's name, on the episodes beside it."""
    arguments = (TASK, "--method", method, "--data", DATA, "--out", method, *OPTIONS[method], *more)
    assert run("train", *arguments) == 0


def make_earlier(home: Path) -> None:
    """Write a run of each method as if it had been stopped at step 3, and its metrics to the end.

    METHOD/        config.json, metrics.jsonl, checkpoints/3, evaluation.jsonl of one episode
    METHOD.jsonl   metrics.jsonl of the same run when nothing stops it
    """
    home.mkdir()
    with chdir(home):
        write_episodes(Path(DATA))
        for method in OPTIONS:
            folder = Path(method)
            train(method)
            lines = (folder / "metrics.jsonl").read_text().splitlines(keepends=True)
            Path(f"{method}.jsonl").write_text("".join(lines))
            kept = [line for line in lines if json.loads(line)["step"] <= SAVED]
            (folder / "metrics.jsonl").write_text("".join(kept))
            shutil.rmtree(folder / "checkpoints" / str(STEPS))
            assert run("evaluate", folder, *EPISODE) == 0
            for events in folder.glob("events.*"):
                events.unlink()
            # The one file that names the folder it was made in, for people.
            note = folder / "checkpoints" / str(SAVED) / "commit_success.txt"
            note.write_text(note.read_text().replace(f"{folder.resolve()}/", ""))
        shutil.rmtree(DATA)


if __name__ == "__main__":
    make_earlier(Path(sys.argv[1]))
