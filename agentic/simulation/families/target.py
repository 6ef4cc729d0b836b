"""Families in which some number of the state should have a value: a goal, a speed, a place."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np

from agentic.simulation.families.family import Array, TaskFamily, array_module

Shape = Literal["bell", "within", "reach"]


def _bell(xp: Any, square: Array, size: float) -> Array:
    return xp.exp(-square / size**2)


def _within(xp: Any, square: Array, size: float) -> Array:
    return (square <= size**2).astype(square.dtype)


def _reach(xp: Any, square: Array, size: float) -> Array:
    outside = xp.maximum(xp.sqrt(square) - size, 0)
    return xp.exp(-np.log(10).item() * (outside / size) ** 2)


_SHAPES: dict[Shape, Callable[[Any, Array, float], Array]] = {
    "bell": _bell,
    "within": _within,
    "reach": _reach,
}


@dataclass(frozen=True, kw_only=True)
class TargetFamily(TaskFamily):
    """The code is the value that the first K features should have.

        d = |features[:K] - code|                  reward = shape(d) * features[K], where F = K + 1

        bell     exp(-(d / size)^2)
        within   1 if d <= size, else 0
        reach    1 if d <= size, else exp(-log(10) ((d - size) / size)^2): 0.1 at twice the size

    Training and evaluation have codes of their own: the range of every coordinate is cut into
    equal cells, and a code in cell i, or in cells (i, j), is held out if (i + 2 j) mod 5 = 2. With
    one coordinate these are 2 of 10 bands, with two coordinates 5 of 5 x 5 squares.

    Attributes:
      low: [K] the smallest codes.
      high: [K] the largest codes.
      unit: of codes and size.
      size: how near is near.
      shape: how the reward falls with the distance.
      walls: half-widths [2] of boxes around the origin that no code lies in.
    """

    low: tuple[float, ...]
    high: tuple[float, ...]
    unit: str
    size: float
    shape: Shape
    walls: tuple[tuple[float, float], ...] = ()

    def measure(self, domain: Any) -> np.ndarray:
        return np.stack([getattr(domain, name)() for name in self.feature_names], axis=1)

    def reward(self, features: Array, code: Array) -> Array:
        axes = range(self.code_size)
        square = sum((features[..., axis] - code[..., axis]) ** 2 for axis in axes)
        near = _SHAPES[self.shape](array_module(features), square, self.size)
        if len(self.feature_names) == self.code_size:
            return near
        return near * features[..., self.code_size]

    def code_of(self, features: Array) -> Array:
        return features[..., : self.code_size].astype(np.float32)

    def draw(
        self, generator: np.random.Generator, count: int, held_out: bool = False
    ) -> np.ndarray:
        codes = np.empty((0, self.code_size), np.float32)
        while len(codes) < count:
            more = generator.uniform(self.low, self.high, (count, self.code_size))
            more = more.astype(np.float32)
            more = more[self._is_free(more) & (self.is_held_out(more) == held_out)]
            codes = np.concatenate([codes, more])
        return codes[:count]

    def is_held_out(self, code: Array) -> Array:
        xp = array_module(code)
        cells = 10 if self.code_size == 1 else 5
        number = 0
        for axis in range(self.code_size):
            width = (self.high[axis] - self.low[axis]) / cells
            cell = xp.floor((code[..., axis] - self.low[axis]) / width)
            # Codes from hindsight may lie beyond the range.
            number = number + 2**axis * xp.clip(cell, 0, cells - 1)
        return number % 5 == 2

    def describe_code(self, code: np.ndarray) -> str:
        names = self.feature_names[: self.code_size]
        parts = (f"{name} {value:.2f} {self.unit}" for name, value in zip(names, code, strict=True))
        return ", ".join(parts)

    def _is_free(self, codes: np.ndarray) -> np.ndarray:
        """Return which codes [N, K] lie in no wall: [N] bool."""
        inside = np.zeros(len(codes), dtype=bool)
        for half_widths in self.walls:
            inside |= (np.abs(codes) < half_widths).all(axis=1)
        return ~inside


_plane = partial(
    TargetFamily, code_size=2, marker="target", low=(-0.29, -0.29), high=(0.29, 0.29), unit="m"
)
_line = partial(TargetFamily, code_size=1, shape="bell")

TARGET_FAMILIES: tuple[TargetFamily, ...] = (
    # The ball can go 0.29 m to every side.
    _plane("point_mass_goal", ("x", "y"), shape="bell", size=0.15),
    _plane("point_mass_goal_sparse", ("x", "y"), shape="within", size=0.06),
    # ExoRL's own reward with its target elsewhere. ExoRL's radius is 0.015, which is hard to find.
    # The walls are the maze's, made larger by the radius of the ball.
    _plane("point_mass_maze_goal", ("x", "y", "gentleness"), shape="reach", size=0.06,
           walls=((0.03, 0.19), (0.19, 0.03))),
    # The suite's reward for swinging up, except for the place of the cart.
    _line("cartpole_position", ("place", "balance"), low=(-1.2,), high=(1.2,), size=0.5, unit="m"),
    _line("cheetah_velocity", ("speed",), low=(-4.0,), high=(4.0,), size=2.0, unit="m/s"),
    _line("walker_velocity", ("speed", "standing"), low=(-2.0,), high=(4.0,), size=1.5,
          unit="m/s"),
)  # fmt: skip
