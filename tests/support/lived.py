"""Chains as a policy lives them, step by step."""

import numpy as np
from support import synthetic

from agentic.acting.context import ContextPolicy
from agentic.hindsight import EpisodeProgress, append, begin
from agentic.trajectory import Chain


def as_lived(chain: Chain) -> Chain:
    """Return the chain with completions as acting marks them: where the target is first met."""
    marks = np.zeros_like(chain.completions)
    for b, k in np.ndindex(marks.shape[:2]):
        progress: EpisodeProgress = begin(np.full(1, synthetic.TARGET))
        for t in np.flatnonzero(chain.mask[b, k]):
            progress, mark = append(progress, chain.rewards[b, k, t : t + 1], np.zeros(1, bool))
            marks[b, k, t] = mark[0]
    return chain._replace(completions=marks)


def act_through(policy: ContextPolicy, chain: Chain) -> np.ndarray:
    """Let the policy live through a chain, every row at its own pace; return its actions."""
    batch, n, steps = chain.mask.shape
    lengths = chain.mask.sum(-1)
    result = np.full((*chain.mask.shape, synthetic.ACTIONS), np.nan)
    places = [[(k, t) for k in range(n) for t in range(lengths[b, k])] for b in range(batch)]
    for i in range(max(map(len, places))):
        # A row that is through keeps acting on its first trajectory while the others go on.
        now = [row[i] if i < len(row) else (0, (i - len(row)) % steps) for row in places]
        at = (np.arange(batch), *np.array(now).T)
        actions = policy.act(chain.observations[at])
        for b in range(batch):
            if i < len(places[b]):
                result[(b, *now[b])] = actions[b]
        done = np.array([t + 1 >= lengths[b, k] for b, (k, t) in enumerate(now)])
        policy.observe(chain.rewards[at], done, chain.actions[at])
    return result
