"""What happens under a condition that a test adds to condition.py alone: noise on observations.

A script, run with the edited package on the path and a folder as its argument. It prints as JSON
what evaluation, records, labels and the command line made of the new field.
"""

import json
import sys
from pathlib import Path

import numpy as np
from support.short_episodes import TASK, run_folder, simulate

import agentic
from agentic.acting.policy import as_policy
from agentic.cli.evaluate import parse
from agentic.evaluation.run import EvaluationConfig, evaluate_run
from agentic.report.rows import rows_of
from agentic.report.runs import read_run

SEEDS = (3, 5)


class Leaning:
    """Leans against what it sees."""

    def reset(self):
        pass

    def act(self, observation):
        return -np.tanh(observation[:, :1])

    def observe(self, reward, done):
        pass


def forbidden(task, num):
    raise AssertionError("something was rolled out again")


def results(folder: Path, make_simulation=simulate, **fields):
    """Evaluate the run in `folder`, whose policy leans."""
    load = lambda *_: as_policy(Leaning())  # noqa: E731
    config = EvaluationConfig(seeds=SEEDS, **fields)
    return evaluate_run(folder, config, load_policy=load, make_simulation=make_simulation)[0]


def main(folder: Path) -> dict:
    path = run_folder(folder) / "evaluation.jsonl"
    plain = results(folder)
    # What was recorded before the field existed does not say it, and is not rolled out again.
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert {line.pop("observation_noise") for line in lines} == {0.0}
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    results(folder, forbidden)
    noisy = results(folder, observation_noise=0.5)
    results(folder, forbidden, observation_noise=0.5)
    options = {"seeds": SEEDS, "observation_noise": 0.5, "make_simulation": simulate}
    alone = agentic.evaluate(Leaning(), TASK, **options)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return {
        "records": [line.get("observation_noise") for line in lines],
        "changed": bool((plain.returns != noisy.returns).all()),
        "the same in Python": bool((alone.returns == noisy.returns).all()),
        "labels": [row.label for row in rows_of([read_run(folder)])[0]],
        "file": noisy.condition.file_name(),
        "flag": parse(["run", "--observation-noise", "0.5"]).observation_noise,
    }


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]))))
