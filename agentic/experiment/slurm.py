"""The Slurm launcher: each missing cell becomes a job of its own, submitted through `submitit`.

ROOT/jobs/NAME.json    the number of the job that was submitted for a cell or data set
ROOT/jobs/*            submitit's own files: scripts, output, pickles that only it reads

A job runs the command of one cell and lets it save when the job's time is up.
"""

import importlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

from agentic.errors import AgenticError
from agentic.experiment.spec import JOBS, Cell, Experiment
from agentic.experiment.state import LOG
from agentic.experiment.status import ENDED, status_of
from agentic.experiment.work import cell_command, environment, place_of
from agentic.training.run import write_json


@dataclass
class CellJob:
    """A command as `submitit` calls it, which calls `checkpoint` before the job's time is up.

    Attributes:
        command: its words.
        log: the file to which its output is added.
        pause: seconds between two looks at the process.
    """

    command: Sequence[str]
    log: Path
    pause: float = 0.5
    _process: subprocess.Popen | None = field(default=None, repr=False, compare=False)

    def __call__(self) -> None:
        """Run the command to its end, or raise AgenticError with its exit status."""
        with self.log.open("ab") as log:
            # In a group of its own, so that the scheduler's signals reach this process alone.
            self._process = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, process_group=0
            )
        while self._process.poll() is None:
            time.sleep(self.pause)
        if self._process.returncode:
            raise AgenticError(
                f"the command ended with {self._process.returncode}; its words are in {self.log}."
            )

    def checkpoint(self):
        """Let the command save and end; return the job that goes on with it later."""
        from submitit.helpers import DelayedSubmission

        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            # A signal handler calls this, perhaps in the middle of `poll`. Then `poll` holds a lock
            # that `wait` would wait for in vain.
            os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)
        return DelayedSubmission(CellJob(self.command, self.log, self.pause))


@dataclass(frozen=True)
class SlurmConfig:
    """The resources that each cell requests from the cluster.

    Attributes:
        partition: of the cluster; by default the cluster's own default.
        time: minutes; a cell that needs longer saves its work, and its job is queued again.
        cpus: processors per cell.
        memory: gigabytes per cell; by default the cluster's own default.
    """

    partition: str | None = None
    time: int = 240
    cpus: int = 1
    memory: int | None = None

    def __post_init__(self):
        for name in ("time", "cpus", "memory"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise AgenticError(f"{name} is {value}; it must be at least 1.")


def submit(
    experiment: Experiment, folder: Path, root: Path, cells: Sequence[Cell], config: SlurmConfig
) -> Iterator[tuple[str, str]]:
    """Submit the cells and their data sets that are neither done, running nor queued.

    A cell's job waits for the job of its data.

    Yields:
        (name, job) for each.

    Raises:
        AgenticError: submitit or Slurm is missing, or Slurm refuses a job.
    """
    submitit = load_submitit()
    # Jobs start on other machines, perhaps in another folder.
    folder, root = folder.resolve(), root.resolve()
    rows = {row.name: row for row in status_of(experiment, root, cells, job_states(root))}
    executor = submitit.AutoExecutor(folder=root / JOBS, cluster="slurm")
    path = shlex.quote(environment()["PYTHONPATH"])
    executor.update_parameters(
        timeout_min=config.time, cpus_per_task=config.cpus, slurm_partition=config.partition,
        mem_gb=config.memory, slurm_setup=[f"export PYTHONPATH={path}"],
    )  # fmt: skip
    for name, row in rows.items():
        if row.state.state in ("done", "running", "queued"):
            continue
        part = experiment.part(name)
        need = experiment.needs(part) if isinstance(part, Cell) else None
        # Otherwise a job would wait forever for one that failed.
        waits = {"kill-on-invalid-dep": "yes"}
        if need is not None and (job := _noted(root, need)) and rows[need].state.state != "done":
            waits["dependency"] = f"afterok:{job}"
        executor.update_parameters(name=name, slurm_additional_parameters=waits)
        log = place_of(part, root) / LOG
        log.parent.mkdir(parents=True, exist_ok=True)
        try:
            job = executor.submit(CellJob(cell_command(folder, name, root), log))
        except submitit.core.utils.FailedJobError as error:
            raise AgenticError(f"Slurm refused {name}: {_last_line(error)}.") from None
        write_json(root / JOBS / f"{name}.json", {"job": job.job_id})
        yield name, job.job_id


def job_states(root: Path) -> dict[str, tuple[str, str]]:
    """Return (job, Slurm's name for its state) by cell; empty where there is no Slurm."""
    notes = sorted((root / JOBS).glob("*.json"))
    if not notes or shutil.which("squeue") is None:
        return {}
    command = ["squeue", "--noheader", "--format=%i %T", f"--user={os.environ.get('USER', '')}"]
    if "USER" not in os.environ:
        command.pop()
    answer = subprocess.run(command, capture_output=True, text=True)
    if answer.returncode:
        raise AgenticError(f"squeue failed: {answer.stderr.strip() or answer.returncode}.")
    states = dict(line.split()[:2] for line in answer.stdout.splitlines() if line.strip())
    jobs = {note.stem: _noted(root, note.stem) for note in notes}
    return {name: (job, states.get(job, ENDED)) for name, job in jobs.items() if job}


def _noted(root: Path, name: str) -> str | None:
    try:
        return str(json.loads((root / JOBS / f"{name}.json").read_text())["job"])
    except (FileNotFoundError, ValueError, KeyError):
        return None


def load_submitit(load: Callable[[str], ModuleType] = importlib.import_module) -> ModuleType:
    """Return `submitit`, or raise AgenticError where it or a program of Slurm is missing.

    Args:
        load: imports a module by its name.
    """
    try:
        submitit = load("submitit")
    except ImportError:
        raise AgenticError(
            'the Slurm launcher needs submitit; pip install "agentic[cluster]", or leave out '
            "--launcher."
        ) from None
    missing = [name for name in ("sbatch", "srun", "squeue") if shutil.which(name) is None]
    if missing:
        raise AgenticError(
            f"this machine has no {missing[0]}, so it cannot submit Slurm jobs; run this on a "
            "login node of the cluster, or leave out --launcher."
        )
    return submitit


def _last_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[-1] if lines else type(error).__name__).removesuffix(".")
