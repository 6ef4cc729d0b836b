"""Make the sample data set: the learning history of one TD3 agent on cartpole_swingup.

    python data/sample/make.py            rebuild data/sample/buffer and data/sample/card.md
    python data/sample/make.py --check    rebuild elsewhere and compare every file with this folder

All settings live in recipe.toml. The run takes two to five minutes on one CPU core. Every random
number comes from the recipe's seed and the numerical code runs on one thread, so that a second run
on the same versions and processor gives the same bytes. On another kind of processor it may not:
there the learner's sums can be rounded in another order, and learning magnifies that. The
committed files came from one kind; on an AMD EPYC (Zen 4) two runs agree with each other and from
the first learned episode on differ from them.

Axes: U updates, B batch, O observation, A action, T steps of an episode.
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
from typing import Any, NamedTuple

# Read once, when jax is imported. One thread fixes the order of every sum; the limit on the
# instruction set keeps a processor with wider vectors from rounding differently.
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["XLA_FLAGS"] = (
    "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1 --xla_cpu_max_isa=AVX2"
)

import jax
import jax.numpy as jnp
import numpy as np
import optax

with warnings.catch_warnings():
    # dm_control probes for a display that nothing here needs.
    warnings.filterwarnings("ignore", module="glfw")
    from dm_control import suite

HERE = Path(__file__).resolve().parent
SIZE_LIMIT = 3_000_000
BLOCK = 50  # updates in one compiled call
TRANSITION = ("observation", "action", "reward")

Params = dict[str, Any]
Episode = dict[str, np.ndarray]


class Agent(NamedTuple):
    """Everything that learning changes."""

    actor: Params
    critics: Params  # two critics stacked on the leading axis
    target_actor: Params
    target_critics: Params
    actor_state: optax.OptState
    critic_state: optax.OptState


# ------------------------------------------------------------------------------- the agent: TD3


def init_network(key: jax.Array, sizes: tuple[int, int, int, int]) -> Params:
    """Return weights of a network with two hidden layers, uniform within 1 / sqrt(fan-in)."""
    params: Params = {}
    for layer, (fan_in, fan_out) in enumerate(itertools.pairwise(sizes)):
        key, subkey = jax.random.split(key)
        bound = fan_in**-0.5
        params[f"w{layer}"] = jax.random.uniform(subkey, (fan_in, fan_out), minval=-1.0) * bound
        params[f"b{layer}"] = jnp.zeros(fan_out)
    return params


def apply_network(params: Params, x: jax.Array) -> jax.Array:
    """Return the network's output; layer norm and tanh follow the first layer, relu the second."""
    h = x @ params["w0"] + params["b0"]
    h = jnp.tanh(jax.nn.standardize(h, axis=-1, epsilon=1e-5))
    h = jax.nn.relu(h @ params["w1"] + params["b1"])
    return h @ params["w2"] + params["b2"]


def act(actor: Params, observation_O: jax.Array) -> jax.Array:
    """Return the agent's action in [-1, 1], without exploration noise."""
    return jnp.tanh(apply_network(actor, observation_O))


def value(critic: Params, observation_BxO: jax.Array, action_BxA: jax.Array) -> jax.Array:
    """Return one critic's estimate of the discounted return, shape [B]."""
    return apply_network(critic, jnp.concatenate([observation_BxO, action_BxA], axis=-1))[:, 0]


values = jax.vmap(value, in_axes=(0, None, None))


def make_agent(settings: dict, seed: int, observation_size: int, action_size: int):
    """Return the untrained agent, its acting function and its learning function.

    Args:
      settings: the recipe's [agent] table.
      seed: seed of the initial weights.
      observation_size: O.
      action_size: A.

    Returns:
      An `Agent`, `act(actor, observation_O) -> action_A`, and
      `learn(agent, batches, noise_UxBxA) -> agent`, where `batches` holds the arrays observation,
      action, reward and next_observation with leading axes [U, B].
    """
    width = settings["width"]
    actor_key, critic_key = jax.random.split(jax.random.key(seed))
    actor = init_network(actor_key, (observation_size, width, width, action_size))
    critics = jax.vmap(
        lambda key: init_network(key, (observation_size + action_size, width, width, 1))
    )(jax.random.split(critic_key))
    optimiser = optax.adam(settings["learning_rate"])
    agent = Agent(actor, critics, actor, critics, optimiser.init(actor), optimiser.init(critics))

    def critic_loss(critics: Params, agent: Agent, batch: Params, noise_BxA: jax.Array):
        clip = settings["target_noise_clip"]
        noise_BxA = jnp.clip(noise_BxA * settings["target_noise"], -clip, clip)
        next_action = act(agent.target_actor, batch["next_observation"]) + noise_BxA
        next_value = values(
            agent.target_critics, batch["next_observation"], jnp.clip(next_action, -1.0, 1.0)
        ).min(axis=0)
        # No terminal term: episodes end by the time limit alone.
        target = batch["reward"][:, 0] + settings["discount"] * next_value
        error = values(critics, batch["observation"], batch["action"]) - target
        return jnp.square(error).mean(axis=-1).sum()

    def actor_loss(actor: Params, critics: Params, observation_BxO: jax.Array):
        first = jax.tree.map(lambda leaf: leaf[0], critics)
        return -value(first, observation_BxO, act(actor, observation_BxO)).mean()

    def critic_step(agent: Agent, inputs):
        batch, noise_BxA = inputs
        gradient = jax.grad(critic_loss)(agent.critics, agent, batch, noise_BxA)
        change, state = optimiser.update(gradient, agent.critic_state)
        return agent._replace(
            critics=optax.apply_updates(agent.critics, change), critic_state=state
        ), None

    def step(agent: Agent, inputs):
        """Two updates of the critics and one of the actor and the targets (policy delay 2)."""
        agent, _ = jax.lax.scan(critic_step, agent, inputs)
        last_observation_BxO = inputs[0]["observation"][-1]
        gradient = jax.grad(actor_loss)(agent.actor, agent.critics, last_observation_BxO)
        change, state = optimiser.update(gradient, agent.actor_state)
        actor = optax.apply_updates(agent.actor, change)
        rate = settings["target_rate"]
        return agent._replace(
            actor=actor,
            actor_state=state,
            target_actor=optax.incremental_update(actor, agent.target_actor, rate),
            target_critics=optax.incremental_update(agent.critics, agent.target_critics, rate),
        ), None

    @jax.jit
    def learn(agent: Agent, batches: Params, noise_UxBxA: jax.Array) -> Agent:
        pairs = jax.tree.map(
            lambda leaf: leaf.reshape(-1, 2, *leaf.shape[1:]), (batches, noise_UxBxA)
        )
        return jax.lax.scan(step, agent, pairs)[0]

    return agent, jax.jit(act), learn


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
    episodes: list[Episode], rng: np.random.Generator, shape: tuple[int, int, int]
) -> Iterator[Params]:
    """Yield blocks of transitions, drawn uniformly from all episodes so far.

    Args:
      episodes: at least one episode, all of one length.
      rng: source of the draws.
      shape: number of blocks, U and B; each block has the leading axes [U, B].
    """
    columns = {key: np.stack([episode[key] for episode in episodes]) for key in TRANSITION}
    steps = columns["reward"].shape[1] - 1
    for _ in range(shape[0]):
        which = rng.integers(len(episodes), size=shape[1:])
        row = rng.integers(1, steps + 1, size=shape[1:])
        batch = {key: column[which, row] for key, column in columns.items()}
        batch["next_observation"] = batch["observation"]
        yield batch | {"observation": columns["observation"][which, row - 1]}


def update_blocks(recipe: dict) -> list[int]:
    """Return how many blocks of updates follow each episode: a ramp, none after the last."""
    first, last = recipe["agent"]["updates_per_episode"]
    ramp = np.linspace(first, last, recipe["collection"]["train_episodes"])
    return [*np.round(ramp[:-1] / BLOCK).astype(int).tolist(), 0]


def learning_history(recipe: dict) -> Iterator[Episode]:
    """Yield every episode of the agent's training, in order of collection."""
    collection, settings, seed = recipe["collection"], recipe["agent"], recipe["seed"]
    domain, task = recipe["task"].split("_", 1)
    environment = suite.load(domain, task, task_kwargs={"random": seed})
    action_size = environment.action_spec().shape[0]
    observation_size = flatten(environment.reset().observation).size
    agent, act, learn = make_agent(settings, seed, observation_size, action_size)
    rng = np.random.default_rng(seed)
    episodes: list[Episode] = []
    for number, blocks in enumerate(update_blocks(recipe)):

        def explore(observation: np.ndarray, number=number, actor=agent.actor) -> np.ndarray:
            if number < collection["random_episodes"]:
                return rng.uniform(-1.0, 1.0, action_size)
            noise = collection["exploration_noise"] * rng.standard_normal(action_size)
            return np.clip(np.asarray(act(actor, observation)) + noise, -1.0, 1.0)

        episodes.append(play(environment, explore))
        yield episodes[-1]
        for batches in draw_batches(episodes, rng, (blocks, BLOCK, settings["batch_size"])):
            noise = rng.standard_normal((BLOCK, settings["batch_size"], action_size), np.float32)
            agent = learn(agent, batches, noise)


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
{collection["random_episodes"]} of uniformly random actions, then its own actions plus Gaussian \
noise of standard deviation {collection["exploration_noise"]}, clipped to [-1, 1]. The noise is \
part of the stored action.

**Which episodes.** Every {every}th of the history (numbers {numbers[0]}, {numbers[1]}, ..., \
{numbers[-1]}, counted from 0), whatever their return.

**Versions.** {", ".join(f"{name} {version}" for name, version in recipe["versions"].items())}; \
seed {recipe["seed"]}. `python data/sample/make.py --check` repeats the run and compares the \
bytes, which agree on the same kind of processor.

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
- The bytes are promised for the versions above on x86-64. Another compiler, maths library or \
processor may round differently, and learning amplifies the difference.

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
            sys.exit(
                f"{len(names)} files differ from {arguments.out}: {', '.join(names)}\n"
                "another kind of processor rounds differently, and learning magnifies that."
            )
        else:
            print(f"every file is the same as in {arguments.out}")


if __name__ == "__main__":
    main()
