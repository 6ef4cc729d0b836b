"""How long a step of acting takes with long contexts, beside reading the cache and recomputing it.

A step brings one new token a context through all layers. The bound is the time in which the same
process sums an array as large as the cache's filled part, at the rate of the fastest of its
repeats. Recomputing is one forward pass over as many tokens, for one context.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from agentic.acting import compiled
from agentic.bench import Row, fastest
from agentic.errors import AgenticError
from agentic.policy.cache import CACHE_DTYPES, Cache, empty_cache
from agentic.policy.config import Normalization, PolicyConfig
from agentic.policy.decoding import Step
from agentic.policy.parameters import bind, initialize
from agentic.trajectory import Chain

OBSERVATIONS, ACTIONS, STEPS = 24, 6, 1000


@dataclass(frozen=True)
class Options:
    """Measure steps of acting through the key/value cache.

    Attributes:
        tokens: cached tokens a context; the full table is 4096 32768 131072.
        batch: contexts side by side.
        cache_dtype: float32 or bfloat16.
        layers, heads, width: the Transformer.
        memory: most gigabytes for the cache; larger combinations are skipped.
        recompute: longest context, in tokens, that is also computed afresh; 0 for none.
        repeats: steps measured; the fastest is reported.
    """

    tokens: tuple[int, ...] = (4096, 32768)
    batch: tuple[int, ...] = (1, 32)
    cache_dtype: str = "float32"
    layers: int = 3
    heads: int = 1
    width: int = 128
    memory: float = 4.0
    recompute: int = 4096
    repeats: int = 10

    def __post_init__(self):
        if self.cache_dtype not in CACHE_DTYPES:
            raise AgenticError(
                f"cache_dtype is {self.cache_dtype!r}; it must be one of {', '.join(CACHE_DTYPES)}."
            )
        for name in ("tokens", "batch"):
            if not getattr(self, name) or min(getattr(self, name)) < 1:
                raise AgenticError(f"{name} is {getattr(self, name)}; give numbers of at least 1.")
        if self.repeats < 1:
            raise AgenticError(f"repeats is {self.repeats}; it must be at least 1.")


def run(options: Options, say: Callable[[str], None]) -> list[Row]:
    """Return a row for every number of tokens and contexts that fits `options.memory`."""
    return list(_rows(options, say))


def _rows(options: Options, say: Callable[[str], None]) -> Iterator[Row]:
    for tokens in options.tokens:
        config = _config(options, tokens)
        parameters = initialize(config, jax.random.key(0))
        again = float("nan")
        if tokens <= options.recompute:
            say(f"computing {tokens} tokens afresh")
            again = _recomputing(config, parameters, tokens)
        for batch in options.batch:
            size = _bytes(config, batch, tokens, options.cache_dtype)
            row = {"tokens": tokens, "contexts": batch, "cache": options.cache_dtype}
            if size > options.memory * 1e9:
                say(f"skipping {batch} contexts of {tokens} tokens: {size / 1e9:.1f} GB of cache")
                numbers = dict.fromkeys(("us/step", "us to read", "of reading"), float("nan"))
                note = f"skipped: {size / 1e9:.1f} GB is more than memory={options.memory:g}"
            else:
                say(f"decoding {batch} contexts of {tokens} tokens")
                step, read = _decoding(config, parameters, batch, tokens, options)
                numbers = {
                    "us/step": step * 1e6,
                    "us to read": read * 1e6,
                    "of reading": read / step,
                }
                note = ""
            yield row | {"MB": size / 1e6} | numbers | {"us afresh, 1": again * 1e6, "note": note}


def _config(options: Options, tokens: int) -> PolicyConfig:
    return PolicyConfig(
        OBSERVATIONS, ACTIONS, STEPS, trajectories=-(-tokens // STEPS), action_chunk=1,
        layers=options.layers, heads=options.heads, width=options.width, dropout=0.0,
        normalization=Normalization((0.0,) * OBSERVATIONS, (1.0,) * OBSERVATIONS),
    )  # fmt: skip


def _bytes(config: PolicyConfig, batch: int, tokens: int, dtype: str) -> int:
    values = 2 * config.layers * config.groups * config.head_size * batch * tokens
    return values * jnp.dtype(dtype).itemsize


def _decoding(
    config: PolicyConfig, parameters: dict, batch: int, tokens: int, options: Options
) -> tuple[float, float]:
    """Return the seconds of a step with `tokens` in each cache, and of reading as many bytes."""
    act = compiled(config, options.cache_dtype)
    state = [_filled(config, batch, tokens, options.cache_dtype)]
    state.append(jnp.zeros((batch, config.width), config.dtype))
    step = _step(config, batch, tokens - 1)

    def once() -> None:
        state[:] = act.extend(parameters, *state, step)
        jax.block_until_ready(state)

    once()
    seconds = fastest(once, options.repeats)
    # Of the same bytes: the cache itself has slots past the filled ones.
    del state[:]
    count = _bytes(config, batch, tokens, options.cache_dtype) // 4
    array = np.ones(min(count, 2**28), np.float32)
    threads = jax.jit(jnp.sum)
    array = jax.device_put(array)
    threads(array).block_until_ready()
    rate = array.size / fastest(lambda: threads(array).block_until_ready(), options.repeats)
    return seconds, count / rate


def _filled(config: PolicyConfig, batch: int, tokens: int, dtype: str) -> Cache:
    """Return a cache whose first `tokens` slots hold tokens in order."""
    cache = empty_cache(config, batch, dtype)
    places = jnp.arange(cache.positions.shape[1], dtype=jnp.int32)
    places = jnp.where(places < tokens, places, -1)
    return cache._replace(positions=jnp.array(jnp.broadcast_to(places, cache.positions.shape)))


def _step(config: PolicyConfig, batch: int, token: int) -> Step:
    """Return the step that writes token `token` of every context."""
    zeros, each = np.zeros((batch, 1), np.float32), np.ones(batch, np.int32)
    episode, chunk = divmod(token, config.tokens_per_trajectory)
    before = divmod(max(token - 1, 0), config.tokens_per_trajectory)
    return Step(
        zeros[:, 0], np.zeros((batch, OBSERVATIONS), np.float32),
        np.zeros((batch, 1, ACTIONS), np.float32), zeros, zeros, each * episode, each * chunk,
        each * before[0], each * before[1], np.ones(batch, bool),
    )  # fmt: skip


def _recomputing(config: PolicyConfig, parameters: dict, tokens: int) -> float:
    """Return the seconds of a forward pass over `tokens` tokens of one context."""
    # One trajectory after the other; a last one that is cut short is masked.
    lead = (1, config.trajectories, STEPS)
    mask = (np.arange(config.trajectories * STEPS) < tokens).reshape(lead)
    zeros = np.zeros(lead, np.float32)
    chain = Chain(
        observations=np.zeros((*lead, OBSERVATIONS), np.float32),
        actions=np.zeros((*lead, ACTIONS), np.float32),
        rewards=zeros, returns_to_go=zeros, completions=zeros, mask=mask,
    )  # fmt: skip
    forward = jax.jit(lambda parameters, chain: bind(config, parameters).latents(chain))
    forward(parameters, chain).block_until_ready()
    return fastest(lambda: forward(parameters, chain).block_until_ready(), 2)
