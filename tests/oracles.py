"""Slow, obvious NumPy float64 definitions that the fast code must agree with."""

import numpy as np


def attention(q, k, v, q_positions, kv_positions, causal=True, scale=None):
    """Return softmax attention [B, T, H, D], one query row at a time.

    Args:
      q, k, v: [B, T, H, D] and [B, S, K, D]; query head h reads key head h // (H / K).
      q_positions, kv_positions: [B, T] and [B, S]; negative means absent.
      causal: a query sees only keys whose position is not later than its own.
      scale: factor on the scores; 1 / sqrt(D) if None.
    """
    out = np.zeros(np.shape(q))
    rows = _rows(q, k, v, q_positions, kv_positions, causal, scale)
    for (b, t, h), _keys, values, _row, p in rows:
        out[b, t, h] = p @ values
    return out


def attention_gradients(q, k, v, d_out, q_positions, kv_positions, causal=True, scale=None):
    """Return dq, dk and dv of `attention` for the gradient d_out [B, T, H, D] of its output."""
    d_out = np.asarray(d_out, np.float64)
    d_q, d_k, d_v = (np.zeros(np.shape(x)) for x in (q, k, v))
    group = np.shape(q)[2] // np.shape(k)[2]
    factor = np.shape(q)[3] ** -0.5 if scale is None else scale
    rows = _rows(q, k, v, q_positions, kv_positions, causal, scale)
    for (b, t, h), keys, values, row, p in rows:
        d_p = values @ d_out[b, t, h]
        d_s = p * (d_p - p @ d_p) * factor
        d_q[b, t, h] = d_s @ keys
        d_k[b, :, h // group] += np.outer(d_s, row)
        d_v[b, :, h // group] += np.outer(p, d_out[b, t, h])
    return d_q, d_k, d_v


def _rows(q, k, v, q_positions, kv_positions, causal, scale):
    q, k, v = (np.asarray(x, np.float64) for x in (q, k, v))
    q_positions, kv_positions = np.asarray(q_positions), np.asarray(kv_positions)
    batch, queries, heads, size = q.shape
    group = heads // k.shape[2]
    scale = size**-0.5 if scale is None else scale
    for b, t, h in np.ndindex(batch, queries, heads):
        seen = kv_positions[b] >= 0
        if causal:
            seen = seen & (kv_positions[b] <= q_positions[b, t])
        if q_positions[b, t] < 0 or not seen.any():
            continue
        keys, values, row = k[b, :, h // group], v[b, :, h // group], q[b, t, h]
        s = np.where(seen, keys @ row * scale, -np.inf)
        p = np.exp(s - s.max())
        yield (b, t, h), keys, values, row, p / p.sum()


def hindsight_chain(rewards, completion="target"):
    """Return (order, returns-to-go, completions) of trajectories given as lists of rewards.

    One list per trajectory, of any length, in the chain's order; nothing is padded. Exact where
    sums are: give rewards that are multiples of 1/8.
    """
    order = sorted(range(len(rewards)), key=lambda index: (sum(rewards[index]), index))
    target = max(sum(episode) for episode in rewards)
    to_go, marks = [], []
    for episode in (rewards[index] for index in order):
        to_go.append([target - sum(episode[:t]) for t in range(len(episode))])
        meets = completion == "done" or sum(episode) == target
        marks.append([0.0] * (len(episode) - 1) + [float(meets)])
    return order, to_go, marks


def lived_labels(rewards, target, completion="target"):
    """Return (returns-to-go, completions) of one episode's list of rewards, lived for `target`."""
    reached = [t for t in range(len(rewards)) if sum(rewards[: t + 1]) >= target]
    marked = [len(rewards) - 1] if completion == "done" else reached[:1]
    to_go = [target - sum(rewards[:t]) for t in range(len(rewards))]
    return to_go, [float(t in marked) for t in range(len(rewards))]
