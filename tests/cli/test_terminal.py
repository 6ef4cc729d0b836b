"""What is printed is what there is: literally, within the terminal's width, on any terminal."""

import io
import os
import shutil
import subprocess
import sys

import pytest
from rich.console import Console
from support.command_line import run

from agentic import sample_directory
from agentic.cli.terminal import LITERAL, print_table, progress, say, steps_of_bytes
from agentic.dataset.episodes import list_episodes
from agentic.report.table import Column, Estimate, Noted, Table

# Markup of rich that opens, closes nothing, and names an emoji.
ODD = "s[bold][/old]:smile:"
WIDE = Table(
    (Column("kind"), *(Column(f"a long heading {index}", "right") for index in range(8))),
    (("one", *range(8)), ("two", *range(8))),
)


def printed(table: Table, width: int, encoding: str = "utf-8", **words) -> str:
    stream = io.TextIOWrapper(io.BytesIO(), encoding, errors="strict", newline="")
    print_table(table, **words, on=Console(file=stream, width=width, **LITERAL))
    stream.seek(0)
    return stream.read()


def test_names_are_printed_as_they_are(capsys):
    say(ODD)
    with progress(ODD, "steps") as advance:
        advance(1, 2, f"note {ODD}")
    with steps_of_bytes(ODD) as show:
        show("fetch", 10, 10, f"note {ODD}")
    words = capsys.readouterr().out
    assert words.count(ODD) == 6
    table = Table((Column(ODD),), ((ODD,), (Noted(ODD, ODD),)))
    assert printed(table, 80, title=ODD, caption=ODD).count(ODD) == 6


def test_a_table_is_no_wider_than_the_terminal_and_then_stands_on_its_side():
    whole = printed(WIDE, 300).splitlines()
    assert sum("a long heading" in line for line in whole) == 1
    narrow = printed(WIDE, 60).splitlines()
    assert sum("a long heading" in line for line in narrow) == 8
    assert "one" in narrow[1] and "two" in narrow[1]
    assert max(map(len, narrow)) <= 60
    # Where neither way fits, texts are folded and none is cut.
    for width in (12, 20):
        tight = printed(WIDE, width)
        assert max(map(len, tight.splitlines())) <= width and "\N{HORIZONTAL ELLIPSIS}" not in tight


def test_an_interval_stands_below_its_number_with_a_sign_that_can_be_typed():
    table = Table((Column("mean", "right"),), ((Estimate(-6, -20, 0.5),),))
    lines = [
        line.strip("\N{BOX DRAWINGS LIGHT VERTICAL} ") for line in printed(table, 80).split("\n")
    ]
    assert lines[3:5] == ["-6", "-20 to 0.5"]


@pytest.fixture(scope="module")
def odd_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("odd") / "d[/old]\N{LATIN SMALL LETTER E WITH ACUTE}"
    folder.mkdir(parents=True)
    shutil.copy(list_episodes(sample_directory())[0], folder)
    return folder


def test_a_folder_in_square_brackets_is_described_and_converted(odd_folder, tmp_path, capsys):
    assert run("data", "info", odd_folder) == 0
    assert "d[/old]" in capsys.readouterr().out
    store = tmp_path / "s[bold].h5"
    assert run("data", "convert", odd_folder, store) == 0
    words = capsys.readouterr().out
    assert f"{store}: 1 episodes" in words
    assert f"next: agentic data relabel '{store}' --task TASK" in words


def test_a_terminal_of_ascii_shows_every_name(odd_folder):
    done = subprocess.run(
        [sys.executable, "-m", "agentic", "data", "info", str(odd_folder)],
        env={**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "COLUMNS": "300"},
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr.decode()
    assert rb"d[/old]\xe9" in done.stdout and done.stdout.isascii()
