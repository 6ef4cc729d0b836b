"""The links of the README and the guides lead somewhere, and their commands exist."""

import re
import shlex
from pathlib import Path

import pytest
from support.command_line import run

from agentic.cli import COMMANDS

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").glob("*.md"))]
BLOCKS = [
    block
    for page in PAGES
    for block in re.findall(r"```\w*\n(.*?)```", page.read_text(), flags=re.DOTALL)
]
TYPED = sorted(
    {
        line.partition(" #")[0].strip()
        for block in BLOCKS
        for line in block.splitlines()
        if line.startswith("agentic ")
    }
)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    targets = re.findall(r"\]\(([^)#]+)\)", page.read_text())
    near = [target for target in targets if "://" not in target]
    assert [target for target in near if not (page.parent / target).exists()] == []


def test_the_tree_is_the_tree():
    tree = README.read_text().partition("## The tree")[2].partition("```\n")[2].partition("```")[0]
    named = [word for line in tree.splitlines() for word in re.findall(r"^ {2}(?=\S).*", line)]
    parts = [name for line in named for name in re.findall(r"[\w]+(?:\.py|/)", line[:32])]
    assert {path.name for path in (ROOT / "agentic").iterdir() if path.is_dir()} - {
        "__pycache__"
    } <= {name.rstrip("/") for name in parts}
    assert [name for name in parts if not (ROOT / "agentic" / name).exists()] == []


@pytest.mark.parametrize("line", TYPED)
def test_typed_commands_and_their_options_exist(line, capsys):
    words = shlex.split(line)[1:]
    name = " ".join(words[:2]) if " ".join(words[:2]) in COMMANDS else words[0]
    assert name in COMMANDS
    # A benchmark has options of its own, behind its name.
    own = words[1:2] if name == "bench" else []
    assert run(*name.split(), *own, "--help") == 0
    help_text = capsys.readouterr().out
    options = [word for word in words if word.startswith("--")]
    assert [x for x in options if f"{x} " not in help_text and f"{x}, " not in help_text] == []
