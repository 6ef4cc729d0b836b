"""Experiments that change one setting of one method at a time: their cells and their report."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from agentic.experiment.results import CELLS, DATA, EPISODES, Results, shown
from agentic.experiment.spec import Cell
from agentic.files import write_bytes
from agentic.methods.method import configure
from agentic.report.table import Column, Table

DEFAULT = "default"
WHOLE = "{:.0f}".format


def variant_cells(
    task: str, data: str, variants: Mapping[str, dict], seeds: Sequence[int],
    target_factors: tuple[float, ...] = (1.0,), one_seed: Sequence[str] = (),
    contexts: Mapping[str, int] | None = None,
) -> list[Cell]:  # fmt: skip
    """Return a cell for every variant and training seed, called VARIANT-SEED.

    Args:
        task: that all learn.
        data: what all learn from.
        variants: options that differ from the defaults, by name; "default" has none.
        seeds: training seeds.
        target_factors: on which the default is conditioned as well, times the data's best return.
        one_seed: variants that are trained with the first seed only.
        contexts: of variants that are evaluated in fewer than all of them.
    """
    return [
        Cell(
            name=f"{variant}-{seed}",
            config=configure(task, data, **{"seed": seed, **fields}),
            target_factors=target_factors if variant == DEFAULT else (1.0,),
            contexts=(contexts or {}).get(variant),
        )
        for seed in seeds
        for variant, fields in variants.items()
        if seed == seeds[0] or variant not in one_seed
    ]


def write_variants(
    folder: Path, results: Results, title: str, variants: Mapping[str, dict]
) -> None:
    """Write report.md: a row for every variant that was run, and the default's target returns."""
    lines = {name: line for name, line in results.cells.items() if name.startswith(f"{DEFAULT}-")}
    if not lines:
        return
    first = next(iter(lines))
    document, returns = lines[first], np.asarray(results.data_of(first)["returns"])
    best, seeds = document["target_return"], results.experiment.seeds
    rows = []
    for variant, fields in variants.items():
        names = [name for name in results.cells if name.rpartition("-")[0] == variant]
        change = ", ".join(f"{key} {value}" for key, value in fields.items()) or "none"
        if not names:
            rows.append((variant, change, "not run", "", "", ""))
            continue
        runs = [results.table(cell=name, target_return=best) for name in names]
        seconds = np.mean([results.cells[name]["seconds"]["training"] for name in names])
        mean = np.mean([run.mean() for run in runs])
        episodes = _listed(np.mean([run.mean(0) for run in runs], 0))
        rows.append((variant, change, mean, _means(runs), episodes, seconds))
    columns = (
        Column("variant"), Column("change"), Column("mean return", "right", WHOLE),
        Column("each training seed"), Column("by episode"),
        Column("training seconds", "right", WHOLE),
    )  # fmt: skip
    source = document["data"].get("source") or "the data"
    text = f"""# {title}

Written by `agentic experiment report {shown(folder)}` from {EPISODES}, {CELLS} and {DATA}; do not \
edit.

Data: {source}, mean return {returns.mean():.1f}, best {returns.max():.1f}. Training seeds \
{sorted({line["seed"] for line in results.cells.values()})}, {len(seeds)} contexts (evaluation \
seeds {seeds[0]} to {seeds[-1]}) of {results.experiment.episodes} episodes, target return the \
data's best, context kept. Commits {", ".join(_commits(results))}; {document["machine"]}. Training \
seconds are of one core beside other work, so they are upper bounds.

With one or two training seeds a variant, only large differences mean anything.

{Table(columns, tuple(rows)).markdown()}
{_targets(results, list(lines), best)}"""
    write_bytes(folder / "report.md", text.encode())


def _targets(results: Results, names: Sequence[str], best: float) -> str:
    """Return the section on target returns; "" where the default had no other than the best."""
    targets = sorted({r["target_return"] for r in results.records if r["cell"] in names})
    if len(targets) < 2:
        return ""
    rows = []
    for target in targets:
        runs = [results.table(cell=name, target_return=target) for name in names]
        rows.append((f"{target / best:.3g} x best = {target:.0f}", _means(runs)))
    columns = Column("target return"), Column("mean return of each training seed")
    return f"""
## Target return

The default recipe, conditioned on other returns than the data's best:

{Table(columns, tuple(rows)).markdown()}
"""


def _means(runs: Sequence[np.ndarray]) -> str:
    return _listed([run.mean() for run in runs])


def _listed(values: Sequence[float]) -> str:
    return ", ".join(map(WHOLE, values))


def _commits(results: Results) -> list[str]:
    return sorted({f"`{line['commit']}`" for line in results.cells.values()})
