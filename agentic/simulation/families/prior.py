"""Random rewards over observations: the tasks that zero-shot methods are trained on.

Source: Frans et al. 2024, arXiv 2402.17135: a third of the rewards are goals, a third
are linear, and a third are small random networks. Here they lie in [0, 1].
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from agentic.simulation.families.family import Array, TaskFamily, array_module
from agentic.simulation.tasks import FAMILY_BASES, TASKS

KINDS = ("goal", "linear", "network")
HIDDEN = 8  # units of a random network
MOST_ENTRIES = 3  # a drawn goal or linear reward reads at most so many entries of the observation
# Sensors of force and acceleration, which a stored state does not determine.
_SENSORS = {"jaco": slice(12, 18), "quadruped": slice(48, 78)}


@dataclass(frozen=True, kw_only=True)
class RewardPrior(TaskFamily):
    """Random rewards over f = arcsinh(observation), so that no velocity drowns the angles.

        goal      exp(-sum_i (w_i (f_i - p_i))^2 / size^2)
        linear    (1 + tanh(sum_i w_i (f_i - p_i))) / 2
        network   (1 + tanh(v . tanh(U f + b))) / 2

    A code is (which of the three: 3 numbers with one 1; p [F]; w [F]; U [F, 8]; b [8]; v [8]), with
    zeros for the parts that it does not need. Nothing is held out: every draw is a new reward.
    """

    size: float = 0.3

    @property
    def features_name(self) -> str:
        return "observations"

    def measure(self, domain: Any) -> np.ndarray:
        observations = domain.observe()
        sensors = _SENSORS.get(self.base.domain, slice(0, 0))
        return np.arcsinh(np.delete(observations, sensors, axis=1))

    def reward(self, features: Array, code: Array) -> Array:
        xp = array_module(features)
        kind, point, weights, inner, bias, outer = self._parts(code)
        beyond = weights * (features - point)
        goal = xp.exp(-xp.sum(beyond**2, axis=-1) / self.size**2)
        linear = (1 + xp.tanh(xp.sum(beyond, axis=-1))) / 2
        hidden = xp.tanh(_products(features, inner) + bias)
        network = (1 + xp.tanh(xp.sum(hidden * outer, axis=-1))) / 2
        return kind[..., 0] * goal + kind[..., 1] * linear + kind[..., 2] * network

    def code_of(self, features: Array) -> Array:
        xp, count = array_module(features), len(self.feature_names)
        one = xp.ones_like(features[..., :1])
        zeros = xp.zeros_like(one)
        parts = [one, zeros, zeros, features, xp.ones_like(features) / count**0.5]
        rest = self.code_size - len(KINDS) - 2 * count
        parts.append(xp.broadcast_to(zeros, (*features.shape[:-1], rest)))
        return xp.concatenate(parts, axis=-1).astype(np.float32)

    def draw(
        self, generator: np.random.Generator, count: int, held_out: bool = False
    ) -> np.ndarray:
        size = len(self.feature_names)
        codes = np.zeros((count, self.code_size), np.float32)
        for code in codes:
            kind, point, weights, inner, bias, outer = self._parts(code)
            chosen = generator.integers(len(KINDS))
            kind[chosen] = 1
            if KINDS[chosen] == "network":
                inner[:] = generator.normal(scale=size**-0.5, size=inner.shape)
                bias[:] = generator.normal(scale=0.5, size=bias.shape)
                outer[:] = generator.normal(size=outer.shape)
                continue
            entries = generator.permutation(size)[: generator.integers(1, MOST_ENTRIES + 1)]
            point[entries] = generator.uniform(-1, 1, len(entries))
            normal = generator.normal(size=len(entries))
            weights[entries] = 1 if KINDS[chosen] == "goal" else 2 * normal
        return codes

    def describe_code(self, code: np.ndarray) -> str:
        kind, point, weights, *_ = self._parts(code)
        name = KINDS[int(np.argmax(kind))]
        if name == "network":
            return "a random network of the observation"
        names = self.feature_names
        entries = np.flatnonzero(weights)
        if name == "linear":
            return "linear in " + ", ".join(names[entry] for entry in entries)
        return "goal " + ", ".join(
            f"{names[entry]} {np.sinh(point[entry]):.2f}" for entry in entries
        )

    def _parts(self, code: Array) -> tuple[Array, ...]:
        """Return views of a code's parts: which, p, w, U, b and v."""
        count = len(self.feature_names)
        ends = np.cumsum([len(KINDS), count, count, count * HIDDEN, HIDDEN, HIDDEN]).tolist()
        starts = [0, *ends[:-1]]
        parts = [code[..., start:end] for start, end in zip(starts, ends, strict=True)]
        parts[3] = parts[3].reshape(*code.shape[:-1], count, HIDDEN)
        return tuple(parts)


def _products(features: Array, matrices: Array) -> Array:
    """Return each vector [..., F] times its matrix [..., F, H]: [..., H]."""
    xp = array_module(features)
    if matrices.ndim > 2 and matrices.shape[-3] == 1 and features.ndim > 1:
        # All steps of a trajectory have one matrix: a product of matrices is many times as fast.
        return xp.matmul(features, matrices[..., 0, :, :])
    return xp.matmul(features[..., None, :], matrices)[..., 0, :]


def _prior(name: str) -> RewardPrior:
    base = TASKS[FAMILY_BASES[name]]
    entries = np.arange(base.observation_size)
    names = np.delete(entries, _SENSORS.get(base.domain, slice(0, 0))).tolist()
    size = len(KINDS) + (2 + HIDDEN) * len(names) + 2 * HIDDEN
    return RewardPrior(name, tuple(f"observation[{entry}]" for entry in names), size)


PRIORS = tuple(_prior(name) for name in FAMILY_BASES if name.endswith("_prior"))
