"""Draw what `agentic bench memory --out FILE.json` wrote: `python -m experiments.benchmarks.memory
FILE.json FILE.png`.

Longest context in the largest budget, for every model and variant. What the papers say of the same
comparison (arXiv 2305.19370: 32 times vanilla's, 2 to 4 times memory-efficient's; its blockwise run
of 128 trajectories, 512,000 tokens, did not fit 80 GB) stands beside it.
"""

import argparse
import json
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

PAPER = (
    "papers: blockwise 32 x vanilla, 2 to 4 x memory-efficient; 512,000 tokens of 350m, blockwise: "
    "out of 80 GB"
)


def draw(document: dict) -> Figure:
    """Return the figure of a record of `agentic bench memory`."""
    rows = document["rows"]
    models, variants = (
        list(dict.fromkeys(row[key] for row in rows)) for key in ("model", "variant")
    )
    budget = [column for column in rows[0] if column.startswith("tokens in ")][-1]
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    width = 0.8 / len(variants)
    for index, variant in enumerate(variants):
        found = {row["model"]: row[budget] for row in rows if row["variant"] == variant}
        places = [place + (index - (len(variants) - 1) / 2) * width for place in range(len(models))]
        axes.bar(places, [found[model] for model in models], width, label=variant)
    axes.set_yscale("log")
    axes.set_xticks(range(len(models)), models)
    axes.set_ylabel(f"longest context: {budget}")
    axes.set_title(PAPER, fontsize=8)
    axes.legend(fontsize=8)
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("record", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    draw(json.loads(options.record.read_text())).savefig(options.out, dpi=150)


if __name__ == "__main__":
    main()
