"""The sampler as it was first written: every array gathered, masked and labelled in passes."""

import numpy as np

from agentic.dataset import Dataset, SamplerConfig
from agentic.hindsight import hindsight_order
from agentic.trajectory import Chain


def sample(data: Dataset, config: SamplerConfig, step: int) -> Chain:
    """Return the batch of whole episodes that (config.seed, step) stands for."""
    generator = np.random.default_rng([config.seed, step])
    returns = np.sum(data.rewards, axis=-1, where=data.mask(np.arange(len(data))), dtype=np.float64)
    ranking = np.argsort(-returns, kind="stable")

    def part(fraction):
        return ranking[: max(1, round(fraction * len(data)))]

    pool = np.sort(part(config.top_fraction))
    best = np.flatnonzero(np.isin(pool, part(config.best_fraction)))
    batch, n = config.batch_size, config.trajectories
    keys = generator.random((batch, len(pool)))
    if config.best_fraction < 1:
        keys[np.arange(batch), best[generator.integers(len(best), size=batch)]] = -1.0
    places = np.argpartition(keys, n - 1, axis=1)[:, :n]
    places = np.take_along_axis(
        places, np.argsort(np.take_along_axis(keys, places, 1), axis=1), axis=1
    )
    counts = np.full(batch, n)
    if config.count == "uniform":
        counts = generator.integers(1, n, size=batch, endpoint=True)
    present = np.arange(n) < counts[:, None]
    by_index = np.argsort(np.where(present, places, len(pool)), axis=1, kind="stable")
    indices = pool[np.take_along_axis(places, by_index, axis=1)]
    order = hindsight_order(returns[indices], present)
    indices = np.take_along_axis(indices, order, axis=1)
    mask = data.mask(indices) & present[..., None]
    return _relabel(
        data.observations[indices], data.actions[indices], data.rewards[indices], mask,
        config.completion,
    )  # fmt: skip


def _relabel(observations, actions, rewards, mask, completion) -> Chain:
    returns = np.sum(rewards, axis=-1, where=mask, dtype=np.float64)
    target = np.max(np.where(mask.any(-1), returns, -np.inf), axis=-1)[..., None]
    target = np.broadcast_to(target, returns.shape)
    earned = np.cumsum(np.where(mask, rewards, 0), axis=-1, dtype=np.float64)
    before = np.concatenate([np.zeros_like(earned[..., :1]), earned[..., :-1]], axis=-1)
    to_go = np.where(mask, target[..., None] - before, 0.0)
    last = mask & ~np.concatenate([mask[..., 1:], np.zeros_like(mask[..., :1])], axis=-1)
    meets = returns >= target - 1e-6 * np.maximum(1.0, np.abs(target))
    marks = last if completion == "done" else last & meets[..., None]
    return Chain(
        observations=np.where(mask[..., None], observations, np.float32(0)),
        actions=np.where(mask[..., None], actions, np.float32(0)),
        rewards=np.where(mask, rewards, np.float32(0)),
        returns_to_go=to_go.astype(np.float32),
        completions=marks.astype(np.float32),
        mask=mask,
    )
