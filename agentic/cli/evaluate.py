"""`agentic evaluate`."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

import tyro

from agentic.acting import RandomPolicy
from agentic.cli.terminal import console, progress, protocol_table
from agentic.dataset import load_dataset
from agentic.evaluation import MEMORIES, Evaluation, Memory
from agentic.evaluation import evaluate as roll_out
from agentic.experiment import latest_step, load_policy
from agentic.protocol import summarise
from agentic.run_folder import read_config, record_evaluation
from agentic.simulation.tasks import get_task

# Reported seeds start here; nothing is tuned on them.
SEEDS = tuple(range(16))


def evaluate(arguments: Sequence[str]) -> None:
    """Parse and run."""

    def command(
        run: tyro.conf.Positional[Path],
        /,
        episodes: int | None = None,
        seeds: tuple[int, ...] = SEEDS,
        target_return: float | None = None,
        memory: Annotated[
            tuple[Memory, ...],
            tyro.conf.arg(help="; ".join(f"{k}: {v}" for k, v in MEMORIES.items())),
        ] = ("kept",),
        random_policy: bool = False,
        checkpoint: int | None = None,
        data: str | None = None,
        cache_dtype: Literal["float32", "bfloat16"] | None = None,
    ) -> None:
        """Roll a trained policy out in simulation and record every episode in evaluation.jsonl.

        Args:
            run: run folder of `agentic train`.
            episodes: episodes in one context; by default as many as in a training chain.
            seeds: one context each.
            target_return: return to condition on; by default the data set's best.
            memory: what the policy keeps between episodes; several are evaluated in turn.
            random_policy: evaluate uniformly random actions as well, on the same seeds.
            checkpoint: step of the checkpoint; by default the newest.
            data: where the training data lies now, for `--memory random`.
            cache_dtype: what the context is kept in; by default as the policy computes.
        """
        evaluate_run(
            run,
            episodes,
            seeds,
            target_return,
            memory,
            random_policy,
            checkpoint,
            data,
            cache_dtype,
        )

    tyro.cli(command, prog="agentic evaluate", args=arguments)


def evaluate_run(
    run: Path,
    episodes: int | None = None,
    seeds: Sequence[int] = SEEDS,
    target_return: float | None = None,
    memories: Sequence[Memory] = ("kept",),
    random_policy: bool = False,
    step: int | None = None,
    data: str | None = None,
    cache_dtype: str | None = None,
) -> None:
    """Evaluate behind progress bars, record the episodes and print the protocol table."""
    document = read_config(run)
    task = document["task"]
    policy = load_policy(run, step, cache_dtype)
    if target_return is not None:
        policy.target_return = target_return
    dataset = None
    if "random" in memories:
        dataset = load_dataset(
            data or document["data"]["source"],
            task,
            document["data"]["control"],
            recompute_observations=document["experiment"].get("recompute_observations", False),
        )
    results: list[tuple[str, Evaluation]] = []
    for memory in memories:
        with _bar(f"evaluating, {memory}", len(seeds)) as advance:
            result = roll_out(policy, task, episodes, seeds, memory, dataset, advance)
        results.append((document["method"], result))
    if random_policy:
        count = results[0][1].returns.shape[1]
        with _bar("random actions", len(seeds)) as advance:
            uniform = RandomPolicy(get_task(task).action_size, tuple(seeds))
            results.append(("random", roll_out(uniform, task, count, seeds, progress=advance)))
    source = {"step": step or latest_step(run), "target_return": policy.target_return}
    for method, result in results:
        record_evaluation(run, result.records(method=method, **source))
    rows = {
        f"{method}, {result.memory}" if method != "random" else method: summarise(result.returns)
        for method, result in results
    }
    returns = document["data"]["returns"]
    console.print(
        protocol_table(
            f"{task}: return of {result.returns.shape[1]} episodes in {len(seeds)} contexts",
            rows,
            "mean and its 95 % bootstrap interval over contexts; best: the largest of a context's "
            f"episodes. Data: mean {sum(returns) / len(returns):.0f}, best {max(returns):.0f}; "
            f"target return {policy.target_return:.0f}.",
        )
    )


@contextmanager
def _bar(what: str, contexts: int) -> Iterator[Callable[[int, int], None]]:
    """Show the environment steps of all contexts, given the steps of each."""
    with progress(what, "steps") as advance:
        yield lambda done, total: advance(done * contexts, total * contexts)
