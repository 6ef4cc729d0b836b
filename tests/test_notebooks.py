"""The notebooks run from their first cell to their last, and are stored without outputs."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

import agentic

FOLDER = Path(__file__).parents[1] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
# Data, chain, learning curve, attention, in-context curve, acting.
FIGURES = 6


def test_there_is_a_notebook():
    assert NOTEBOOKS


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_are_stored_without_outputs(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert not cell.outputs, f"cell {cell.id}: clear all outputs before committing"
            assert cell.execution_count is None, f"cell {cell.id}: clear all outputs"


@pytest.fixture
def tiny_run(tmp_path):
    """A run folder of five training steps on the sample."""
    config = agentic.configure(
        "cartpole_swingup", str(agentic.sample_directory()),
        width=16, layers=1, steps=5, log_every=1, action_chunk=50, batch_size=1,
    )  # fmt: skip
    return agentic.train(config, tmp_path / "run")


def test_explore_results_runs_on_a_tiny_run(tiny_run, tmp_path, monkeypatch):
    # Neither settings nor kernels of this machine's user take part.
    for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR"):
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.setenv("AGENTIC_RUN", str(tiny_run))
    monkeypatch.setenv("AGENTIC_EPISODES", "2")
    monkeypatch.setenv("AGENTIC_SEEDS", "2")
    notebook = nbformat.read(FOLDER / "01_explore_results.ipynb", as_version=4)
    client = NotebookClient(
        notebook, timeout=300, startup_timeout=300, kernel_name="python3",
        resources={"metadata": {"path": str(FOLDER)}},
    )  # fmt: skip
    client.execute()

    outputs = [(cell.id, output) for cell in notebook.cells for output in cell.get("outputs", [])]
    pictures = [name for name, output in outputs if "image/png" in output.get("data", {})]
    assert len(pictures) == FIGURES, pictures
    complaints = [output.text for _, output in outputs if output.get("name") == "stderr"]
    assert not complaints
    [table] = [output.data for name, output in outputs if name == "protocols"]
    assert "| Agentic Transformer, context kept |" in table["text/markdown"]
