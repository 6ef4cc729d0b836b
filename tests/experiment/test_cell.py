"""The parts of an experiment: their names, how they are read, and their states."""

import dataclasses
import json

import pytest
from support.tiny_experiment import cell, collected, experiment

from agentic.collect.folder import episode_path
from agentic.errors import AgenticError
from agentic.experiment.data import data_state, downloaded, folder_of, path_of
from agentic.experiment.spec import default_root, load_experiment
from agentic.experiment.state import Busy, State, held, read_state, write_state
from agentic.experiment.status import status_of


@pytest.mark.parametrize("name", ["twice", "data", "jobs", "a/b", ".."])
def test_names_that_would_share_a_folder_are_refused(name):
    cells = [cell("twice"), cell("twice")] if name == "twice" else [cell(name)]
    with pytest.raises(AgenticError, match=f"is called '{name}'; names are plain, appear once"):
        experiment(*cells)


def test_patterns_choose_cells_in_their_order():
    of = experiment(*(cell(f"{task}-{method}-0") for task in "ab" for method in ("at", "dt")))
    assert [c.name for c in of.select(["b-*", "*-at-*"])] == ["a-at-0", "b-at-0", "b-dt-0"]
    assert [c.name for c in of.select()] == [c.name for c in of.cells]
    with pytest.raises(AgenticError, match=r"no cell matches 'c-\*'; valid: a-at-0"):
        of.select(["a-*", "c-*"])
    with pytest.raises(AgenticError, match="this experiment has no cell 'at-0'; did you mean"):
        of.part("at-0")


def test_a_folder_without_an_experiment_names_those_there_are(tmp_path):
    (tmp_path / "good").mkdir()
    (tmp_path / "good/experiment.py").write_text("EXPERIMENT = None\n")
    (tmp_path / "other").mkdir()
    with pytest.raises(AgenticError, match=r"other is not an experiment.*experiments: .*/good\.$"):
        load_experiment(tmp_path / "other")
    with pytest.raises(AgenticError, match=r"good/experiment\.py defines no EXPERIMENT"):
        load_experiment(tmp_path / "good")
    assert str(default_root(tmp_path / "good")) == "runs/good"


def test_a_state_is_running_only_while_someone_holds_the_folder(tmp_path):
    assert read_state(tmp_path).state == "missing"
    with held(tmp_path):
        write_state(tmp_path, State("running", "training", 3, 4, {"training": 2.0}))
        assert read_state(tmp_path).state == "running"
        with pytest.raises(Busy, match="another process is at work on"), held(tmp_path):
            pass
    assert read_state(tmp_path) == State(
        "stopped", "training", 3, 4, {"training": 2.0}, "its process ended without saying why"
    )


def test_an_error_of_the_work_passes_through_the_hold(tmp_path):
    with pytest.raises(AgenticError, match="of the work"), held(tmp_path):
        raise AgenticError("of the work")
    with held(tmp_path):
        pass


def test_a_damaged_state_says_what_to_do(tmp_path):
    (tmp_path / "cell.json").write_text("{")
    with pytest.raises(AgenticError, match=r"cell\.json is damaged; remove"):
        read_state(tmp_path)


@pytest.fixture
def whole(tmp_path):
    """Put a finished collection, of empty files, where the experiment would make it itself."""
    data, root = collected(), tmp_path
    folder = folder_of(data, root)
    for index in range(2):
        path = episode_path(folder, index, 1000)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    document = {"collection": dataclasses.asdict(data.collection)}
    (folder / "config.json").write_text(json.dumps(document))
    (folder / "metrics.jsonl").write_text('{"step": 2000, "seconds": 7.5}\n')
    return data, root, folder, document


def test_data_that_someone_else_collected_alike_are_done(whole):
    data, root, folder, _ = whole
    assert data_state(data, root) == State("done", seconds={"collecting": 7.5})
    assert path_of(data, root) == folder


def test_data_with_a_gap_or_other_settings_are_not_done(whole):
    data, root, folder, document = whole
    document["collection"]["seed"] = 1
    (folder / "config.json").write_text(json.dumps(document))
    assert data_state(data, root).state == "missing"
    document["collection"] |= {"seed": 0, "steps": 9, "checkpoint_every": 1}
    (folder / "config.json").write_text(json.dumps(document))
    assert data_state(data, root).state == "done"
    episode_path(folder, 1, 1000).unlink()
    assert data_state(data, root).state == "missing"


def test_the_store_of_exorls_own_episodes_goes_first(whole):
    data, root, folder, _ = whole
    (folder / "exorl.h5").touch()
    assert path_of(data, root) == folder / "exorl.h5"


def test_exorls_episodes_count_when_their_download_is_complete(tmp_path):
    data = collected()
    assert data.published.name == "cartpole/random"
    assert downloaded(data, tmp_path) is None
    folder = tmp_path / "cartpole/random"
    (folder / "buffer").mkdir(parents=True)
    (folder / "buffer/episode_000000_1000.npz").touch()
    assert downloaded(data, tmp_path) is None  # no manifest: not from a finished download
    manifest = {"data_set": data.published.name, "url": "", "size": 0, "etag": None,
                "etag_verified": False, "sha256": "", "date": "", "members": []}  # fmt: skip
    (folder / "manifest.json").write_text(json.dumps(manifest))
    assert downloaded(data, tmp_path) == folder


def test_status_lists_needed_data_then_cells_with_what_their_jobs_say(tmp_path):
    of = experiment(*(cell(f"c-{n}", "data-a") for n in range(4)), data=(collected(),))
    write_state_of(tmp_path / "c-0", State("done", seconds={"training": 3.0}))
    jobs = {"c-0": ("1", "ENDED"), "c-1": ("2", "PENDING"), "c-2": ("3", "ENDED")}
    rows = status_of(of, tmp_path, of.cells, jobs)
    assert [(row.name, row.state.state) for row in rows] == [
        ("data-a", "missing"), ("c-0", "done"), ("c-1", "queued"), ("c-2", "failed"),
        ("c-3", "missing"),
    ]  # fmt: skip
    assert rows[3].state.why == "job 3 ended without saying why"


def write_state_of(folder, state):
    folder.mkdir()
    write_state(folder, state)
