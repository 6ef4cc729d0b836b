"""Write the page and the pictures of one or several run folders."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from agentic.errors import AgenticError
from agentic.files import write_bytes
from agentic.report import figures, html, tables
from agentic.report import words as sentences
from agentic.report.rows import Row, flatten, rows_of, variants_of
from agentic.report.runs import Run, read_run
from agentic.report.theme import DARK, LIGHT, Theme

Draw = Callable[[Theme], Figure | None]
PNGs = dict[str, bytes]
# Bytes of a video that becomes part of the page; base64 makes a third more of it.
LARGEST_VIDEO = 4 * 2**20


def save_figures(folder: Path) -> list[Path]:
    """Write learning_curve.png, episodes.png and returns.png into a run folder; return their paths.

    A picture whose numbers do not exist yet (no metrics, no evaluation) is not written.
    """
    run = read_run(folder)
    rows, _ = rows_of([run])
    drawings = _drawings([run], [row for row in rows if row.task == run.task])
    return _save(_rendered(drawings, LIGHT), run.path, "")


def write_report(folders: Sequence[Path], out: Path) -> None:
    """Write one self-contained HTML page about run folders to `out`, and their pictures as PNG.

    Each run's own pictures go into its folder. Of several runs, the page's joint pictures also go
    beside the page, named after it and the task. Raises AgenticError, one sentence, for a folder
    that is no run folder, a malformed file, or a place that cannot be written.
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
    notes = [note for run in runs for note in run.notes] + notes + _doubts(runs)

    title = sentences.title(runs)
    body = [html.heading(title, 1), html.paragraph(sentences.what_was_run(runs), "lead")]
    tasks = list(dict.fromkeys([run.task for run in runs] + [row.task for row in rows]))
    for task in tasks:
        of_task = [run for run in runs if run.task == task]
        task_rows = [row for row in rows if row.task == task]
        drawings = _drawings(of_task, task_rows)
        light, dark = _rendered(drawings, LIGHT), _rendered(drawings, DARK)
        if len(tasks) > 1:
            body.append(html.heading(task))
        body += _results(of_task, task_rows, len(tasks) > 1)
        body += _pictures(light, dark, of_task, task_rows)
        body += _videos(of_task)
        if len(runs) == 1 and task == runs[0].task:
            _save(light, runs[0].path, "")
        elif len(runs) > 1:
            _save(light, out.parent, f"{out.stem}-{task.replace('/', '-')}-")
    if len(runs) > 1:
        for run in runs:
            save_figures(run.path)
    if len(tasks) > 1:
        returns = {t: tables.data_returns_of([r for r in runs if r.task == t]) for t in tasks}
        together = tables.all_tasks_table(rows, returns)
        body += [html.heading("All tasks together"), together] if together else []
    body += [html.heading("Runs"), tables.runs_table(runs)]
    body += [_configuration(run, is_open=len(runs) == 1) for run in runs]
    if notes:
        body += [html.heading("Notes"), html.bullets(notes)]
    write_bytes(out, html.page(title, body).encode())


def _drawings(runs: Sequence[Run], rows: Sequence[Row]) -> dict[str, Draw]:
    data = tables.data_returns_of(runs).tolist()
    return {
        "learning_curve": lambda theme: figures.learning_curve(runs, theme),
        "episodes": lambda theme: figures.episodes(rows, data, theme),
        "returns": lambda theme: figures.returns(rows, data, theme),
    }


def _rendered(drawings: dict[str, Draw], theme: Theme) -> PNGs:
    drawn = {name: draw(theme) for name, draw in drawings.items()}
    return {name: figures.png(figure) for name, figure in drawn.items() if figure is not None}


def _save(pictures: PNGs, place: Path, prefix: str) -> list[Path]:
    paths = []
    for name, content in pictures.items():
        paths.append(place / f"{prefix}{name}.png")
        write_bytes(paths[-1], content)
    return paths


def _results(runs: Sequence[Run], rows: Sequence[Row], nested: bool) -> list[str]:
    level = 3 if nested else 2
    parts = [html.heading("Results", level)]
    if not rows:
        parts.append(html.paragraph("No evaluation has been run yet. To make one:", "note"))
        return parts + [html.code(f"agentic evaluate {run.path}") for run in runs]
    data = tables.data_returns_of(runs).tolist()
    for row in rows:
        if row.memory == "kept":
            controls = [
                r for r in rows if r.memory != "kept" and r.name == row.name and r.episodes > 1
            ]
            texts = sentences.achieved(row, data), sentences.improved(row, controls)
            parts.append(html.paragraph(" ".join(texts)))
    n = tables.best_of(rows)
    parts.append(tables.protocol_table(rows, n))
    parts.append(html.paragraph(sentences.about_best(n), "note"))
    parts.append(tables.score_table(rows, data, n))
    return parts + [html.paragraph(text) for text in sentences.about_intervals(rows)]


def _pictures(light: PNGs, dark: PNGs, runs: Sequence[Run], rows: Sequence[Row]) -> list[str]:
    levels = "; ".join(
        f"{row.label}: {', '.join(sentences.number(m) for m in row.curve.mean)}" for row in rows
    )
    captions = {
        "learning_curve": "Loss on the training batch at each logged step (pale) and its running "
        f"mean. {sentences.about_loss(runs)}",
        "episodes": "Mean return at each episode of a context, with 95 % intervals. Grey lines: "
        "mean and best of the data.",
        "returns": "How the returns of single episodes are spread: recorded data, then each "
        "method with its context kept.",
    }
    alternatives = {
        "learning_curve": "Line chart of the training loss by training step.",
        "episodes": f"Line chart of the mean return by episode. {levels}",
        "returns": "Histograms of returns, one below the other.",
    }
    parts = [
        html.picture(light[name], dark[name], alternatives[name], captions[name]) for name in light
    ]
    if "learning_curve" not in light:
        parts.append(
            html.paragraph("There is no learning curve: metrics.jsonl is empty or absent.")
        )
    return parts


def _videos(runs: Sequence[Run]) -> list[str]:
    """Return the videos of runs, inside the page where they are small and by name where not."""
    shown, notes = [], []
    for run in runs:
        for line in run.videos:
            path = run.path / "videos" / line["file"]
            if path.stat().st_size <= LARGEST_VIDEO:
                shown.append(html.video(path.read_bytes(), sentences.about_video(run, line)))
            else:
                notes.append(f"{path}: {sentences.about_video(run, line)}")
    if not shown and not notes:
        return []
    parts = [html.heading("Videos", 3)]
    parts += [html.side_by_side(shown)] if shown else []
    if notes:
        parts += [html.paragraph("Too large to be part of the page:"), html.bullets(notes)]
    return parts


def _configuration(run: Run, is_open: bool) -> str:
    pairs = [(name, _shown(value)) for name, value in flatten(run.config).items()]
    for number, source in enumerate(_evaluated_by(run), start=1):
        pairs += [(f"evaluation {number}: {k}", _shown(v)) for k, v in flatten(source).items()]
    return html.details(
        f"Configuration and versions of {run.path}", html.settings_table(pairs), is_open
    )


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
        return value
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
        seen: dict[tuple, Path] = {}
        for run, variant in zip(members, variants_of(members), strict=True):
            key = (run.method, variant, run.config.get("seed"))
            if key in seen and key[-1] is not None:
                notes.append(
                    f"{seen[key]} and {run.path} are the same method with the same seed: "
                    "they are not two independent training runs."
                )
            seen[key] = run.path
    return notes
