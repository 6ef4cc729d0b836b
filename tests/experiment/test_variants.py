"""A study of variants changes one setting at a time, and its report has a row for each."""

from agentic.experiment import Experiment
from agentic.experiment.results import Results
from agentic.experiment.variants import variant_cells, write_variants
from agentic.methods.options import flat_options

TASK = "cartpole_swingup"
VARIANTS = {"default": {}, "chain-8": {"trajectories": 8}, "loss-all": {"loss": "all"}}
CELLS = variant_cells(
    TASK, "data/sample", VARIANTS, (100, 101), (0.5, 1.0), one_seed=("loss-all",),
    contexts={"chain-8": 1},
)  # fmt: skip


def results(names: tuple[str, ...]) -> Results:
    """Return results in which cell i earns 10 i, and 1 more in every later episode."""
    cells, records = {}, []
    for i, name in enumerate(names):
        cells[name] = {
            "cell": name, "seed": int(name[-3:]), "task": TASK, "target_return": 200.0,
            "commit": "abc", "machine": "a machine", "seconds": {"training": 60.0},
            "data": {"fingerprint": "f", "source": "data/sample"},
        }  # fmt: skip
        factors = (0.5, 1.0) if name.startswith("default") else (1.0,)
        records += [
            {"cell": name, "context": 0, "episode": e, "target_return": 200.0 * factor,
             "return": 10.0 * i * factor + e}
            for factor in factors
            for e in range(2)
        ]  # fmt: skip
    data = [{"task": TASK, "fingerprint": "f", "returns": [100.0, 200.0]}]
    return Results(Experiment(CELLS, 2, (1000,), write_variants), cells, records, data)


def test_each_variant_differs_from_the_defaults_by_its_own_options():
    cells = {cell.name: cell for cell in CELLS}
    assert list(cells) == ["default-100", "chain-8-100", "loss-all-100", "default-101",
                           "chain-8-101"]  # fmt: skip
    default = cells["default-101"].config
    assert cells["default-101"].target_factors == (0.5, 1.0)
    for name, changed in {
        "chain-8-101": {"trajectories": 8, "batch_size": 1},
        "default-100": {"seed": 100},
    }.items():
        assert flat_options(cells[name].config) == flat_options(default) | changed
    assert (cells["chain-8-100"].contexts, cells["default-100"].contexts) == (1, None)


def test_the_report_has_a_row_a_variant_and_one_a_target(tmp_path):
    write_variants(tmp_path, results(("default-100", "default-101", "chain-8-100")), "T", VARIANTS)
    text = (tmp_path / "report.md").read_text()
    assert "| default | none | 6 | 0, 10 | 5, 6 | 60 |" in text
    assert "| chain-8 | trajectories 8 | 20 | 20 | 20, 21 | 60 |" in text
    assert "| loss-all | loss all | not run |  |  |  |" in text
    assert "| 0.5 x best = 100 | 0, 6 |" in text and "| 1 x best = 200 | 0, 10 |" in text


def test_nothing_is_written_without_the_default(tmp_path):
    write_variants(tmp_path, results(("chain-8-100",)), "T", VARIANTS)
    assert not list(tmp_path.iterdir())
