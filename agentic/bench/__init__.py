"""Measurements of this machine: `agentic bench NAME`.

A benchmark is a module `agentic.bench.NAME` with a frozen dataclass `Options`, whose defaults take
seconds, and `run(options, say)`. It returns one dictionary per row of its table and tells `say`
what it is doing. `problem` has the networks, chains and episodes that they share, `timing` the
clocks. Most rates are those of the fastest repeat, which other programs on the machine disturbed
least.
"""

# name: one line of help. A module is imported only when its benchmark runs.
BENCHMARKS = {
    "relabel": "rewards of stored states: batched, against a loop over dm_control",
    "families": "labels of task families, against a named task's, and chains of a hidden task",
    "convert": "episodes to a store, against only reading the same files",
    "sampler": "chains drawn from a store, against numpy copying the same bytes",
    "attention": "blockwise attention, against other forms and the rate of matrix products",
    "ring": "what each device of a ring computes and holds, as devices and tokens grow together",
    "memory": "bytes of a training step against tokens, and the longest context that fits",
    "train": "training steps per second, against the machine's own rate of matrix products",
    "decode": "steps of acting with long contexts, against reading the cache and recomputing it",
    "simulation": "the batched simulator, against a loop over dm_control",
    "evaluate": "evaluation, against the bare simulator and against recomputing the context",
}

Row = dict[str, str | float]
