"""TD3 whose every bit is the same on every processor: NumPy, double precision, exact sums.

Learning magnifies the last bit, and the last bit of a sum depends on its order, which libraries
choose by processor. Here no sum is rounded: `dot` rounds its operands to whole multiples of a
power of two, few enough bits that products and sums are exact in whatever order they are taken.
What remains (+, -, *, /, the square root) IEEE 754 defines to the last bit; exponentials and
logarithms, which it does not, are not used.

The algorithm is TD3 (Fujimoto et al. 2018, arXiv 1802.09477). Axes: E networks side by side,
B batch, O observation, A action, W width.
"""

import itertools
import math
from typing import NamedTuple

import numpy as np

Params = dict[str, np.ndarray]
BITS = 22  # of each operand of `dot`: products have 44, which leaves 9 of 53 for summing
LONGEST = 2 ** (53 - 2 * BITS)
EPSILON = 1e-5
LEVELS = 2**20  # of a uniform draw: whole numbers, which sum exactly


def rounded(x: np.ndarray) -> tuple[np.ndarray, int]:
    """Return whole numbers n of at most BITS bits, and e: x is n * 2**e but for the rounding."""
    exponent = math.frexp(np.abs(x).max())[1] - BITS
    return np.rint(x * math.ldexp(1.0, -exponent)), exponent


def dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return a @ b, [..., I, K] by [..., K, J], the same bits in any order of summation."""
    if a.shape[-1] > LONGEST:
        raise ValueError(f"{a.shape[-1]} products do not sum exactly; {LONGEST} do.")
    (whole_a, exponent_a), (whole_b, exponent_b) = rounded(a), rounded(b)
    return (whole_a @ whole_b) * math.ldexp(1.0, exponent_a + exponent_b)


def transposed(x: np.ndarray) -> np.ndarray:
    """Return x with its last two axes exchanged."""
    return np.swapaxes(x, -1, -2)


def column_sums(x: np.ndarray) -> np.ndarray:
    """Return [..., 1, K], the sums of x [..., B, K] over B."""
    return dot(np.ones((1, x.shape[-2])), x)


def row_means(x: np.ndarray) -> np.ndarray:
    """Return [..., B, 1], the means of x [..., B, K] over K."""
    return dot(x, np.full((x.shape[-1], 1), 1.0 / x.shape[-1]))


def squash(x: np.ndarray) -> np.ndarray:
    """Return x / sqrt(1 + x^2): between -1 and 1 as the hyperbolic tangent, but reproducible."""
    return x / np.sqrt(1.0 + x * x)


def squash_slope(x: np.ndarray) -> np.ndarray:
    """Return the derivative of `squash`, (1 + x^2)^(-3/2)."""
    root = np.sqrt(1.0 + x * x)
    return 1.0 / (root * root * root)


def near_normal(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Return draws of mean 0 and deviation 1, each the sum of twelve uniform ones.

    All but the tails are normal; normal draws themselves need logarithms.
    """
    draws = rng.integers(LEVELS, size=(12, *shape)).sum(axis=0)
    return (draws - 6.0 * (LEVELS - 1)) / LEVELS


# ------------------------------------------------------------------------------------- networks


class Pass(NamedTuple):
    """What the backward pass needs of a forward pass."""

    x: np.ndarray
    scale: np.ndarray
    normed: np.ndarray
    first: np.ndarray
    second: np.ndarray


def init_networks(rng: np.random.Generator, count: int, sizes: tuple[int, ...]) -> Params:
    """Return weights of `count` networks of two hidden layers, uniform within 1 / sqrt(fan-in)."""
    params: Params = {}
    for layer, (fan_in, fan_out) in enumerate(itertools.pairwise(sizes)):
        bound = 1.0 / math.sqrt(fan_in)
        params[f"w{layer}"] = rng.uniform(-bound, bound, (count, fan_in, fan_out))
        params[f"b{layer}"] = np.zeros((count, 1, fan_out))
    return params


def forward(params: Params, x: np.ndarray) -> tuple[np.ndarray, Pass]:
    """Return the networks' outputs [E, B, out] for inputs x [E or 1, B, in], and the pass.

    The first layer is scaled to unit mean square and squashed, the second rectified.
    """
    z = dot(x, params["w0"]) + params["b0"]
    scale = np.sqrt(row_means(z * z) + EPSILON)
    normed = z / scale
    first = squash(normed)
    second = np.maximum(dot(first, params["w1"]) + params["b1"], 0.0)
    out = dot(second, params["w2"]) + params["b2"]
    return out, Pass(x, scale, normed, first, second)


def backward(params: Params, saved: Pass, d_out: np.ndarray) -> tuple[Params, np.ndarray]:
    """Return the gradients of parameters and inputs, given that of the outputs [E, B, out]."""
    d_second = dot(d_out, transposed(params["w2"])) * (saved.second > 0.0)
    d_first = dot(d_second, transposed(params["w1"]))
    d_normed = d_first * squash_slope(saved.normed)
    d_z = (d_normed - saved.normed * row_means(d_normed * saved.normed)) / saved.scale
    layers = ((saved.x, d_z), (saved.first, d_second), (saved.second, d_out))
    gradient: Params = {}
    for layer, (inputs, d_layer) in enumerate(layers):
        gradient[f"w{layer}"] = dot(transposed(inputs), d_layer)
        gradient[f"b{layer}"] = column_sums(d_layer)
    return gradient, dot(d_z, transposed(params["w0"]))


class Adam:
    """Adam (Kingma & Ba 2015, arXiv 1412.6980), changing parameters in place."""

    def __init__(self, params: Params, learning_rate: float) -> None:
        self._params, self._rate = params, learning_rate
        self._means = {name: np.zeros_like(value) for name, value in params.items()}
        self._squares = {name: np.zeros_like(value) for name, value in params.items()}
        self._decay_mean = self._decay_square = 1.0

    def step(self, gradient: Params) -> None:
        """Move the parameters against the gradient."""
        # Running products: a power is another function whose last bit is nobody's promise.
        self._decay_mean *= 0.9
        self._decay_square *= 0.999
        for name, g in gradient.items():
            mean, square = self._means[name], self._squares[name]
            mean += 0.1 * (g - mean)
            square += 0.001 * (g * g - square)
            deviation = np.sqrt(square / (1.0 - self._decay_square)) + 1e-8
            self._params[name] -= self._rate * (mean / (1.0 - self._decay_mean)) / deviation


# ------------------------------------------------------------------------------------------ TD3


class TD3:
    """An actor, two critics, their slow copies, and how they learn.

    Args:
      settings: the recipe's [agent] table.
      rng: source of the initial weights and of the target noise.
      observation_size, action_size: O and A.
    """

    def __init__(
        self, settings: dict, rng: np.random.Generator, observation_size: int, action_size: int
    ) -> None:
        width = settings["width"]
        self.settings, self._rng, self._updates = settings, rng, 0
        self.actor = init_networks(rng, 1, (observation_size, width, width, action_size))
        self.critics = init_networks(rng, 2, (observation_size + action_size, width, width, 1))
        self._slow_actor = {name: value.copy() for name, value in self.actor.items()}
        self._slow_critics = {name: value.copy() for name, value in self.critics.items()}
        self._actor_adam = Adam(self.actor, settings["learning_rate"])
        self._critic_adam = Adam(self.critics, settings["learning_rate"])

    def act(self, observation_O: np.ndarray) -> np.ndarray:
        """Return the action [A] in [-1, 1], without exploration noise."""
        return squash(forward(self.actor, observation_O[None, None])[0])[0, 0]

    def learn(
        self, observation: np.ndarray, action: np.ndarray, reward: np.ndarray, following: np.ndarray
    ) -> None:
        """Update on transitions [B, O], [B, A], [B, 1] and the observations [B, O] they led to."""
        target = self._target(reward, following)
        out, saved = forward(self.critics, np.concatenate([observation, action], axis=-1)[None])
        gradient, _ = backward(self.critics, saved, (out - target) * (2.0 / len(target)))
        self._critic_adam.step(gradient)
        self._updates += 1
        if self._updates % 2 == 0:  # the policy's delay
            self._improve(observation)

    def _target(self, reward: np.ndarray, following: np.ndarray) -> np.ndarray:
        """Return reward + discount * value of what follows: [B, 1]. Episodes never terminate."""
        settings = self.settings
        clip = settings["target_noise_clip"]
        action = squash(forward(self._slow_actor, following[None])[0])[0]
        noise = settings["target_noise"] * near_normal(self._rng, action.shape)
        action = np.clip(action + np.clip(noise, -clip, clip), -1.0, 1.0)
        values, _ = forward(self._slow_critics, np.concatenate([following, action], axis=-1)[None])
        return reward + settings["discount"] * values.min(axis=0)

    def _improve(self, observation: np.ndarray) -> None:
        """Update the actor to raise the first critic's value, then move the slow copies."""
        raw, saved = forward(self.actor, observation[None])
        first = {name: value[:1] for name, value in self.critics.items()}
        _, value_pass = forward(first, np.concatenate([observation[None], squash(raw)], axis=-1))
        uphill = np.full((1, len(observation), 1), -1.0 / len(observation))
        _, d_inputs = backward(first, value_pass, uphill)
        d_raw = d_inputs[..., observation.shape[-1] :] * squash_slope(raw)
        self._actor_adam.step(backward(self.actor, saved, d_raw)[0])
        rate = self.settings["target_rate"]
        for slow, now in ((self._slow_actor, self.actor), (self._slow_critics, self.critics)):
            for name, value in slow.items():
                value += rate * (now[name] - value)
