"""Draw what `agentic bench memory --out FILE.json` wrote: `python -m experiments.benchmarks.memory
FILE.json... FILE.png`; a table of the contexts for FILE.md.

Left, what a training step holds beside its state against tokens, for one model, hollow where it
lies on the line, or parabola, through what was compiled; right, the longest context in the largest
budget for every model and variant, on one device or divided among several.
The black line at a group reaches from its vanilla context to 32 times of it, the factor that
arXiv 2305.19370 gives for blockwise training, and the grey one from 2 to 4 times memory-efficient
attention's, its other factor.
"""

import argparse
import json
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from agentic.bench.memory import compiled_trajectories
from agentic.files import write_bytes
from agentic.report.table import Column, Table

SHOWN = "350m"
AT = "temporary GB at "


def growth(axes: Axes, rows: list[dict]) -> None:
    """Draw temporary bytes against tokens, of the model that is shown."""
    shown = [row for row in rows if row["model"] == SHOWN] or rows
    model = shown[0]["model"]
    for row in shown:
        if row["model"] == model:
            points = {
                int(name.removeprefix(AT).split()[0]): value
                for name, value in row.items()
                if name.startswith(AT)
            }
            (line,) = axes.plot(points.keys(), points.values(), label=row["variant"])
            for tokens, gigabytes in points.items():
                fill = line.get_color() if tokens <= row["compiled tokens"] else "white"
                axes.plot(tokens, gigabytes, "o", color=line.get_color(), markerfacecolor=fill)
    axes.set(xscale="log", yscale="log", xlabel="tokens", ylabel="temporary GB of one step")
    axes.set_xticks(list(points), [f"{tokens // 1000}k" for tokens in points])
    axes.minorticks_off()
    axes.set_title(f"{model}: growth with the context (hollow: extrapolated)", fontsize=9)


def contexts(axes: Axes, rows: list[dict]) -> None:
    """Draw the longest contexts, and the paper's factors over the same baselines."""
    models, variants = (
        list(dict.fromkeys(row[key] for row in rows)) for key in ("model", "variant")
    )
    budget = [column for column in rows[0] if column.startswith("tokens in ")][-1]
    found = {(row["model"], row["variant"]): row[budget] for row in rows}
    width = 0.8 / len(variants)
    for index, variant in enumerate(variants):
        places = [place + (index - (len(variants) - 1) / 2) * width for place in range(len(models))]
        axes.bar(places, [found.get((model, variant), 0) for model in models], width)
    for name, low, high, colour, shift, factor in (
        ("vanilla", 1, 32, "black", 0.44, "32"),
        ("memory-efficient", 2, 4, "grey", 0.48, "2 to 4"),
    ):
        base = [found.get((model, name), 0) for model in models]
        axes.vlines(
            [place + shift for place in range(len(models))],
            [low * tokens for tokens in base],
            [high * tokens for tokens in base],
            color=colour,
            linewidth=2,
            label=f"paper: {factor} times {name}",
        )
    axes.set_yscale("log")
    axes.set_xticks(range(len(models)), models)
    axes.set_title(f"longest context: {budget} of each device", fontsize=9)


def draw(rows: list[dict]) -> Figure:
    """Return the figure of rows as `named` returns them."""
    figure = Figure(figsize=(11, 4.8), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, width_ratios=(1, 2))
    growth(left, rows)
    contexts(right, rows)
    figure.legend(loc="outside lower center", ncols=4, fontsize=8)
    return figure


def table(rows: list[dict]) -> str:
    """Return the longest contexts in Markdown: a line for each model and variant."""
    budgets = [column for column in rows[0] if column.startswith("tokens in ")]
    factors = ["times vanilla", "times memory-efficient"]
    columns = (
        Column("model"), Column("variant"),
        *(Column(name, "right", "{:,}".format) for name in budgets),
        *(Column(name, "right", "{:.3g}".format) for name in factors),
    )  # fmt: skip
    names = ("model", "variant", *budgets)
    lines = tuple(
        (*(row[name] for name in names), *(row[name] or "-" for name in factors)) for row in rows
    )
    return Table(columns, lines).markdown() + "\n"


def named(record: dict) -> list[dict]:
    """Return the rows of a record with the tokens compiled; devices that share are in the name."""
    devices, steps = record["options"]["devices"], record["options"]["steps"]
    suffix = "" if devices == 1 else f"\non {devices}"
    return [
        row
        | {
            "model": row["model"] + suffix,
            "compiled tokens": compiled_trajectories(row["variant"])[-1] * steps * 4,
        }
        for row in record["rows"]
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("records", type=Path, nargs="+")
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    rows = [row for path in options.records for row in named(json.loads(path.read_text()))]
    if options.out.suffix == ".md":
        write_bytes(options.out, table(rows).encode())
    else:
        draw(rows).savefig(options.out, dpi=150)


if __name__ == "__main__":
    main()
