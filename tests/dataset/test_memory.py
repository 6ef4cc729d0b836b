"""A store is read through its map: what sampling and training keep of their own stays bounded.

Anonymous memory (RssAnon) is what a process cannot give back; pages of the map are the system's,
which drops them when it needs to. A new process is asked, so that nothing else is counted.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from agentic.bench.synthetic_store import write_synthetic_store

LIMIT = 32 * 2**20
STEPS, STEP_BYTES = 1000, 4 * (24 + 6 + 1)
EPISODES = 3 * LIMIT // (STEPS * STEP_BYTES) + 1

ANONYMOUS = """
import json, sys
def anonymous():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("RssAnon"))
"""

SAMPLING = """
from agentic.dataset import ChainSampler, load_dataset
from agentic.dataset.prefetch import Prefetch
before, most = anonymous(), 0
data = load_dataset(sys.argv[1], "walker_run")
data.returns, data.observation_statistics()
for options in ({}, {"window": 200}, {"stride": 2}):
    sampler = ChainSampler(data, trajectories=16, batch_size=1, best_fraction=1.0, **options)
    with Prefetch(sampler, memory=8 * 2**20) as ahead:
        for step in range(60):
            ahead(step)
            most = max(most, anonymous())
print(json.dumps(most - before))
"""

TRAINING = """
from agentic import configure, train
config = configure(
    "walker_run", sys.argv[1], layers=1, width=8, action_chunk=100, dropout=0.0,
    batch_size=4, steps=40, log_every=1, best_fraction=1.0, prefetch=8,
)
grown = []
train(config, sys.argv[2], progress=lambda *_: grown.append(anonymous()))
# From the first step on, for what compiling takes differs by more than the limit.
print(json.dumps(max(grown) - grown[0]))
"""


def bytes_of(script: str, store: Path, run: Path) -> int:
    """Return what a new process that runs the script prints."""
    command = [sys.executable, "-c", ANONYMOUS + script, str(store), str(run)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_store_three_times_the_limit_is_used_within_the_limit(tmp_path):
    store = tmp_path / "store.h5"
    write_synthetic_store(store, "walker_run", EPISODES, STEPS)
    assert store.stat().st_size > 3 * LIMIT
    assert bytes_of(SAMPLING, store, tmp_path) < LIMIT
    assert bytes_of(TRAINING, store, tmp_path / "run") < LIMIT
