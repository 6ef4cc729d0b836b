"""`agentic experiment`: its output and its ends; cells are stubs, results are made up."""

import json
import shutil
from dataclasses import asdict
from pathlib import Path

import pytest
from support.command_line import fails, run
from support.tiny_experiment import cell, stub

from agentic.cli.experiment import run as run_experiment
from agentic.errors import AgenticError
from agentic.evaluation.condition import Condition
from agentic.evaluation.evaluate import Evaluation
from agentic.experiment.spec import Cell, load_experiment
from agentic.training.run import write_json, write_jsonl

ROOT = Path(__file__).parents[2]
LABELS = {"control": "action", "recompute_observations": False}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Return a function that writes an experiment of stubs; its run folders are tmp_path/runs."""
    root = tmp_path / "runs/asked"
    monkeypatch.chdir(tmp_path)

    def write(*names: str) -> Path:
        place = tmp_path / "asked"
        place.mkdir(exist_ok=True)
        cells = ", ".join(f"cell({name!r})" for name in names)
        text = "from support.tiny_experiment import cell, experiment\n"
        (place / "experiment.py").write_text(f"{text}EXPERIMENT = experiment({cells})\n")
        for name in names:
            if name.startswith("good"):
                finished(root / name)
        return place

    return write


def run_stubs(*arguments) -> None:
    """Run `agentic experiment run` with stubs in place of cells."""
    run_experiment([str(argument) for argument in arguments], stub(Path("runs/asked").resolve()))


def finished(place: Path, **document) -> None:
    """Leave in a run folder what training and evaluation leave, but for the state."""
    config = cell("any").config
    place.mkdir(parents=True)
    write_json(
        place / "config.json",
        {
            "task": config.task,
            "method": config.method,
            "seed": config.seed,
            **options_of(cell("any")),
            "data": {"fingerprint": "f", "returns": [1.0, 2.0], "source": "here", **LABELS},
            "commit": "c",
        }
        | document,
    )
    write_jsonl(place / "evaluation.jsonl", evaluation(2.0, config.method).records())
    write_jsonl(place / "metrics.jsonl", [{"step": 4, "loss": 0.5, "seconds": 1.0}])


def options_of(one: Cell) -> dict:
    """Return what a config.json says of a cell's options."""
    config = one.config
    return {**vars(config.course), "options": asdict(config.options), "from_data": {}}


def evaluation(level: float, method: str, **fields) -> Evaluation:
    import numpy as np

    table = level + np.arange(4.0).reshape(2, 2)
    shared = {"task": "cartpole_swingup", "step": 4, "episodes": 2}
    condition = Condition(method=method, **shared | fields)
    return Evaluation(condition, (0, 1), table, np.full((2, 2), 1000))


def test_a_run_ends_with_results_and_a_report(folder, capsys):
    place = folder("good-0", "good-1")
    run_stubs(place, "--jobs", 2)
    said = capsys.readouterr().out
    assert "good-0: begun" in said and "good-1: done (stub 0:02)" in said
    assert "asked/report.md (2 of 2 cells)" in said
    assert (place / "report.md").read_text() == "2 cells, 8 lines\n"
    run_stubs(place)
    assert "begun" not in capsys.readouterr().out


def test_failed_cells_are_named_with_their_logs(folder, capsys):
    place = folder("good-0", "bad-0", "bad-1")
    with pytest.raises(AgenticError) as error:
        run_stubs(place)
    said = str(error.value)
    assert said.startswith("2 failed: bad-0 (it is bad; log: runs/asked/bad-0/log.txt); bad-1 (")
    assert said.endswith("the same command tries them again.")
    assert (place / "report.md").read_text() == "1 cells, 4 lines\n"


def test_only_runs_what_it_names(folder, capsys):
    place = folder("good-0", "bad-0")
    run_stubs(place, "--only", "good-*")
    capsys.readouterr()
    assert run("experiment", "status", place) == 0
    said = capsys.readouterr().out
    assert "1 done, 1 missing; run folders in runs/asked" in said


def test_mistakes_are_one_sentence(folder, capsys, tmp_path):
    place = folder("good-0")
    assert "is not an experiment" in fails(capsys, "experiment", "run", tmp_path)
    assert "no cell matches 'x'" in fails(capsys, "experiment", "run", place, "--only", "x")
    assert "has no results yet" in fails(capsys, "experiment", "report", place)
    arguments = "experiment", "run", place, "--slurm.time", 9
    assert "add --launcher slurm" in fails(capsys, *arguments)
    arguments = "experiment", "run", place, "--launcher", "slurm", "--jobs", 2
    assert "--jobs is for local processes" in fails(capsys, *arguments)


def test_a_cell_that_is_held_ends_with_a_status_of_its_own(folder, capsys):
    from agentic.experiment.state import BUSY, held

    place = folder("good-0")
    with held(Path("runs/asked/good-0")):
        said = fails(capsys, "experiment", "cell", place, "good-0", code=BUSY)
    assert "another process is at work on runs/asked/good-0" in said


@pytest.mark.parametrize("name", ["sample", "recipe"])
def test_committed_results_give_the_committed_report(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    place = tmp_path / "experiments" / name
    shutil.copytree(ROOT / "experiments" / name, place)
    before = {path.name: path.read_bytes() for path in place.glob("*.[jm]*")}
    (place / "report.md").unlink()
    assert run("experiment", "report", place) == 0
    assert {path.name: path.read_bytes() for path in place.glob("*.[jm]*")} == before


def test_the_comparison_on_exorls_tasks_is_what_it_says():
    of = load_experiment(ROOT / "experiments/exorl")
    counts = {}
    for one in of.cells:
        assert one.name == f"{one.config.task}-{one.config.method}-{one.config.seed}"
        counts.setdefault(one.config.task, set()).add(one.config.seed)
    assert counts.pop("cartpole_swingup") == set(range(5))
    assert len(counts) == 6 and all(seeds == {0, 1, 2} for seeds in counts.values())
    assert len(of.cells) == 7 * (5 + 6 * 3)
    assert (of.episodes, of.seeds) == (4, tuple(range(16)))
    assert {of.needs(c) for c in of.cells} == {data.name for data in of.data}
    assert {c.config.task for c in of.cells if of.needs(c) == "walker_walk-rnd"} == {
        "walker_walk", "walker_run", "walker_stand",
    }  # fmt: skip
    for data in of.data:
        config = data.collection
        assert (config.explorer, config.total_steps, config.seed, config.envs) == (
            "rnd", 200_000, 0, 1,
        )  # fmt: skip
        assert data.published is not None


def test_the_comparison_reports_what_is_there_and_what_is_not(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    place = tmp_path / "experiments/exorl"
    place.mkdir(parents=True)
    shutil.copy(ROOT / "experiments/exorl/experiment.py", place)
    of = load_experiment(place)
    cells, records = [], []
    for one in of.cells:
        if one.config.task != "walker_run" or one.config.seed > 1:
            continue
        level = {"at": 30.0, "td3": 90.0, "bc": 10.0}.get(one.config.method, 31.0)
        line = {"cell": one.name, "training_seed": one.config.seed}
        for memory in one.memories:
            fields = {"memory": memory, "task": "walker_run"}
            measured = evaluation(level + one.config.seed, one.config.method, **fields)
            records += [line | record for record in measured.records()]
        cells.append(
            {
                "cell": one.name,
                "task": one.config.task,
                "method": one.config.method,
                "seed": one.config.seed,
                **options_of(one),
                "data": {"fingerprint": "f" * 20, "source": "walker_walk-rnd", **LABELS},
                "seconds": {"training": 60.0, "evaluation": 30.0},
                "loss": [[1, 2.0], [4, 1.0]],
                "commit": "abc",
                "machine": "m",
                "python": "3",
                "versions": {"jax": "1"},
            }
        )
    write_jsonl(place / "cells.jsonl", cells)
    write_jsonl(place / "results.jsonl", records)
    origin = {"kind": "collected", "command": "agentic collect walker_walk", "commit": "def"}
    returns = {"task": "walker_run", "fingerprint": "f" * 20, "returns": [20.0, 80.0]}
    write_jsonl(place / "data.jsonl", [returns | {"origin": origin}])
    assert run("experiment", "report", place) == 0
    text = (place / "report.md").read_text()
    assert "14 of 161 cells are done." in text
    assert "collected here, not ExoRL's: `agentic collect walker_walk` (commit `def`)" in text
    assert "7 of 21 cells are missing (walker_run-at-2 first)" in text
    assert (
        "and earns less than, TD3 (\N{MINUS SIGN}60 [\N{MINUS SIGN}61, \N{MINUS SIGN}59])" in text
    )
    assert "earns more than behaviour cloning (+20 [19, 21])" in text
    assert "`agentic experiment run experiments/exorl --only 'cheetah_run-*'`" in text
    assert "14 cells: commit `abc`; m; Python 3, jax 1" in text
    assert "| at | 2 | 60 | 30 |" in text
    for name in ("methods", "episodes", "training"):
        assert f"(walker_run-{name}.png)" in text
        assert (place / f"walker_run-{name}.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads((place / "data.jsonl").read_text())["returns"] == [20.0, 80.0]
