"""Benchmarks run, keep their contract and record what is needed to repeat them; no times here."""

import dataclasses
import importlib
import json
import tempfile

import numpy as np
import pytest
from support import compiling

from agentic.attention import BlockSpec
from agentic.bench import BENCHMARKS, attention
from agentic.cli import main
from agentic.cli.bench import usage
from agentic.errors import AgenticError

SMALL = {
    "relabel": ["--tasks", "cartpole_swingup", "--states", "40", "--loop-states", "20",
                "--threads", "1", "--repeats", "1"],
    "families": ["--families", "point_mass_goal", "--episodes", "3", "--steps", "5",
                 "--batch-size", "2", "--repeats", "2"],
    "convert": ["--task", "cartpole_swingup", "--recorded", "2", "--episodes", "5",
                "--workers", "2", "--repeats", "1", "--folder", tempfile.gettempdir()],
    "sampler": ["--episodes", "5", "--steps", "20", "--trajectories", "2", "--repeats", "2",
                "--folder", tempfile.gettempdir()],
    "attention": ["--tokens", "64", "--repeats", "1", "--heads", "2", "--size", "8",
                  "--blocks", "32x16"],
    "ring": ["--tokens", "64", "--shapes", "2x8", "--devices", "2"],
    "memory": ["--model", "3x128", "--variants", "blockwise", "--trajectories", "2",
               "--steps", "16"],
    "train": ["--model", "3x128", "--trajectories", "2", "--tokens-per-step", "1",
              "--steps", "8", "--repeats", "1", "--product", "64", "--remat", "attention"],
    "decode": ["--tokens", "64", "16", "--batch", "2", "--width", "8", "--layers", "1",
               "--repeats", "2", "--recompute", "16"],
    "simulation": ["--tasks", "cartpole_swingup", "--steps", "5", "--repeats", "1", "--num", "2"],
    "evaluate": ["--task", "jaco_reach_top_left", "--num", "2", "--episodes", "1", "--layers", "1",
                 "--width", "8", "--action-chunk", "50", "--steps", "3", "--repeats", "1"],
}  # fmt: skip


@pytest.mark.parametrize("name", BENCHMARKS)
def test_every_benchmark_has_documented_options_and_says_what_it_does(name):
    module = importlib.import_module(f"agentic.bench.{name}")
    assert module.Options.__dataclass_params__.frozen
    module.Options()
    for field in dataclasses.fields(module.Options):
        assert f" {field.name}" in module.Options.__doc__, field.name


@pytest.mark.parametrize("name", BENCHMARKS)
@compiling.plainly()
def test_a_benchmark_records_what_repeats_it(name, tmp_path, capsys):
    out = tmp_path / "record.json"
    main(["bench", name, *SMALL[name], "--json", "--out", str(out)])
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads(out.read_text())
    assert printed["benchmark"] == name and name in printed["command"]
    assert {"commit", "machine", "versions", "options", "python", "date"} <= printed.keys()
    assert printed["rows"]
    for row in printed["rows"]:
        assert row.keys() == printed["rows"][0].keys()
        assert all(isinstance(value, str) or value >= 0 for value in row.values())


def test_without_json_there_is_a_table(capsys):
    main(["bench", "relabel", *SMALL["relabel"]])
    printed = capsys.readouterr().out
    assert "agentic bench relabel" in printed and "cartpole_swingup" in printed


def test_blocks_to_try_have_rows_and_what_is_no_size_is_refused():
    with pytest.raises(AgenticError, match="blocks has '512'; give rows of queries times keys"):
        attention.Options(blocks=("512",))
    forms = attention._forms(attention.Options((64,), 1, blocks=("8x16",)), 64)
    assert "ours, blockwise 8x16" in forms


def test_products_alone_are_those_of_the_pairs_of_blocks_that_attention_visits():
    rng = np.random.default_rng(0)
    q, k, v, d_out = rng.standard_normal((4, 1, 12, 2, 4), np.float32)
    out, gradients = attention.products_alone(q, k, v, d_out, blocks=BlockSpec(4, 4), backward=True)
    visited = np.kron(np.tri(3), np.ones((4, 4)))  # whole blocks of the diagonal: no mask
    for head in range(2):
        q_h, k_h, v_h, d_h = (x[0, :, head] for x in (q, k, v, d_out))
        s, d_s = q_h @ k_h.T * visited, d_h @ v_h.T * visited
        got = out, gradients.q.swapaxes(-1, -2), gradients.k, gradients.v
        for mine, due in zip(got, (s @ v_h, d_s @ k_h, d_s.T @ q_h, s.T @ d_h), strict=True):
            np.testing.assert_allclose(np.asarray(mine)[:, head].reshape(12, 4), due, atol=1e-4)


def test_the_two_ways_to_relabel_agree():
    from agentic.bench import relabel

    options = relabel.Options(states=64, loop_states=64, threads=(1,), repeats=1)
    assert [row["max difference"] for row in relabel.run(options, print)] == [0, 0, 0]


def test_help_names_every_benchmark_and_a_wrong_name_the_closest(capsys):
    main(["bench", "--help"])
    assert capsys.readouterr().out == usage() + "\n"
    assert all(f"  {name} " in usage() and text in usage() for name, text in BENCHMARKS.items())
    with pytest.raises(SystemExit) as end:
        main(["bench", "relable"])
    assert end.value.code == 1
    assert "did you mean 'relabel'" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["bench", "relabel", "--help"])
    assert "--loop-states" in capsys.readouterr().out
