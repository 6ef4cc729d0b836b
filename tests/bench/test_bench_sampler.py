"""The sampler's benchmark measures both ways, cleans up, and refuses wrong options."""

import pytest

from agentic.bench.sampler import Options, run
from agentic.errors import AgenticError


def test_every_length_of_chain_is_measured_both_ways(tmp_path):
    said = []
    options = Options(episodes=9, steps=20, trajectories=(2, 5), repeats=3, folder=tmp_path)
    rows = run(options, said.append)
    assert [(row["trajectories"], row["drawn"]) for row in rows] == [
        (n, drawn) for n in (2, 5) for drawn in ("in the loop", "ahead")
    ]
    for row in rows:
        # 24 observations, 6 actions, a reward, two labels of 4 bytes, and a bit of mask.
        assert row["MB"] == pytest.approx(row["trajectories"] * 20 * (33 * 4 + 1) / 1e6)
        numbers = [value for value in row.values() if isinstance(value, float)]
        assert len(numbers) == 5 and all(value > 0 for value in numbers)
        assert row["of copying"] == pytest.approx(row["GB/s"] / row["GB/s of copying"])
    assert list(tmp_path.iterdir()) == [] and len(said) == 3


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"repeats": 0}, "repeats is 0; it must be at least 1"),
        ({"trajectories": ()}, r"trajectories is \(\); give one or more numbers of at least 1"),
        ({"trajectories": (4, 0)}, r"trajectories is \(4, 0\); give one or more numbers"),
        ({"episodes": 100}, "trajectories is 128 and episodes 100; .* take at least 128 episodes"),
    ],
)
def test_wrong_options_are_one_sentence(fields, sentence):
    with pytest.raises(AgenticError, match=f"^{sentence}"):
        Options(**fields)
