"""The shape of the Transformer: its inputs, how steps become tokens, and its size by name."""

from dataclasses import dataclass, field
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


INPUTS = {
    "R": "return-to-go",
    "s": "observation",
    "a": "action",
    "r": "reward",
    "d": "completion",
}


@dataclass(frozen=True)
class Normalization:
    """Constants that bring raw inputs to unit scale; they travel with the weights.

    observation_mean and observation_std have one value per observation; returns-to-go are divided
    by return_scale.
    """

    observation_mean: tuple[float, ...]
    observation_std: tuple[float, ...]
    return_scale: float = 1.0


Layout = Literal["5", "4", "1"]
LAYOUTS: tuple[Layout, ...] = ("5", "4", "1")
Dtype = Literal["float32", "bfloat16"]


@dataclass(frozen=True, kw_only=True)
class NetworkOptions:
    """Size of the Transformer, and how steps become its tokens.

    Attributes:
        layout: tokens a step, "5" (return-to-go, observation, action, reward, completion), "4"
            (no completion) or "1" (all in one token); methods without returns or rewards have
            fewer at "5" and "4".
        action_chunk: steps a token covers in layout "1". A small head reads the token's latent and
            the current observation, so that control stays closed-loop at every step.
        model: size of the Transformer; the paper has 3 layers, 1 head and width 128.
        layers: instead of the model's.
        heads: of attention, dividing the width, instead of the model's.
        width: channels of a token, instead of the model's.
        dropout: rate on residual branches, embeddings and latents, never on attention weights; the
            paper has 0.1.
        dtype: what activations are computed in; parameters stay float32.
    """

    layout: Layout = "1"
    action_chunk: int = 20
    model: Model = "3x128"
    layers: int | None = None
    heads: int | None = None
    width: int | None = None
    dropout: float = 0.3
    dtype: Dtype = "float32"

    def __post_init__(self):
        if self.layout not in LAYOUTS:
            raise AgenticError(f"layout is {self.layout!r}; {closest(str(self.layout), LAYOUTS)}.")
        for name, value in (self.size._asdict() | {"action_chunk": self.action_chunk}).items():
            if value < 1:
                raise AgenticError(f"{name} is {value}; it must be at least 1.")
        _check_divides("heads", self.size.heads, "width", self.size.width)
        if not 0 <= self.dropout < 1:
            raise AgenticError(f"dropout is {self.dropout}; it must lie in [0, 1).")
        if self.dtype not in ("float32", "bfloat16"):
            raise AgenticError(
                f"dtype is {self.dtype!r}; {closest(self.dtype, ['float32', 'bfloat16'])}."
            )

    @property
    def size(self) -> Size:
        """The Transformer's: the model's, but for what is given instead."""
        own = {name: getattr(self, name) for name in Size._fields}
        given = {name: value for name, value in own.items() if value is not None}
        return preset(self.model)._replace(**given)

    @property
    def steps_per_token(self) -> int:
        """Kept steps that a token covers."""
        return self.action_chunk if self.layout == "1" else 1


def _check_divides(name: str, part: int, of: str, whole: int) -> None:
    if part < 1 or whole % part:
        divisors = [n for n in range(1, whole + 1) if whole % n == 0]
        nearest = min(divisors, key=lambda n: abs(n - part))
        raise AgenticError(
            f"{name} is {part}; it must divide {of}, which is {whole}: {nearest} does."
        )


@dataclass(frozen=True)
class NetworkConfig(NetworkOptions):
    """Shape of one Agentic Transformer (arXiv 2305.16554, section 3).

    Its layers, heads and width are numbers, and `action_chunk` is 1 unless steps are one token.

    Attributes:
        observation_size, action_size: O and A.
        episode_length: longest trajectory, in steps.
        trajectories: most trajectories in one context (n).
        inputs: letters of what the model sees, out of "Rsard": return-to-go, observation, action,
            reward, completion. "Rsa" is the Decision Transformer, "sa" behaviour cloning. Layout
            "4" leaves the "d" out.
        key_value_heads: heads of keys and values (grouped-query attention); None means `heads`.
        feedforward: hidden width of the feed-forward network, in multiples of `width`.
        trajectory_embedding: whether tokens know the index of their trajectory in the context.
        block: tokens per block of the feed-forward network, 16 times as many on a GPU; attention
            chooses its own blocks.
        normalization: set from the data when training starts.
    """

    observation_size: int
    action_size: int
    episode_length: int
    trajectories: int = 4
    inputs: str = "Rsard"
    key_value_heads: int | None = None
    feedforward: int = 4
    trajectory_embedding: bool = True
    block: int = 512
    normalization: Normalization = field(default=Normalization((), ()))

    def __post_init__(self):
        super().__post_init__()
        inputs = self.inputs.replace("d", "") if self.layout == "4" else self.inputs
        follows = {"action_chunk": self.steps_per_token, "inputs": inputs, **self.size._asdict()}
        for name, value in follows.items():
            object.__setattr__(self, name, value)
        if not set(self.inputs) <= set(INPUTS) or "s" not in self.inputs:
            raise AgenticError(
                f"inputs is {self.inputs!r}; it takes letters of 'Rsard' and needs the 's'."
            )
        if tuple(self.inputs) != tuple(letter for letter in INPUTS if letter in self.inputs):
            raise AgenticError(f"inputs is {self.inputs!r}; each letter once, ordered as 'Rsard'.")
        for name in ("trajectories", "block"):
            if getattr(self, name) < 1:
                raise AgenticError(f"{name} is {getattr(self, name)}; it must be at least 1.")
        _check_divides("key_value_heads", self.groups, "heads", self.heads)

    @property
    def joint(self) -> bool:
        """Whether a whole step is one token, or every input has a token of its own."""
        return self.layout == "1"

    @property
    def groups(self) -> int:
        """Heads of keys and values."""
        return self.key_value_heads or self.heads

    @property
    def head_size(self) -> int:
        """Channels per attention head."""
        return self.width // self.heads

    @property
    def chunks(self) -> int:
        """Groups of `action_chunk` steps in the longest trajectory; the last may be partial."""
        return -(-self.episode_length // self.action_chunk)

    @property
    def tokens_per_chunk(self) -> int:
        """Tokens that one chunk of steps becomes."""
        return 1 if self.joint else len(self.inputs)

    @property
    def tokens_per_trajectory(self) -> int:
        """Tokens of the longest trajectory."""
        return self.chunks * self.tokens_per_chunk
