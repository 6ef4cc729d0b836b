"""The figures of experiments/benchmarks/README.md are those of the files that it names."""

import json
import re
from pathlib import Path

import pytest

import experiments.benchmarks.gpu

FOLDER = Path(experiments.benchmarks.gpu.__file__).parent
SECTIONS = {
    section.partition("\n")[0]: section
    for section in (FOLDER / "README.md").read_text().split("\n## ")[1:]
}


def cells(section: str) -> list[str]:
    """Return the numbers in the tables of a section, as they are written."""
    lines = [line for line in section.splitlines() if line.startswith("|")]
    words = [word.strip() for line in lines for word in line.strip("|").split("|")]
    return [word for word in words if re.fullmatch(r"[\d.,]+", word)]


def figures(value) -> list[float]:
    """Return every number of a document, in its unit and in thousandths and thousands of it."""
    if isinstance(value, dict | list):
        parts = [*value, *value.values()] if isinstance(value, dict) else value
        return [number for part in parts for number in figures(part)]
    if isinstance(value, str):  # such as "attention cudnn, 16384 tokens"
        return [float(number) for number in re.findall(r"\d+", value)]
    if isinstance(value, bool) or value is None:
        return []
    return [value, value / 1e3, value * 1e3]


def ratios(rows: list[dict]) -> list[float]:
    """Return what attention's table compares: milliseconds and bytes of the forms of one length."""
    return [
        one[key] / other[key]
        for one in rows
        for other in rows
        for key in ("ms", "temporary MB")
        if (one["tokens"], one["pass"]) == (other["tokens"], other["pass"])
    ]


@pytest.mark.parametrize("title", SECTIONS)
def test_every_figure_of_a_table_is_in_its_files(title):
    documents = [
        json.loads((FOLDER / name).read_text()) for name in re.findall(r"[\w-]+\.json", title)
    ]
    found = [number for document in documents for number in figures(document)]
    if title.startswith("Attention"):
        found += [ratio for document in documents for ratio in ratios(document["rows"])]
    numbers = cells(SECTIONS[title])
    assert documents and numbers
    for text in numbers:
        digits = len(text.partition(".")[2])
        written = float(text.replace(",", ""))
        # As many digits as are written, or three of a large number.
        close = [abs(x - written) <= max(0.51 * 10**-digits, 0.005 * written) for x in found]
        assert any(close), (title, text)


def test_no_cell_of_a_table_is_a_paragraph():
    for line in (FOLDER / "README.md").read_text().splitlines():
        if line.startswith("|"):
            assert max(map(len, line.split("|"))) <= 60, line
