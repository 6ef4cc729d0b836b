"""Make the sample data set: the learning history of one TD3 agent on cartpole_swingup.

    python data/sample/make.py            rebuild data/sample/buffer and data/sample/card.md
    python data/sample/make.py --check    rebuild elsewhere and compare every file with this folder

All settings live in recipe.toml. The run takes two to five minutes on one CPU core. Every random
number comes from the recipe's seed and the learner (learner.py) never rounds a sum, so that a
second run on the same versions gives the same bytes, whatever the processor's instruction set.

Axes: B batch, O observation, A action, T steps of an episode.
"""

import argparse
import hashlib
import importlib.metadata
import itertools
import os
import platform
import shutil
import sys
import tempfile
import time
import tomllib
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from learner import TD3, near_normal

with warnings.catch_warnings():
    # dm_control probes for a display that nothing here needs.
    warnings.filterwarnings("ignore", module="glfw")
    from dm_control import suite

HERE = Path(__file__).resolve().parent
SIZE_LIMIT = 3_000_000
TRANSITION = ("observation", "action", "reward")

Episode = dict[str, np.ndarray]


# ------------------------------------------------------------------------------ the simulation


def flatten(observation: dict[str, np.ndarray]) -> np.ndarray:
    """Return the suite's named observations as one float32 vector [O], in the suite's order."""
    return np.concatenate([np.ravel(part) for part in observation.values()]).astype(np.float32)


def play(environment, choose) -> Episode:
    """Return one episode in the ExoRL layout: row t is the state after step t.

    Args:
      environment: a dm_control suite environment.
      choose: function from an observation [O] to the action [A] that is executed and stored.

    Returns:
      Arrays with leading axis T + 1; row 0 is the reset, with zero action and zero reward.
    """
    action_size = environment.action_spec().shape[0]
    step = environment.reset()
    action = np.zeros(action_size, np.float32)
    rows = []
    while True:
        rows.append(
            {
                "observation": flatten(step.observation),
                "action": action,
                "reward": np.array([step.reward or 0.0], np.float32),
                "discount": np.array([1.0], np.float32),
                "physics": environment.physics.get_state().copy(),
            }
        )
        if step.last():
            return {key: np.stack([row[key] for row in rows]) for key in rows[0]}
        # Rounded to float32 before it is executed, so that the stored action is the real one.
        action = np.asarray(choose(rows[-1]["observation"]), np.float32)
        step = environment.step(action)


def draw_batches(
    episodes: list[Episode], rng: np.random.Generator, count: int, size: int
) -> Iterator[tuple[np.ndarray, ...]]:
    """Yield `count` batches of `size` transitions, drawn uniformly from all episodes so far.

    A batch is the arguments of `TD3.learn`. The episodes, at least one, have one length.
    """
    columns = [np.stack([episode[key] for episode in episodes]) for key in TRANSITION]
    observation, action, reward = (column.astype(np.float64) for column in columns)
    steps = reward.shape[1] - 1
    for _ in range(count):
        which, row = rng.integers(len(episodes), size=size), rng.integers(1, steps + 1, size=size)
        yield (
            observation[which, row - 1],
            action[which, row],
            reward[which, row],
            observation[which, row],
        )


def updates(recipe: dict) -> list[int]:
    """Return how many updates follow each episode: a ramp, none after the last."""
    first, last = recipe["agent"]["updates_per_episode"]
    gaps = recipe["collection"]["train_episodes"] - 1
    return [first + (last - first) * gap // (gaps - 1) for gap in range(gaps)] + [0]


def learning_history(recipe: dict) -> Iterator[Episode]:
    """Yield every episode of the agent's training, in order of collection."""
    collection, settings, seed = recipe["collection"], recipe["agent"], recipe["seed"]
    domain, task = recipe["task"].split("_", 1)
    environment = suite.load(domain, task, task_kwargs={"random": seed})
    size = environment.action_spec().shape
    rng = np.random.default_rng(seed)
    agent = TD3(settings, rng, flatten(environment.reset().observation).size, *size)
    episodes: list[Episode] = []
    for number, count in enumerate(updates(recipe)):

        def explore(observation: np.ndarray, number=number) -> np.ndarray:
            if number < collection["random_episodes"]:
                return rng.uniform(-1.0, 1.0, size)
            noise = collection["exploration_noise"] * near_normal(rng, size)
            return np.clip(agent.act(observation.astype(np.float64)) + noise, -1.0, 1.0)

        episodes.append(play(environment, explore))
        yield episodes[-1]
        for batch in draw_batches(episodes, rng, count, settings["batch_size"]):
            agent.learn(*batch)


# --------------------------------------------------------------------------- files and the card


def check_versions(wanted: dict[str, str]) -> None:
    """Exit with a sentence where an installed version is not the recipe's."""
    for name, version in wanted.items():
        installed = (
            ".".join(platform.python_version_tuple()[:2])
            if name == "python"
            else importlib.metadata.version(name)
        )
        if installed != version:
            sys.exit(
                f"{name} {installed} is installed but recipe.toml names {version}, and other "
                f"versions may give other bytes: install {version}, or change recipe.toml."
            )


def sha256(*parts: bytes) -> str:
    """Return the hexadecimal SHA-256 of the concatenated parts."""
    return hashlib.sha256(b"".join(parts)).hexdigest()


def table(header: list[str], rows: list[list]) -> str:
    """Return a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def write_card(recipe: dict, numbers: list[int], paths: list[Path]) -> str:
    """Return the text of card.md, counted from the written files alone.

    Args:
      recipe: the parsed recipe.toml.
      numbers: for each path, the index of its episode in the whole training history.
      paths: the stored episodes, in order of collection.
    """
    collection, agent = recipe["collection"], recipe["agent"]
    first, last = agent["updates_per_episode"]
    episodes = [dict(np.load(path)) for path in paths]
    blobs = [path.read_bytes() for path in paths]
    returns = np.array([episode["reward"].sum(dtype=np.float64) for episode in episodes])
    steps = len(episodes[0]["reward"]) - 1
    arrays = [[key, value.dtype, list(value.shape)] for key, value in episodes[0].items()]
    levels = [0, 10, 25, 50, 75, 90, 100]
    quantiles = [f"{value:.1f}" for value in np.percentile(returns, levels)]
    edges = [0, 100, 300, 500, 700, steps]
    counts = np.histogram(returns, edges)[0]
    every = collection["keep_every"]
    files = [
        [path.name, number, f"{value:.2f}", sha256(blob)]
        for path, number, value, blob in zip(paths, numbers, returns, blobs, strict=True)
    ]
    return f"""# Sample: a learning history on {recipe["task"]}

Written by `make.py`; do not edit. The settings are in `recipe.toml`.

**What.** {len(paths)} episodes of {steps} steps ({len(paths) * steps:,} steps, \
{sum(map(len, blobs)):,} bytes) of the DeepMind Control task {recipe["task"]}, in the ExoRL \
format, in order of collection. They are real simulation: the exploration of one agent that learns \
the task from nothing, from random play to near the best possible.

**Who and how.** This project made them with its own script; nothing was downloaded, so \
they share the project's licence. The agent is TD3 (Fujimoto et al. 2018, arXiv 1802.09477) with \
two hidden layers of {agent["width"]}, learning rate {agent["learning_rate"]}, and {first} (at \
first) to {last} (at the end) updates of batch {agent["batch_size"]} after each episode, so that \
the climb is gradual. It collected {collection["train_episodes"]} episodes: \
{collection["random_episodes"]} of uniformly random actions, then its own actions plus \
near-Gaussian noise of standard deviation {collection["exploration_noise"]}, clipped to [-1, 1]. \
The noise is part of the stored action. Sums in its learner are never rounded (`learner.py`), so \
that every processor computes the same bits.

**Which episodes.** Every {every}th of the history (numbers {numbers[0]}, {numbers[1]}, ..., \
{numbers[-1]}, counted from 0), whatever their return.

**Versions.** {", ".join(f"{name} {version}" for name, version in recipe["versions"].items())}; \
seed {recipe["seed"]}. `python data/sample/make.py --check` repeats the run and compares the bytes.

## Arrays of an episode

{table(["key", "dtype", "shape"], arrays)}

Row t is the state after step t and the action that led to it. Row 0 is the reset: zero action, \
zero reward. `discount` is 1 everywhere, since episodes end by the time limit alone. `physics` is \
the simulator's state (position, velocity).

## Returns

The return is the sum of the stored rewards, which are the environment's own. Mean \
{returns.mean():.1f}, standard deviation {returns.std():.1f}.

{table([f"{level} %" for level in levels], [quantiles])}

{table([f"{low} to {high}" for low, high in itertools.pairwise(edges)], [counts])}

## Limits

- One task, one agent, one seed: enough to try every part of the toolkit, too little to rank \
methods.
- The agent's settings and seed were chosen so that the returns spread evenly from low to high; \
single episodes were not chosen.
- Neighbouring episodes come from similar policies, so they are not independent draws.
- Observations and actions are float32, rewards too; only `physics` is float64.
- The bytes are promised for the versions above on x86-64, and were seen the same with OpenBLAS's \
kernels for several kinds of processor. The simulator's sine and cosine come from the system's C \
library; another may round them differently, and learning amplifies the difference.

## Files

All files: `{sha256(*blobs)}` (SHA-256 of the files' bytes, one after the other).

{table(["file", "episode of the history", "return", "SHA-256"], files)}
"""


def build(recipe: dict, folder: Path) -> None:
    """Run the training and write buffer/ and card.md into `folder`."""
    collection = recipe["collection"]
    total, every = collection["train_episodes"], collection["keep_every"]
    numbers, paths = list(range(every - 1, total, every)), []
    (folder / "buffer").mkdir(parents=True)
    start = time.monotonic()
    for number, episode in enumerate(learning_history(recipe)):
        if number in numbers:
            steps = len(episode["reward"]) - 1
            paths.append(folder / "buffer" / f"episode_{len(paths):06d}_{steps}.npz")
            np.savez_compressed(paths[-1], **episode)
        elapsed = time.monotonic() - start
        print(
            f"\repisode {number + 1}/{total}  return {episode['reward'].sum():5.1f}  "
            f"{elapsed:.0f} s, {elapsed / (number + 1) * (total - number - 1):.0f} s to go   ",
            end="",
            flush=True,
        )
    print()
    (folder / "card.md").write_text(write_card(recipe, numbers, paths))
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    if size > SIZE_LIMIT:
        sys.exit(f"The sample has {size:,} bytes but at most {SIZE_LIMIT:,}: raise keep_every.")


def differences(made: Path, kept: Path) -> list[str]:
    """Return the names of files that are not the same bytes in both folders."""

    def hashes(folder: Path) -> dict[str, str]:
        paths = [folder / "card.md", *(folder / "buffer").glob("*")]
        return {
            str(path.relative_to(folder)): sha256(path.read_bytes())
            for path in paths
            if path.is_file()
        }

    a, b = hashes(made), hashes(kept)
    return sorted(name for name in a.keys() | b.keys() if a.get(name) != b.get(name))


def install(made: Path, out: Path) -> None:
    """Move a finished sample into `out`, in place of an older one."""
    shutil.rmtree(out / "buffer", ignore_errors=True)
    os.replace(made / "buffer", out / "buffer")
    os.replace(made / "card.md", out / "card.md")


def main() -> None:
    """Build the sample, and either put it in place or compare it with what is there."""
    parser = argparse.ArgumentParser(description="Make or check the sample data set.")
    parser.add_argument("--out", type=Path, default=HERE, help="folder (default: this script's)")
    parser.add_argument("--check", action="store_true", help="rebuild and compare, change nothing")
    arguments = parser.parse_args()
    recipe = tomllib.loads((HERE / "recipe.toml").read_text())
    check_versions(recipe["versions"])
    arguments.out.mkdir(parents=True, exist_ok=True)
    # Beside the target, so that the final rename stays on one file system.
    parent = None if arguments.check else arguments.out
    with tempfile.TemporaryDirectory(prefix=".making-", dir=parent) as name:
        made = Path(name)
        build(recipe, made)
        if not arguments.check:
            install(made, arguments.out)
            print(f"wrote {arguments.out}")
        elif names := differences(made, arguments.out):
            sys.exit(f"{len(names)} files differ from {arguments.out}: {', '.join(names)}")
        else:
            print(f"every file is the same as in {arguments.out}")


if __name__ == "__main__":
    main()
