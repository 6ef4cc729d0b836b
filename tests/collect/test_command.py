"""`agentic collect`: words, mistakes in one sentence, and the way to training."""

import pytest

from agentic.cli import main

TASK = "cartpole_swingup"
TINY = ("--width", 8, "--batch-size", 8, "--seed-steps", 1000, "--update-every", 100)
TRAIN = (
    "--steps", "2", "--width", "16", "--layers", "1", "--action-chunk", "50",
    "--trajectories", "2", "--batch-size", "2", "--log-every", "2",
)  # fmt: skip


def run(*arguments) -> int:
    """Run a command in this process and return its exit code."""
    try:
        main([str(argument) for argument in arguments])
    except SystemExit as end:
        return end.code or 0
    return 0


def fails(capsys, *arguments) -> str:
    """Run a command that must fail with one sentence and no traceback; return the sentence."""
    assert run(*arguments) == 1
    lines = [line for line in capsys.readouterr().err.splitlines() if line.strip()]
    assert len(lines) == 1 and lines[0].startswith("error: "), lines
    return lines[0]


def test_collected_data_is_trained_on(tmp_path, capsys):
    out = tmp_path / "data"
    collecting = ("collect", TASK, "--explorer", "random", "--out", out)
    assert run(*collecting, "--steps", 1500) == 0
    words = " ".join(capsys.readouterr().out.split())
    assert "1,500 steps are rounded up to 2,000: 2 whole episodes of 1000" in words
    assert f"next: agentic train {TASK} --data" in words
    assert "steps/s" in words and " ext " in words
    assert "--resume" in fails(capsys, *collecting, "--steps", 3000)
    assert "seed = 0 and this command has 5" in fails(
        capsys, *collecting, "--steps", 3000, "--resume", "--seed", 5
    )
    assert run(*collecting, "--steps", 3000, "--resume") == 0
    assert run("train", TASK, "--data", out, "--out", tmp_path / "run", *TRAIN) == 0
    capsys.readouterr()
    # A folder of data is no run, and says what to do with it.
    assert f"agentic train {TASK} --data {out}" in fails(capsys, "evaluate", out)


def test_progress_shows_both_rewards(tmp_path, capsys):
    arguments = ("collect", TASK, "--explorer", "rnd", "--steps", 2000, "--out", tmp_path, *TINY)
    assert run(*arguments) == 0
    words = " ".join(capsys.readouterr().out.split())
    assert " int " in words and " ext " in words and "hint" not in words


def test_too_few_steps_for_the_method_to_act_are_remarked_on(tmp_path, capsys):
    arguments = ("collect", TASK, "--explorer", "rnd", "--steps", 1000, "--out", tmp_path, *TINY)
    assert run(*arguments) == 0
    assert "hint: the first 1,000 steps are random" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((TASK, "--explorer", "rdn"), "explorer is 'rdn'; did you mean 'rnd'"),
        (("cartpole_swigup", "--explorer", "rnd"), "did you mean 'cartpole_swingup'"),
        ((TASK, "--explorer", "rnd", "--envs", 0), "envs is 0; it must be at least 1"),
    ],
)
def test_mistakes_end_in_one_sentence(arguments, words, tmp_path, capsys):
    out = tmp_path / "data"
    assert words in fails(capsys, "collect", *arguments, "--steps", 1000, "--out", out)
    assert not out.exists()
