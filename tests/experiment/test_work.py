"""The work of one cell, from data to report: interrupted, resumed, failed, written again."""

import json
import shutil
import signal
from functools import partial

import pytest
from support.short_episodes import ShortEpisodes
from support.tiny_experiment import cell, collected, experiment

from agentic import sample_directory
from agentic.dataset.episodes import list_episodes
from agentic.errors import AgenticError
from agentic.evaluation.run import evaluate_run
from agentic.experiment.results import read_results, update_results
from agentic.experiment.state import Tracker, read_state
from agentic.experiment.work import work
from agentic.interruption import Interrupted

evaluate_short = partial(evaluate_run, make_simulation=lambda task, num: ShortEpisodes(num))


@pytest.fixture(scope="module")
def of(tmp_path_factory):
    """An experiment on three episodes of the sample: one cell with random actions, one that
    cannot succeed, and one that never ran."""
    data = tmp_path_factory.mktemp("episodes")
    for path in list_episodes(sample_directory())[::20]:
        shutil.copy(path, data)
    return experiment(
        cell("td3-0", str(data), steps=6, random_policy=True),
        cell("bad-0", str(data / "nothing")),
        cell("never-0", str(data), seed=1),
    )


@pytest.fixture(scope="module")
def finished(of, tmp_path_factory):
    """A root where the first cell was interrupted, gone on with and done, with its states."""
    root, states, asked = tmp_path_factory.mktemp("root"), [], []

    class Interrupting(Tracker):
        """Asks for the end at the first record of training."""

        def advance(self, step, of, note=""):
            super().advance(step, of, note)
            if not asked:
                asked.append(step)
                signal.raise_signal(signal.SIGINT)

    # Asked for at the record of step 2, and met at that of step 4.
    with pytest.raises(Interrupted):
        work(of, "td3-0", root, evaluate_short, Interrupting)
    states.append(read_state(root / "td3-0"))
    work(of, "td3-0", root, evaluate_short)
    states.append(read_state(root / "td3-0"))
    return root, states


def test_an_interrupted_cell_says_so_and_goes_on(finished):
    _, (stopped, done) = finished
    assert (stopped.state, stopped.part) == ("stopped", "training")
    assert "resume goes on from there" in stopped.why
    assert (done.state, done.part) == ("done", "evaluation")
    assert done.seconds["training"] > stopped.seconds["training"] > 0
    assert done.seconds["evaluation"] > 0


def test_a_finished_cell_is_not_touched(finished, of):
    root, _ = finished
    before = {path: path.stat().st_mtime_ns for path in (root / "td3-0").rglob("*")}
    work(of, "td3-0", root, evaluate_short)
    assert before == {path: path.stat().st_mtime_ns for path in (root / "td3-0").rglob("*")}


def test_a_failure_is_written_down(of, tmp_path):
    with pytest.raises(AgenticError):
        work(of, "bad-0", tmp_path)
    state = read_state(tmp_path / "bad-0")
    assert state.state == "failed" and state.why.endswith(
        "nothing does not exist; give a directory of ExoRL npz episodes or an .h5 store."
    )


def test_a_cell_without_its_data_is_refused(tmp_path):
    of = experiment(cell("td3-0", "data-a"), data=(collected(),))
    with pytest.raises(AgenticError, match="td3-0 learns from data-a, which is not there yet"):
        work(of, "td3-0", tmp_path)


def test_data_are_collected_once(tmp_path):
    of = experiment(data=(collected(),))
    work(of, "data-a", tmp_path)
    assert read_state(tmp_path / "data/data-a").state == "done"
    before = (tmp_path / "data/data-a/config.json").stat().st_mtime_ns
    work(of, "data-a", tmp_path)
    assert before == (tmp_path / "data/data-a/config.json").stat().st_mtime_ns


def test_results_are_lines_of_episodes_cells_and_data(finished, of, tmp_path):
    root, _ = finished
    results = update_results(of, tmp_path, root)
    assert list(results.cells) == ["td3-0"] and not results.other
    line = results.cells["td3-0"]
    assert {"task", "method", "seed", "commit", "machine", "versions", "seconds"} <= line.keys()
    assert [step for step, _ in line["loss"]] == [2, 4, 6]
    assert len(line["evaluated_by"]) == 1 and "returns" not in line["data"]
    assert {r["method"] for r in results.records} == {"td3", "random"}
    assert len(results.records) == 2 * 2 * 2
    assert len(results.data_of("td3-0")["returns"]) == line["data"]["episodes"] == 3
    # A path outside of the working directory is no business of a committed file.
    text = "".join((tmp_path / f"{n}.jsonl").read_text() for n in ("results", "cells", "data"))
    assert str(root) not in text and str(root.parent) not in text
    assert results.table(method="td3", training_seed=0).shape == (2, 2)
    with pytest.raises(AgenticError, match="name two episodes"):
        results.table(cell="td3-0")
    with pytest.raises(AgenticError, match="name no episode"):
        results.table(cell="other")


def test_a_clone_without_run_folders_has_the_same_results(finished, of, tmp_path):
    root, _ = finished
    update_results(of, tmp_path, root)
    files = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    results = update_results(of, tmp_path, tmp_path / "nowhere")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == files
    (run,) = results.runs()
    assert run.method == "td3" and len(run.evaluation) == 8 and len(run.data_returns) == 3


def test_cells_of_other_settings_are_named(finished, of, tmp_path):
    root, _ = finished
    update_results(of, tmp_path, root)
    changed = experiment(cell("td3-0", of.cells[0].config.data, width=32))
    assert read_results(changed, tmp_path).other == ("td3-0",)
    line = json.loads((tmp_path / "cells.jsonl").read_text())
    assert line["options"]["width"] == 16
