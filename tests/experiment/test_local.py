"""The local launcher: what it starts when, on which core, and how it ends; cells are stubs."""

import os
import signal

import pytest
from support.tiny_experiment import cell, collected, experiment, stub

from agentic.errors import AgenticError
from agentic.experiment import local
from agentic.experiment.state import State, held, read_state, write_state


@pytest.fixture
def launch(tmp_path, monkeypatch):
    """Return a function that runs an experiment of stubs to its end and returns the snapshots."""
    monkeypatch.setattr(local, "cell_command", stub(tmp_path))
    monkeypatch.setattr(local, "EVERY", 0.005)

    def run(of, cells=None, jobs=2, watch=lambda snapshot: None):
        launcher = local.Launcher(of, tmp_path, tmp_path, cells or of.cells, jobs)
        found = []
        for snapshot in launcher:
            found.append(snapshot)
            watch(snapshot)
        return found

    return run


def started(root) -> list[list[str]]:
    """Return [name, core] of what was started, in order."""
    texts = [path.read_text() for path in (root / "data/order.txt", root / "order.txt")
             if path.exists()]  # fmt: skip
    return [line.split() for text in texts for line in text.splitlines()]


def test_cells_run_side_by_side_on_cores_of_their_own(launch, tmp_path):
    names = [f"good-{index}" for index in range(4)]
    found = launch(experiment(*map(cell, names)))
    assert max(len(snapshot.running) for snapshot in found) == 2
    assert sorted(found[-1].done) == names and not found[-1].failed
    assert {core for _, core in started(tmp_path)} == {"0", "1"}


def test_the_first_of_a_snapshot_begins_and_each_ends_once(launch):
    found = launch(experiment(cell("good-0"), cell("good-1")), jobs=1)
    assert [name for s in found for name in s.begun] == ["good-0", "good-1"]
    assert [name for s in found for name in s.ended] == ["good-0", "good-1"]


def test_data_comes_before_the_cells_that_learn_from_it(launch, tmp_path):
    of = experiment(cell("good-0", "data-a"), cell("good-1"), data=(collected(),))
    found = launch(of)
    assert {"data-a", "good-1"} == set(found[0].running)
    for snapshot in found:
        assert "good-0" not in snapshot.running or "data-a" in snapshot.done
    assert set(found[-1].done) == {"data-a", "good-0", "good-1"}


def test_only_the_data_that_chosen_cells_need_are_made(launch, tmp_path):
    data = (collected("data-a"), collected("data-b"))
    of = experiment(cell("good-0", "data-a"), cell("good-1", "data-b"), data=data)
    launch(of, of.select(["*-1"]))
    assert [name for name, _ in started(tmp_path)] == ["data-b", "good-1"]


def test_what_is_done_is_not_started_again(launch, tmp_path):
    of = experiment(cell("good-0"), cell("good-1"))
    launch(of)
    assert launch(of)[-1].done == ("good-0", "good-1")
    assert len(started(tmp_path)) == 2


def test_others_go_on_beside_a_cell_that_fails(launch, tmp_path):
    last = launch(experiment(cell("bad-0"), cell("mute-0"), cell("dead-0"), cell("good-0")))[-1]
    assert last.done == ("good-0",)
    assert last.failed["bad-0"].why == "it is bad."
    assert last.failed["mute-0"].why == "exit status 3"
    assert "SIGKILL" in last.failed["dead-0"].why and "memory" in last.failed["dead-0"].why
    # What could not say so itself is written down for it.
    assert read_state(tmp_path / "dead-0").state == read_state(tmp_path / "mute-0").state
    assert read_state(tmp_path / "mute-0").state == "failed"
    assert "words of a bad cell" in (tmp_path / "bad-0/log.txt").read_text()


def test_cells_whose_data_fail_are_blocked(launch, tmp_path):
    of = experiment(cell("good-0", "bad-data"), data=(collected("bad-data"),))
    (tmp_path / "data").mkdir()
    last = launch(of)[-1]
    assert last.blocked == ("good-0",) and not last.waiting and set(last.failed) == {"bad-data"}


def test_one_request_to_end_lets_every_cell_save_and_the_next_run_goes_on(launch, tmp_path):
    of = experiment(cell("slow-0"), cell("slow-1"), cell("good-0"))

    def stop(snapshot):
        if all(state.part == "ready" for state in snapshot.running.values()) and not asked:
            asked.append(os.kill(os.getpid(), signal.SIGTERM))

    asked = []
    before = signal.getsignal(signal.SIGTERM)
    last = launch(of, watch=stop)[-1]
    assert last.stopping and not last.failed and not last.done
    assert set(last.waiting) == {"slow-0", "slow-1", "good-0"}
    assert signal.getsignal(signal.SIGTERM) is before
    assert set(launch(of)[-1].done) == {"slow-0", "slow-1", "good-0"}


def test_whoever_stops_watching_leaves_no_process_behind(launch, tmp_path):
    launcher = local.Launcher((of := experiment(cell("slow-0"))), tmp_path, tmp_path, of.cells, 1)
    snapshots = iter(launcher)
    while next(snapshots).running["slow-0"].part != "ready":
        pass
    _, process = launcher._running["slow-0"]
    # Ctrl-C in a terminal goes to a whole group: to the launcher's alone.
    assert os.getpgid(process.pid) == process.pid != os.getpgrp()
    snapshots.close()
    assert process.returncode == -signal.SIGKILL


def test_a_cell_that_another_run_holds_is_waited_for(launch, tmp_path):
    (tmp_path / "good-0").mkdir()
    holding = held(tmp_path / "good-0")
    holding.__enter__()

    def let_go(snapshot):
        if "good-1" in snapshot.done and not snapshot.running and holding.gen.gi_frame:
            assert snapshot.waiting == ("good-0",)
            write_state(tmp_path / "good-0", State("done"))
            holding.__exit__(None, None, None)

    last = launch(experiment(cell("good-0"), cell("good-1")), watch=let_go)[-1]
    assert set(last.done) == {"good-0", "good-1"}
    assert [name for name, _ in started(tmp_path)] == ["good-1"]


def test_no_jobs_are_too_few(tmp_path):
    with pytest.raises(AgenticError, match=r"^jobs is 0; it must be at least 1\.$"):
        local.Launcher(experiment(), tmp_path, tmp_path, [], 0)
