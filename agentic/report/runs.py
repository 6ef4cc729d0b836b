"""Run folders as they lie on disk: configuration, training metrics and evaluation lines."""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agentic.errors import AgenticError
from agentic.training.run import read_config


@dataclass(frozen=True)
class Run:
    """One run folder: config.json, the lines of metrics.jsonl and of evaluation.jsonl, videos.

    A file that does not exist gives no lines; notes say what was unusual about the files. A video
    is a line of videos/videos.jsonl whose file is there.
    """

    path: Path
    config: dict[str, Any]
    metrics: tuple[dict[str, Any], ...]
    evaluation: tuple[dict[str, Any], ...]
    notes: tuple[str, ...]
    videos: tuple[dict[str, Any], ...] = ()

    @property
    def name(self) -> str:
        """What pages call the run: its folder, as far as it means something elsewhere."""
        return anywhere(self.path)

    @property
    def task(self) -> str:
        return self.config["task"]

    @property
    def method(self) -> str:
        return self.config["method"]

    @property
    def data_returns(self) -> list[float]:
        """Returns of the data's episodes in their order; empty where the configuration has none."""
        return self.config["data"]["returns"]


def anywhere(path: str | Path) -> str:
    """Return a path without what only this machine has: of an absolute one the last two parts."""
    parts = Path(path).parts
    return "/".join(parts[1:][-2:]) if Path(path).is_absolute() else str(path)


def read_run(path: Path) -> Run:
    """Return the run in folder `path`, or raise AgenticError naming the file and the rule."""
    path = Path(path)
    config_path = path / "config.json"
    if not config_path.is_file():
        raise AgenticError(
            f"{path} is not a run folder, because it has no config.json; {_run_folders_near(path)}."
        )
    config = _config(config_path)
    notes: list[str] = []
    metrics = _lines(path / "metrics.jsonl", _check_metric, notes)
    evaluation = _lines(path / "evaluation.jsonl", _check_episode, notes)
    videos = [
        line
        for line in _lines(path / "videos" / "videos.jsonl", _check_video, notes)
        if (path / "videos" / line["file"]).is_file()
    ]
    return Run(path, config, metrics, evaluation, tuple(notes), tuple(videos))


def _run_folders_near(path: Path) -> str:
    for place in (path, path.parent):
        found = sorted(str(config.parent) for config in place.glob("*/config.json"))
        if found:
            return f"run folders in {place}: {', '.join(found[:8])}"
    return "give a folder that `agentic train` wrote"


def _config(path: Path) -> dict[str, Any]:
    config = read_config(path.parent)
    for key in ("task", "method"):
        if not isinstance(config.get(key), str):
            raise AgenticError(f"{path} has {key} {config.get(key)!r}; it must be a name.")
    data = config.get("data") or {}
    returns = (data.get("returns") or []) if isinstance(data, dict) else None
    if not isinstance(returns, list) or not all(map(_is_finite, returns)):
        raise AgenticError(
            f"{path} has data.returns that is no list of numbers; it holds one a data episode."
        )
    return {**config, "data": {**data, "returns": returns}}


def _lines(
    path: Path, check: Callable[[dict[str, Any]], str], notes: list[str]
) -> tuple[dict[str, Any], ...]:
    """Return the objects of a JSON-lines file; what an interrupted run left at its end is noted."""
    if not path.is_file():
        return ()
    texts = path.read_bytes().splitlines()
    lines = []
    for number, text in enumerate(texts, 1):
        try:
            line = json.loads(text)
        except ValueError as error:
            if number == len(texts):
                notes.append(f"{anywhere(path)}: the last line is cut off and was left out.")
                break
            raise AgenticError(f"{path} line {number} is not JSON ({error}).") from error
        broken = check(line) if isinstance(line, dict) else "it must be a JSON object"
        if broken:
            raise AgenticError(f"{path} line {number} is {text.decode()[:80]!r}; {broken}.")
        lines.append(line)
    return tuple(lines)


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _check_metric(line: dict[str, Any]) -> str:
    if not _is_finite(line.get("step")):
        return "it needs a number for step"
    # A loss that is not finite is a result too: the curve shows a gap there.
    return "" if isinstance(line.get("loss"), int | float) else "it needs a number for loss"


def _check_video(line: dict[str, Any]) -> str:
    name = line.get("file")
    # A name with a folder in it could show any file of this machine.
    if not isinstance(name, str) or Path(name).name != name or not name.endswith(".mp4"):
        return "it needs the plain name of an mp4 file in the same folder"
    return _check_episode(line)


def _check_episode(line: dict[str, Any]) -> str:
    if not _is_finite(line.get("return")):
        return "it needs a finite number for return"
    episode = line.get("episode")
    if not isinstance(episode, int) or episode < 0:
        return "it needs an episode index from 0 on"
    return "" if "seed" in line or "context" in line else "it needs the context's seed"
