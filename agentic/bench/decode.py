"""How long a step of acting takes with long contexts, against reading or recomputing the cache.

A step takes one new token per context through all layers and computes the action from it, as acting
does. The token is the last of the cached ones. The bound is reading the cache's bytes once: NumPy
reads as many bytes on all processors, by turns with the steps. Recomputing is one forward pass over
the tokens of one context; several contexts take as many times as long. The fastest repeats are
reported.
"""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from agentic.acting.compiled import compiled
from agentic.bench import Row, problem
from agentic.bench.problem import at_least_one
from agentic.bench.timing import by_turns, fastest, timed
from agentic.errors import AgenticError, closest
from agentic.network.cache import CACHE_DTYPES, Cache, empty_cache
from agentic.network.config import NetworkConfig, preset
from agentic.network.decoding import Step
from agentic.network.parameters import Parameters, bind, initialize, unstack
from agentic.network.tokens import flatten

EPISODE_LENGTH = 1024
# The rate is measured on at most so many bytes; no processor's own cache holds them.
LARGEST_READ = 2**30
NOT_MEASURED = "not measured"
SIZE = preset(NetworkConfig.model)


@dataclass(frozen=True)
class Options:
    """Measure steps of acting through the key/value cache.

    Attributes:
        tokens: cached tokens per context.
        batch: numbers of contexts side by side.
        cache_dtype: type of keys and values: float32, bfloat16 or both.
        layers: number of layers of the Transformer.
        heads: number of its heads.
        width: channels of its tokens.
        memory: gigabytes that a cache may take; larger combinations are left out.
        recompute: longest context, in tokens, that is also recomputed; 0 for none.
        repeats: steps measured, after one that compiles.
    """

    tokens: tuple[int, ...] = (4096, 32768)
    batch: tuple[int, ...] = (1, 32)
    cache_dtype: tuple[str, ...] = CACHE_DTYPES
    layers: int = SIZE.layers
    heads: int = SIZE.heads
    width: int = SIZE.width
    memory: float = 4.0
    recompute: int = 4096
    repeats: int = 10

    def __post_init__(self):
        for name in self.cache_dtype:
            if name not in CACHE_DTYPES:
                raise AgenticError(f"cache_dtype is {name!r}; {closest(name, CACHE_DTYPES)}.")
        at_least_one(self, "layers", "heads", "width", "repeats", "batch")
        if min(self.tokens, default=0) <= self.repeats:
            raise AgenticError(
                f"tokens is {self.tokens} and repeats {self.repeats}; every repeat adds a token, "
                "so give numbers of tokens that are larger."
            )


def run(options: Options, say: Callable[[str], None]) -> list[Row]:
    """Return a row per number of tokens, number of contexts and type, where the cache fits."""
    rows = list(_rows(options, say))
    if not rows:
        raise AgenticError(f"no cache fits into memory={options.memory:g} gigabytes; allow more.")
    return rows


def _rows(options: Options, say: Callable[[str], None]) -> Iterator[Row]:
    for tokens in options.tokens:
        config = _config(options, tokens)
        stacked = initialize(config, jax.random.key(0))
        parameters = unstack(stacked)
        afresh = None
        if tokens <= options.recompute:
            say(f"recomputing {tokens} tokens")
            afresh = _recomputing(config, stacked, tokens)
        for batch in options.batch:
            for dtype in options.cache_dtype:
                size = _bytes(config, batch, tokens, dtype)
                what = f"{batch} contexts of {tokens} tokens in {dtype}: {size / 1e9:.2g} GB"
                if size > options.memory * 1e9:
                    say(f"left out: {what}")
                    continue
                say(what)
                step, rate = _decoding(config, parameters, batch, tokens, dtype, options.repeats)
                yield {
                    "tokens": tokens,
                    "contexts": batch,
                    "cache": dtype,
                    "cache MB": size / 1e6,
                    "us a step": step * 1e6,
                    "us to read it": size / rate * 1e6,
                    "of reading": size / rate / step,
                    "read GB/s": rate / 1e9,
                    "ms afresh, one context": NOT_MEASURED if afresh is None else afresh * 1e3,
                    "times afresh": NOT_MEASURED if afresh is None else batch * afresh / step,
                }


def _config(options: Options, tokens: int) -> NetworkConfig:
    steps = min(tokens, EPISODE_LENGTH)
    return problem.network(
        steps, -(-tokens // steps), action_chunk=1, layers=options.layers, heads=options.heads,
        width=options.width, dropout=0.0,
    )  # fmt: skip


def _bytes(config: NetworkConfig, batch: int, tokens: int, dtype: str) -> int:
    values = 2 * config.layers * config.groups * config.head_size * batch * tokens
    return values * jnp.dtype(dtype).itemsize


def _decoding(
    config: NetworkConfig, parameters: Parameters, batch: int, tokens: int, dtype: str, repeats: int
) -> tuple[float, float]:
    """Return the seconds of a step with `tokens` in each cache, and the bytes read per second."""
    act = compiled(config, dtype)
    cache = _filled(config, batch, tokens - repeats - 1, dtype)
    latents = jnp.zeros((batch, config.width), config.dtype)
    observations = np.zeros((batch, config.observation_size), np.float32)
    read = reading(min(_bytes(config, batch, tokens, dtype), LARGEST_READ))

    def once(step: Step) -> None:
        nonlocal cache, latents
        cache, latents = act.extend(parameters, cache, latents, step)
        np.asarray(act.act(parameters, latents, observations))

    def stepping(turn: int) -> float:
        step = _step(config, observations, tokens - repeats - 1 + turn)
        return timed(lambda: once(step)).clock

    steps, rates = by_turns([stepping, lambda _: read()], repeats + 1)
    return min(steps[1:]), max(rates)


def reading(size: int) -> Callable[[], float]:
    """Return a function that measures how many bytes per second all processors read."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    parts = np.array_split(np.ones(-(-size // 4), np.float32), count or 1)

    def rate() -> float:
        with ThreadPoolExecutor(len(parts)) as pool:
            list(pool.map(len, parts))  # starts the threads before the clock
            seconds = timed(lambda: list(pool.map(lambda part: part @ part, parts))).clock
        return sum(part.nbytes for part in parts) / seconds

    return rate


def _filled(config: NetworkConfig, batch: int, tokens: int, dtype: str) -> Cache:
    """Return a cache whose first `tokens` slots hold tokens in order."""

    def fill() -> Cache:
        cache = empty_cache(config, batch, dtype)
        places = jnp.arange(cache.positions.shape[1], dtype=jnp.int32)
        places = jnp.where(places < tokens, places, -1)
        return cache._replace(positions=jnp.broadcast_to(places, cache.positions.shape))

    return jax.jit(fill)()


def _step(config: NetworkConfig, observations: np.ndarray, token: int) -> Step:
    """Return the step that writes token `token` of every context."""
    batch = len(observations)
    zeros, each = np.zeros((batch, 1), np.float32), np.ones(batch, np.int32)
    actions = np.zeros((batch, 1, config.action_size), np.float32)
    episode, chunk = divmod(token, config.tokens_per_trajectory)
    before = divmod(max(token - 1, 0), config.tokens_per_trajectory)
    return Step(
        zeros[:, 0], observations, actions, zeros, zeros,
        each * episode, each * chunk, each * before[0], each * before[1], np.ones(batch, bool),
    )  # fmt: skip


def _recomputing(config: NetworkConfig, parameters: Parameters, tokens: int) -> float:
    """Return the seconds of a forward pass over `tokens` tokens of one context."""
    chain = problem.chain(config, rows=1)
    # Where whole trajectories do not add up to `tokens`, the last one is cut short.
    mask = (np.arange(chain.mask.size) < tokens).reshape(chain.mask.shape)
    chain = chain._replace(mask=mask)
    forward = jax.jit(lambda parameters, chain: bind(config, parameters)(flatten(config, chain)))
    jax.block_until_ready(forward(parameters, chain))
    return fastest(lambda: jax.block_until_ready(forward(parameters, chain)), 2)
