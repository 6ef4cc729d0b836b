"""The Slurm launcher against programs on the path that look like Slurm's from outside."""

import os
import signal
import threading
import time

import pytest
from support.tiny_experiment import cell, collected, experiment, stub

from agentic.errors import AgenticError
from agentic.experiment.slurm import CellJob, SlurmConfig, job_states, load_submitit, submit
from agentic.experiment.state import State, read_state, write_state
from agentic.experiment.status import status_of

SBATCH = """#!/bin/sh
number=$((100 + $(ls {folder} | wc -l)))
cp "$1" {folder}/$number
echo "Submitted batch job $number"
"""
# As long as a job's script lies there, it is queued.
SQUEUE = """#!/bin/sh
for script in {folder}/*; do test -f $script && echo "${{script##*/}} PENDING"; done; true
"""


@pytest.fixture
def queue(tmp_path, monkeypatch):
    """A folder of scripts that fake programs take for the queue."""
    folder, programs = tmp_path / "queue", tmp_path / "bin"
    folder.mkdir()
    programs.mkdir()
    for name, text in {"sbatch": SBATCH, "squeue": SQUEUE, "srun": "#!/bin/sh\n"}.items():
        (programs / name).write_text(text.format(folder=folder))
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    return folder


def submitted(of, root, config=SlurmConfig()):  # noqa: B008, frozen
    return dict(submit(of, root / "experiment", root, of.cells, config))


def test_every_missing_cell_is_a_job_that_waits_for_its_data(queue, tmp_path):
    of = experiment(cell("c-0", "data-a"), cell("c-1"), cell("c-2"), data=(collected(),))
    (tmp_path / "c-2").mkdir()
    write_state(tmp_path / "c-2", State("done"))
    config = SlurmConfig(partition="fast", time=90, cpus=3, memory=8)
    jobs = submitted(of, tmp_path, config)
    assert list(jobs) == ["data-a", "c-0", "c-1"]
    scripts = {name: (queue / job).read_text() for name, job in jobs.items()}
    for flag in ("partition=fast", "time=90", "cpus-per-task=3", "mem=8GB", "job-name=c-0"):
        assert f"#SBATCH --{flag}\n" in scripts["c-0"]
    assert f"#SBATCH --dependency=afterok:{jobs['data-a']}\n" in scripts["c-0"]
    assert "dependency=" not in scripts["c-1"] + scripts["data-a"]


def test_queued_cells_are_not_submitted_again(queue, tmp_path):
    of = experiment(cell("c-0"), cell("c-1"))
    first = submitted(of, tmp_path)
    states = [row.state.state for row in status_of(of, tmp_path, of.cells, job_states(tmp_path))]
    assert states == ["queued", "queued"]
    assert submitted(of, tmp_path) == {}
    (queue / first["c-1"]).unlink()  # it ended, and left no word
    rows = status_of(of, tmp_path, of.cells, job_states(tmp_path))
    assert [row.state.state for row in rows] == ["queued", "failed"]
    assert f"job {first['c-1']} ended" in rows[1].state.why
    assert list(submitted(of, tmp_path)) == ["c-1"]


def test_slurm_that_refuses_is_quoted(queue, tmp_path):
    (tmp_path / "bin/sbatch").write_text("#!/bin/sh\necho 'no such partition' >&2; exit 1\n")
    with pytest.raises(AgenticError, match=r"^Slurm refused c-0: .*no such partition\.$"):
        submitted(experiment(cell("c-0")), tmp_path)


def test_a_machine_without_slurm_is_told_apart_from_one_without_submitit(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(AgenticError, match="this machine has no sbatch"):
        submitted(experiment(cell("c-0")), tmp_path)

    def missing(name):
        raise ImportError(name)

    with pytest.raises(AgenticError, match=r'pip install "agentic\[cluster\]"'):
        load_submitit(missing)
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs/c-0.json").write_text('{"job": "7"}')
    assert job_states(tmp_path) == {}


def test_options_that_no_job_can_have_are_refused():
    with pytest.raises(AgenticError, match="time is 0; it must be at least 1"):
        SlurmConfig(time=0)


def test_a_job_runs_its_command_and_tells_its_failure(tmp_path):
    log = tmp_path / "log.txt"
    CellJob(["sh", "-c", "echo words"], log, pause=0.005)()
    assert log.read_text() == "words\n"
    with pytest.raises(AgenticError, match=r"ended with 3; its words are in .*log\.txt"):
        CellJob(["sh", "-c", "exit 3"], log, pause=0.005)()


def test_a_job_whose_time_is_up_lets_its_command_save_and_goes_on_later(tmp_path):
    command = stub(tmp_path)(tmp_path, "slow-0", tmp_path)
    job = CellJob(command, tmp_path / "slow-0/log.txt", pause=0.005)
    (tmp_path / "slow-0").mkdir()
    again = []

    def warn():
        """Do as Slurm does shortly before the time is up."""
        while read_state(tmp_path / "slow-0").part != "ready":
            time.sleep(0.005)
        os.kill(os.getpid(), signal.SIGUSR2)

    before = signal.signal(signal.SIGUSR2, lambda *_: again.append(job.checkpoint()))
    cluster = threading.Thread(target=warn)
    cluster.start()
    try:
        with pytest.raises(AgenticError, match="ended with 130"):
            job()
    finally:
        cluster.join()
        signal.signal(signal.SIGUSR2, before)
    assert read_state(tmp_path / "slow-0").state == "stopped"
    (delayed,) = again
    assert delayed.function == CellJob(job.command, job.log, job.pause)
    delayed.function()
    assert read_state(tmp_path / "slow-0").state == "done"
