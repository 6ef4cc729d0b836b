"""How a training lives in its run folder: logged, saved, stopped by Ctrl-C, resumed.

config.json        what was run, on what, with which versions
metrics.jsonl      one line per logged step
checkpoints/       one folder per step (`agentic.training.checkpoint`)
evaluation.jsonl   one line per evaluated episode (`agentic.evaluation.condition`)
events.*           the same metrics for TensorBoard, where tensorboardX is installed
"""

import json
from collections.abc import Iterable
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any

from agentic.errors import AgenticError
from agentic.files import write_bytes
from agentic.interruption import Interrupted, Interruption
from agentic.progress import Progress
from agentic.training import checkpoint, processes
from agentic.training.earlier import in_todays_words
from agentic.training.learner import Course, Learner, fit


def write_json(path: Path, document: dict) -> None:
    """Write a JSON document, whole or not at all."""
    write_bytes(path, (json.dumps(document, indent=1) + "\n").encode())


def write_jsonl(path: Path, records: Iterable[dict]) -> None:
    """Write one JSON line per record, whole or not at all."""
    write_bytes(path, "".join(json.dumps(record) + "\n" for record in records).encode())


def read_jsonl(path: Path) -> list[dict]:
    """Return a file's records; none if it does not exist.

    A last line cut off by an interruption is left out; any other damage raises AgenticError.
    """
    lines = path.read_text().splitlines() if path.exists() else []
    records = []
    for number, line in enumerate(lines, start=1):
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError as error:
            if number < len(lines):
                raise AgenticError(f"{path} line {number} is not valid JSON ({error}).") from None
    return records


def read_config(folder: str | Path) -> dict:
    """Return a run's config.json in today's words, also where an earlier version wrote it.

    Raises AgenticError if `folder` is not a run folder.
    """
    path = Path(folder) / "config.json"
    try:
        document = json.loads(path.read_text())
    except (FileNotFoundError, NotADirectoryError):
        raise AgenticError(
            f"{folder} is not a run folder: it has no config.json; `agentic train` makes one."
        ) from None
    except ValueError as error:
        raise AgenticError(f"{path} is not valid JSON ({error}).") from None
    if not isinstance(document, dict):
        raise AgenticError(f"{path} holds {type(document).__name__}; it must be a JSON object.")
    if "explorer" in document:
        raise AgenticError(
            f"{folder} holds collected data and no run; "
            f"`agentic train {document['task']} --data {folder} --out RUN` makes one."
        )
    return in_todays_words(document)


class MetricsLog:
    """Appends metrics records to metrics.jsonl and, where it is installed, to TensorBoard."""

    def __init__(self, folder: Path, step: int):
        """Open the log of a run at `step`; lines that an earlier try wrote past it are dropped."""
        path = folder / "metrics.jsonl"
        kept = [record for record in read_jsonl(path) if record["step"] <= step]
        write_jsonl(path, kept)
        self._seconds = kept[-1]["seconds"] if kept else 0.0
        self._file = path.open("a")
        self._events = _event_writer(folder, step)

    def __enter__(self) -> "MetricsLog":
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()
        if self._events is not None:
            self._events.close()

    def write(self, record: dict[str, float]) -> None:
        """Append one record; its seconds count on from where the run was resumed."""
        record = record | {"seconds": record["seconds"] + self._seconds}
        self._file.write(json.dumps(record) + "\n")
        self._file.flush()
        if self._events is not None:
            for name in record.keys() - {"step"}:
                self._events.add_scalar(name, record[name], int(record["step"]))


def _event_writer(folder: Path, step: int):
    try:
        from tensorboardX import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder), purge_step=step + 1)


def keep(
    folder: Path, learner: Learner, state: Any, course: Course, progress: Progress | None
) -> None:
    """Let `learner` train on from `state`; log its records and save its state in `folder`.

    Ctrl-C is met at the next record, when the state is whole and finite.
    """
    saved = done = int(state.step)
    log = MetricsLog(folder, done) if processes.leads() else nullcontext()
    with (
        log as writing,
        Interruption() as interruption,
        closing(fit(learner, state, course)) as records,
    ):
        for state, record in records:
            if writing is not None:
                writing.write(record)
            done = record["step"]
            stopping = processes.any_of(interruption.requested) and done < course.steps
            due = done // course.checkpoint_every > saved // course.checkpoint_every
            if due or stopping or done == course.steps:
                checkpoint.save(folder, done, learner.saved(state))
                saved = done
            if progress is not None:
                progress(done, course.steps, f"loss {record['loss']:.4f}")
            if stopping:
                raise Interrupted(
                    f"stopped at step {done} of {course.steps}; --resume goes on from there."
                )


def newest_state(folder: Path, learner: Learner) -> Any:
    """Return the state of a run's newest checkpoint, or the first one where there is none."""
    if not checkpoint.steps(folder):
        return learner.initial()
    newest = checkpoint.find(folder)
    like = learner.saved(learner.like())
    return learner.restored({name: newest.load(name, tree) for name, tree in like.items()})
