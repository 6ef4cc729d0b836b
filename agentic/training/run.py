"""How training lives in its run folder: begun once, logged, saved, stopped by Ctrl-C, resumed.

The files of a run folder.

config.json        what was run, on what, with which versions
metrics.jsonl      one line per logged step
checkpoints/       one folder per step (`agentic.training.checkpoint`)
evaluation.jsonl   one line per evaluated episode (`agentic.evaluation.condition`)
events.*           the same metrics for TensorBoard, where tensorboardX is installed
"""

import dataclasses
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from agentic import provenance
from agentic.dataset.dataset import Dataset
from agentic.errors import AgenticError
from agentic.files import write_bytes
from agentic.interruption import Interrupted, Interruption
from agentic.progress import Progress
from agentic.training import checkpoint, processes


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
    """Return a run's config.json, or raise AgenticError if `folder` is not a run folder."""
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
    return document


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


# How the same step is computed, which may change from one part of a run to the next.
HOW = {"accumulate", "remat"}


def describe(config: Any, data: Dataset, device: str, **parts: Any) -> dict:
    """Return config.json: everything needed to repeat a run and to read its results.

    `parts` are the settings that follow from the configuration and the data; `device` is JAX's name
    of what computes.
    """
    return {
        "task": config.task,
        "method": config.method,
        "seed": config.seed,
        "target_return": float(data.returns.max()),
        "experiment": dataclasses.asdict(config),
        "data": {
            "source": data.source,
            "fingerprint": data.fingerprint,
            "episodes": len(data),
            "returns": [float(value) for value in data.returns],
            "control": data.control,
        },
        **parts,
        **provenance.of_run(device),
    }


def begin(folder: Path, document: dict, resume: bool, parts: dict[str, type]) -> None:
    """Write config.json into a folder without a run, or see that a run to resume is this one.

    `parts` are compared one after the other, by name and with the class whose defaults hold for
    runs from before an option existed.
    """
    if resume:
        _check_same(document, read_config(folder), folder, parts)
    elif (folder / "config.json").exists():
        raise AgenticError(
            f"{folder} holds a run already; add --resume to go on with it, or choose another --out."
        )
    processes.wait("checked")  # No one may find a config.json that the first one writes now.
    if not resume and processes.leads():
        write_json(folder / "config.json", document)


def follow(
    loop: Iterator[tuple[Any, dict[str, float]]],
    folder: Path,
    done: int,
    steps: int,
    checkpoint_every: int,
    items: Callable[[Any], dict[str, Any]],
    progress: Progress | None,
) -> None:
    """Let `loop` train from step `done` to `steps`, log its records and save its state.

    A checkpoint holds what `items` makes of the state. Ctrl-C is met at the next record, when the
    state is whole and finite.
    """
    saved = done
    log = MetricsLog(folder, done) if processes.leads() else nullcontext()
    with log as writing, Interruption() as interruption:
        for state, record in loop:
            if writing is not None:
                writing.write(record)
            done = record["step"]
            stopping = processes.any_of(interruption.requested) and done < steps
            due = done // checkpoint_every > saved // checkpoint_every
            if due or stopping or done == steps:
                checkpoint.save(folder, done, items(state))
                saved = done
            if progress is not None:
                progress(done, steps, f"loss {record['loss']:.4f}")
            if stopping:
                raise Interrupted(
                    f"stopped at step {done} of {steps}; --resume goes on from there."
                )


def chosen_step(folder: Path, step: int | None) -> int:
    """Return the checkpoint that was asked for, by default the newest, or raise AgenticError."""
    found = checkpoint.latest(folder)
    if step is not None and step not in checkpoint.steps(folder):
        raise AgenticError(
            f"{folder} has no checkpoint of step {step}; it has {checkpoint.steps(folder)}."
        )
    return found if step is None else step


def _check_same(now: dict, before: dict, folder: Path, parts: dict[str, type]) -> None:
    """Refuse to resume with other settings or data: the result would be neither run."""
    # Data first: other data has another normalisation too, and that is not what the user chose.
    if now["data"]["fingerprint"] != before["data"]["fingerprint"]:
        raise AgenticError(
            f"{folder} was trained on other data ({before['data']['source']}) than this command "
            f"names ({now['data']['source']}); resume with the same data."
        )
    if now["method"] != before["method"]:
        raise AgenticError(
            f"{folder} was trained with method = {before['method']} and this command has "
            f"{now['method']}; resume with the same method."
        )
    for part, kind in parts.items():
        for name, value in json.loads(json.dumps(now[part])).items():
            if name in HOW:
                continue
            # A run from before an option existed was trained with what is its default now.
            earlier = before[part].get(name, getattr(kind, name, None))
            if earlier != value:
                raise AgenticError(
                    f"{folder} was trained with {name} = {earlier} and this command has {value}; "
                    "resume with the same settings."
                )
