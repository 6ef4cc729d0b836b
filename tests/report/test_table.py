"""A table is one value: Markdown says what it holds, and a value in it ends no cell."""

import math

import pytest

from agentic.report.table import Column, Estimate, Noted, Table, number

MINUS = "\N{MINUS SIGN}"
TABLE = Table(
    (Column("method"), Column("mean", "right"), Column("steps", "right", "{:.3g}".format)),
    (
        (Noted("cloning", "noise 0.1"), Estimate(789.4, 741, 815.2), 12345.0),
        (Noted("random"), Estimate(-0.6, math.nan, math.nan), "unknown"),
    ),
)


def test_markdown_has_a_line_a_row_and_intervals_in_brackets():
    assert TABLE.markdown() == (
        "| method | mean | steps |\n"
        "|---|---:|---:|\n"
        "| cloning, noise 0.1 | 789 [741, 815] | 1.23e+04 |\n"
        f"| random | {MINUS}0.6 | unknown |"
    )


def test_cells_are_texts_with_notes():
    assert TABLE.cells() == [
        [("cloning", "noise 0.1"), ("789", "741 to 815"), ("1.23e+04", "")],
        [("random", ""), (f"{MINUS}0.6", "no interval"), ("unknown", "")],
    ]


def test_a_value_ends_no_cell_and_no_line():
    table = Table((Column("a|b"),), (("c|d\ne",),))
    assert table.markdown() == "| a\\|b |\n|---|\n| c\\|d e |"


def test_a_column_is_added_at_the_right_and_every_row_has_a_value_for_each():
    table = TABLE.beside(Column("seed"), ["0", "1"])
    assert table.markdown().splitlines()[2].endswith("| 1.23e+04 | 0 |")
    with pytest.raises(ValueError):
        TABLE.beside(Column("seed"), ["0"])
    with pytest.raises(ValueError, match="a row has 2 values and the table 1"):
        Table((Column("a"),), (("b", "c"),))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"), (-0.04, "0"), (3.14, "3.1"), (-3.1, f"{MINUS}3.1"), (20, "20"), (19.96, "20"),
        (1234.5, "1,234"), (-1234, f"{MINUS}1,234"),
    ],
)  # fmt: skip
def test_small_returns_have_a_decimal_and_nothing_has_no_sign(value, text):
    assert number(value) == text
