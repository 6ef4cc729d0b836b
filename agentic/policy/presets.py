"""Sizes of the Transformer by name."""

from typing import Literal, NamedTuple

from agentic.errors import AgenticError, closest

Model = Literal["3x128", "20m", "100m", "350m", "1b", "3b", "7b", "13b", "30b", "70b"]


class Size(NamedTuple):
    """Layers, heads of attention, and channels of a token."""

    layers: int
    heads: int
    width: int


# The Agentic Transformer's own (arXiv 2305.16554); two sizes in between; that of the blockwise
# and ring papers' runs on chains (arXiv 2305.19370, 2310.01889); and shapes of LLaMA language
# models, for comparing memory alone. A layer has 12 width^2 weights.
PRESETS: dict[Model, Size] = {
    "3x128": Size(3, 1, 128),
    "20m": Size(6, 8, 512),
    "100m": Size(14, 12, 768),
    "350m": Size(24, 16, 1024),
    "1b": Size(22, 32, 2048),
    "3b": Size(26, 32, 3200),
    "7b": Size(32, 32, 4096),
    "13b": Size(40, 40, 5120),
    "30b": Size(60, 52, 6656),
    "70b": Size(80, 64, 8192),
}


def preset(name: str) -> Size:
    """Return the size of a name, or raise AgenticError with the closest one."""
    if name not in PRESETS:
        raise AgenticError(f"model is {name!r}; {closest(name, PRESETS)}.")
    return PRESETS[name]
