"""Configurations contradict themselves in one sentence, and need no jax to be read."""

import subprocess
import sys

import pytest

from agentic.errors import AgenticError
from agentic.network.config import NetworkConfig

SIZES = {"observation_size": 4, "action_size": 2, "episode_length": 7}


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"inputs": "Rax"}, "inputs is 'Rax'; it takes letters of 'Rsard' and needs the 's'"),
        ({"inputs": "Rar"}, "needs the 's'"),
        ({"inputs": "sR"}, "inputs is 'sR'; each letter once, ordered as 'Rsard'"),
        ({"inputs": "ssa"}, "each letter once"),
        ({"trajectories": 0}, "trajectories is 0; it must be at least 1"),
        ({"action_chunk": 0}, "action_chunk is 0"),
        ({"layers": -1}, "layers is -1"),
        ({"width": 0}, "width is 0"),
        ({"block": 0}, "block is 0"),
        ({"layout": "6"}, "layout is '6'; .*valid: 1, 4, 5"),
        ({"heads": 3}, "heads is 3; it must divide width"),
        (
            {"heads": 4, "key_value_heads": 3},
            "key_value_heads is 3; it must divide heads, which is 4: 2 does",
        ),
        ({"dropout": 1.0}, r"dropout is 1.0; it must lie in \[0, 1\)"),
        ({"dtype": "float16"}, "dtype is 'float16'; did you mean"),
    ],
)
def test_contradictions_die_in_one_sentence(fields, words):
    with pytest.raises(AgenticError, match=words) as caught:
        NetworkConfig(**SIZES, **fields)
    assert "\n" not in str(caught.value)


def test_sizes_follow_from_the_fields():
    chunked = NetworkConfig(**SIZES, action_chunk=3, width=64, heads=4, key_value_heads=2)
    assert (chunked.chunks, chunked.tokens_per_chunk, chunked.tokens_per_trajectory) == (3, 1, 3)
    assert (chunked.groups, chunked.head_size) == (2, 16)
    separate = NetworkConfig(**SIZES, layout="4", action_chunk=3, heads=2)
    assert (separate.joint, separate.action_chunk, separate.inputs) == (False, 1, "Rsar")
    assert (separate.chunks, separate.tokens_per_chunk) == (7, 4)
    assert (separate.tokens_per_trajectory, separate.groups) == (28, 2)


def test_reading_a_configuration_loads_no_jax():
    code = "import sys, agentic.network; sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
