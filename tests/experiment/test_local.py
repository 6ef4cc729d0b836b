"""The local launcher: order, cores and ends of its processes; cells are stubs."""

import os
import signal

import pytest
from support.tiny_experiment import cell, collected, experiment, stub

from agentic.errors import AgenticError
from agentic.experiment.local import Launcher
from agentic.experiment.state import State, held, read_state, write_state


@pytest.fixture
def launcher_of(tmp_path):
    """Return a function that makes a launcher whose cells are stubs."""

    def make(of, cells=None, jobs=2):
        return Launcher(
            of, tmp_path, tmp_path, cells or of.cells, jobs, command=stub(tmp_path), pause=0.005
        )

    return make


@pytest.fixture
def launch(launcher_of):
    """Return a function that runs an experiment of stubs to its end and returns the launcher."""

    def run(of, cells=None, jobs=2, watch=lambda launcher, changes: None):
        launcher = launcher_of(of, cells, jobs)
        for changes in launcher:
            watch(launcher, changes)
        return launcher

    return run


def started(root) -> list[list[str]]:
    """Return [name, core] of what was started, in order."""
    texts = [path.read_text() for path in (root / "data/order.txt", root / "order.txt")
             if path.exists()]  # fmt: skip
    return [line.split() for text in texts for line in text.splitlines()]


def test_cells_run_side_by_side_on_cores_of_their_own(launch, tmp_path):
    names, counts = [f"good-{index}" for index in range(4)], []
    of = experiment(*map(cell, names))
    end = launch(of, watch=lambda launcher, _: counts.append(len(launcher.running)))
    assert max(counts) == 2
    assert sorted(end.done) == names and not end.failed and not end.waiting
    assert {core for _, core in started(tmp_path)} == {"0", "1"}


def test_each_cell_begins_once_and_ends_once(launch):
    found = []
    of = experiment(cell("good-0"), cell("bad-0"))
    launch(of, jobs=1, watch=lambda _, changes: found.extend(changes))
    assert found == [
        ("good-0", "begun"),
        ("good-0", "done"),
        ("bad-0", "begun"),
        ("bad-0", "failed"),
    ]


def test_data_comes_before_the_cells_that_learn_from_it(launch, tmp_path):
    of = experiment(cell("good-0", "data-a"), cell("good-1"), data=(collected(),))
    found = []

    def watch(launcher, changes):
        found.append(set(launcher.running))
        assert "good-0" not in launcher.running or "data-a" in launcher.done

    end = launch(of, watch=watch)
    assert found[0] == {"data-a", "good-1"}
    assert set(end.done) == {"data-a", "good-0", "good-1"}


def test_only_the_data_that_chosen_cells_need_are_made(launch, tmp_path):
    data = (collected("data-a"), collected("data-b"))
    of = experiment(cell("good-0", "data-a"), cell("good-1", "data-b"), data=data)
    launch(of, of.select(["*-1"]))
    assert [name for name, _ in started(tmp_path)] == ["data-b", "good-1"]


def test_finished_cells_are_not_started_again(launch, tmp_path):
    of = experiment(cell("good-0"), cell("good-1"))
    launch(of)
    assert launch(of).done == ["good-0", "good-1"]
    assert len(started(tmp_path)) == 2


def test_others_go_on_beside_a_cell_that_fails(launch, tmp_path):
    last = launch(experiment(cell("bad-0"), cell("mute-0"), cell("dead-0"), cell("good-0")))
    assert last.done == ["good-0"]
    assert last.failed["bad-0"].why == "it is bad."
    assert last.failed["mute-0"].why == "exit status 3"
    assert "SIGKILL" in last.failed["dead-0"].why and "memory" in last.failed["dead-0"].why
    # These processes could not write their failure down, so the launcher did.
    assert read_state(tmp_path / "dead-0").state == read_state(tmp_path / "mute-0").state
    assert read_state(tmp_path / "mute-0").state == "failed"
    assert "words of a bad cell" in (tmp_path / "bad-0/log.txt").read_text()


def test_cells_whose_data_fail_are_blocked(launch, tmp_path):
    of = experiment(cell("good-0", "bad-data"), data=(collected("bad-data"),))
    (tmp_path / "data").mkdir()
    last = launch(of)
    assert last.blocked == last.waiting == ["good-0"] and set(last.failed) == {"bad-data"}


def test_one_request_to_end_lets_every_cell_save_and_the_next_run_goes_on(launch, tmp_path):
    of = experiment(cell("slow-0"), cell("slow-1"), cell("good-0"))

    def stop(launcher, changes):
        if not asked and all(launcher.state(name).part == "ready" for name in launcher.running):
            asked.append(os.kill(os.getpid(), signal.SIGTERM))

    asked = []
    before = signal.getsignal(signal.SIGTERM)
    last = launch(of, watch=stop)
    assert last.stopping and not last.failed and not last.done
    assert set(last.waiting) == {"slow-0", "slow-1", "good-0"}
    assert signal.getsignal(signal.SIGTERM) is before
    assert set(launch(of).done) == {"slow-0", "slow-1", "good-0"}


def test_a_launcher_that_is_left_leaves_no_process_behind(launcher_of):
    launcher = launcher_of(experiment(cell("slow-0")))
    watching = iter(launcher)
    next(watching)
    while launcher.state("slow-0").part != "ready":
        next(watching)
    _, process = launcher.running["slow-0"]
    # Ctrl-C in a terminal goes to a whole group, and the process is in another one.
    assert os.getpgid(process.pid) == process.pid != os.getpgrp()
    watching.close()
    assert process.returncode == -signal.SIGKILL


def test_a_second_request_to_end_ends_at_once(launch, tmp_path):
    requests = iter([signal.SIGINT, signal.SIGINT])
    (tmp_path / "deaf-0").mkdir()

    def stop(launcher, changes):
        if launcher.state("deaf-0").part == "ready":
            os.kill(os.getpid(), next(requests))

    with pytest.raises(KeyboardInterrupt):
        launch(experiment(cell("deaf-0")), watch=stop)
    assert read_state(tmp_path / "deaf-0").state == "stopped"


def test_a_cell_that_another_run_holds_is_waited_for(launch, tmp_path):
    (tmp_path / "good-0").mkdir()
    holding = held(tmp_path / "good-0")
    holding.__enter__()

    def let_go(launcher, changes):
        if "good-1" in launcher.done and not launcher.running and holding.gen.gi_frame:
            assert launcher.waiting == ["good-0"]
            write_state(tmp_path / "good-0", State("done"))
            holding.__exit__(None, None, None)

    last = launch(experiment(cell("good-0"), cell("good-1")), watch=let_go)
    assert set(last.done) == {"good-0", "good-1"}
    assert [name for name, _ in started(tmp_path)] == ["good-1"]


def test_no_jobs_are_too_few(tmp_path):
    with pytest.raises(AgenticError, match=r"^jobs is 0; it must be at least 1\.$"):
        Launcher(experiment(), tmp_path, tmp_path, [], 0)
