"""Write the page and the pictures of one or several run folders; page.html lays the page out."""

import base64
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from agentic.errors import AgenticError
from agentic.files import write_bytes
from agentic.report import tables
from agentic.report import words as sentences
from agentic.report.comparison import verdict
from agentic.report.episodes import episodes
from agentic.report.forest import forest
from agentic.report.histograms import returns
from agentic.report.learning import learning_curve
from agentic.report.rows import Row, flatten, rows_of, variants_of
from agentic.report.runs import Run, anywhere, read_run
from agentic.report.table import Column, Table
from agentic.report.theme import DARK, LIGHT, Theme, png

# PNG by name
Pictures = dict[str, bytes]
# Bytes of a video that becomes part of the page; base64 makes a third more of it.
LARGEST_VIDEO = 4 * 2**20


def draw(runs: Sequence[Run], rows: Sequence[Row], theme: Theme) -> Pictures:
    """Return the pictures of one task, without those whose numbers do not exist yet."""
    data = tables.data_returns_of(runs).tolist()
    drawn = {
        "conditions": forest(rows, data, theme),
        "episodes": episodes(rows, data, theme),
        "returns": returns(rows, data, theme),
        "learning_curve": learning_curve(runs, theme),
    }
    return {name: png(figure) for name, figure in drawn.items() if figure is not None}


Draw = Callable[[Sequence[Run], Sequence[Row], Theme], Pictures]


def save_figures(folder: Path, draw: Draw = draw) -> list[Path]:
    """Write a run's pictures into its folder, such as learning_curve.png; return their paths."""
    run = read_run(folder)
    rows, _ = rows_of([run])
    return _save(draw([run], [row for row in rows if row.task == run.task], LIGHT), run.path, "")


def write_report(
    folders: Sequence[Path], out: Path, draw: Draw = draw, largest_video: int = LARGEST_VIDEO
) -> None:
    """Write one self-contained HTML page about run folders to `out`, and their pictures as PNG.

    Each run's own pictures go into its folder. Of several runs, the page's joint pictures also go
    beside the page, named after it and the task.

    Args:
        folders: run folders; one that is given twice counts once.
        out: the page.
        draw: what draws the pictures of one task.
        largest_video: bytes of a video that becomes part of the page; larger ones are named.

    Raises:
        AgenticError: a folder that is no run folder, a malformed file, or a place that cannot be
            written.
    """
    out = Path(out)
    if not folders:
        raise AgenticError("a report of 0 run folders was asked for; give at least one.")
    if out.is_dir():
        raise AgenticError(
            f"{out} is a folder; the report needs a file, such as {out}/report.html."
        )
    unique = {Path(folder).resolve(): Path(folder) for folder in folders}
    runs = [read_run(folder) for folder in unique.values()]
    rows, notes = rows_of(runs)
    sections = []
    for task in dict.fromkeys([run.task for run in runs] + [row.task for row in rows]):
        members = [run for run in runs if run.task == task]
        of_task = [row for row in rows if row.task == task]
        light, dark = draw(members, of_task, LIGHT), draw(members, of_task, DARK)
        sections.append(_section(task, members, of_task, light, dark, largest_video))
        if len(runs) == 1 and members:
            _save(light, runs[0].path, "")
        elif len(runs) > 1:
            _save(light, out.parent, f"{out.stem}-{task.replace('/', '-')}-")
    if len(runs) > 1:
        for run in runs:
            save_figures(run.path, draw)
    tasks = [section["task"] for section in sections]
    data = {t: tables.data_returns_of([run for run in runs if run.task == t]) for t in tasks}
    page = (
        _environment()
        .get_template("page.html")
        .render(
            title=sentences.title(runs),
            lead=sentences.what_was_run(runs),
            sections=sections,
            together=tables.all_tasks_table(rows, data),
            runs=tables.run_table(runs),
            notes=[note for run in runs for note in run.notes] + notes + _doubts(runs),
            **_configuration(runs),
        )
    )
    write_bytes(out, page.encode())


def _environment() -> jinja2.Environment:
    """Return what fills page.html in; every text is escaped there."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("agentic.report", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["base64"] = lambda content, kind: (
        f"data:{kind};base64,{base64.b64encode(content).decode()}"
    )
    return environment


def _section(
    task: str, runs: Sequence[Run], rows: Sequence[Row], light: Pictures, dark: Pictures,
    largest_video: int,
) -> dict[str, Any]:  # fmt: skip
    """Return what the page says of the runs on one task."""
    data = tables.data_returns_of(runs).tolist()
    section = {
        "task": task,
        "verdict": verdict(rows, data),
        "unevaluated": [] if rows else runs,
        "learned": any(run.metrics for run in runs),
        "pictures": _pictures(light, dark, runs, rows),
        **_films(runs, largest_video),
    }
    if rows:
        n = tables.shortest(rows)
        section |= {
            "returns": tables.returns_table(rows, n),
            "scores": tables.score_table(rows, n, data),
            "about_scores": tables.about_scores(task, data),
            "about_best": sentences.about_best(n),
            "about_intervals": sentences.about_intervals(rows),
        }
    return section


def _save(pictures: Pictures, place: Path, prefix: str) -> list[Path]:
    paths = []
    for name, content in pictures.items():
        paths.append(place / f"{prefix}{name}.png")
        write_bytes(paths[-1], content)
    return paths


def _pictures(
    light: Pictures, dark: Pictures, runs: Sequence[Run], rows: Sequence[Row]
) -> list[dict[str, Any]]:
    values = "; ".join(
        f"{row.label}: {', '.join(map(sentences.number, row.curve.mean))}" for row in rows
    )
    said = {
        "conditions": (
            "Mean return of every condition. Grey: the data's episodes, their mean (dashed) and "
            "best (dotted). Right, where there are controls: how much more a method earns with its "
            "context kept, on a scale of its own.",
            "Dot chart of mean returns with their intervals below the data's returns.",
        ),
        "episodes": (
            "Mean return at each episode of a context, with 95 % intervals. Every method has a "
            "scale of its own, which need not begin at 0.",
            f"Line chart of the mean return by episode. {values}",
        ),
        "returns": (
            "How the returns of single episodes are spread: recorded data, then each method with "
            "its context kept.",
            "Histograms of returns, one below the other.",
        ),
        "learning_curve": (
            "Loss on the training batch at each logged step (pale) and its running mean. "
            + sentences.about_loss(runs),
            "Line chart of the training loss by training step.",
        ),
    }
    return [
        {
            "light": light[name],
            "dark": dark[name],
            "caption": said[name][0],
            "alternative": said[name][1],
        }
        for name in light
    ]


def _films(runs: Sequence[Run], largest: int) -> dict[str, list]:
    """Return the videos of runs: content and caption of the small ones, sentences on the others."""
    found: dict[str, list] = {"films": [], "large_films": []}
    for run in runs:
        for line in run.videos:
            path = run.path / "videos" / line["file"]
            words = sentences.about_video(run, line)
            if path.stat().st_size <= largest:
                found["films"].append({"content": path.read_bytes(), "caption": words})
            else:
                found["large_films"].append(f"{run.name}/videos/{path.name}: {words}")
    return found


def _configuration(runs: Sequence[Run]) -> dict[str, Any]:
    """Return the settings that all runs share, each once, and a table of those that differ."""
    settings = [_settings(run) for run in runs]
    names = dict.fromkeys(name for own in settings for name in own)
    differing = [name for name in names if len({own.get(name, "") for own in settings}) > 1]
    columns = (Column("run"), *map(Column, differing))
    lines = [
        (run.name, *(own.get(name, "") for name in differing))
        for run, own in zip(runs, settings, strict=True)
    ]
    return {
        "shared": [(name, settings[0][name]) for name in names if name not in differing],
        "own": Table(columns, tuple(lines)) if differing else None,
    }


def _settings(run: Run) -> dict[str, str]:
    """Return all that config.json and the evaluation's lines say, without what they repeat."""
    flat = flatten(run.config)
    for place, source in enumerate(_evaluated_by(run), start=1):
        flat |= {f"evaluation {place}: {name}": value for name, value in flatten(source).items()}
    first: dict[tuple[str, str], str] = {}
    for name, value in flat.items():
        first.setdefault((name.split(": ")[-1].split(".")[-1], _shown(value)), name)
    return {name: value for (_, value), name in first.items()}


def _evaluated_by(run: Run) -> list[dict[str, Any]]:
    """Return the different versions, commits and machines that the evaluation lines name."""
    found: list[dict[str, Any]] = []
    for line in run.evaluation:
        source = line.get("provenance")
        if isinstance(source, dict) and source not in found:
            found.append(source)
    return found


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return anywhere(value)
    if (
        isinstance(value, list)
        and len(value) > 8
        and all(isinstance(v, int | float) for v in value)
    ):
        low, high, mean = min(value), max(value), np.mean(value)
        return f"{len(value)} values from {low:.4g} to {high:.4g}, mean {mean:.4g}"
    return json.dumps(value, ensure_ascii=False)


def _doubts(runs: Sequence[Run]) -> list[str]:
    """Return what a careful reader would object to in this choice of runs."""
    notes = []
    for task in dict.fromkeys(run.task for run in runs):
        members = [run for run in runs if run.task == task]
        prints = {run.config["data"].get("fingerprint") for run in members}
        if len(prints) > 1:
            notes.append(
                f"{task}: the runs learned from {len(prints)} different data sets, so nothing is "
                "set beside the data's returns; a report of one data set's runs does that."
            )
        seen: dict[tuple, str] = {}
        for run, variant in zip(members, variants_of(members), strict=True):
            key = (run.method, variant, run.config.get("seed"))
            if key in seen and key[-1] is not None:
                notes.append(
                    f"{seen[key]} and {run.name} are the same method with the same seed: "
                    "they are not two independent training runs."
                )
            seen[key] = run.name
    return notes
