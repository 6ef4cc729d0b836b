"""config.json as earlier versions wrote it, in the words of today.

They had every option twice: flat under "experiment", and again under "policy", "sampler" and
"training", where the numbers stood that followed from the data. `batch_size` counted trajectories
under "experiment" and chains under "sampler". The lines of an experiment's cells.jsonl are such
documents, too, without the normalisation.
"""

from collections.abc import Iterable

# Options that every method has; under "experiment" they stood beside the method's own.
SHARED = ("task", "data", "method", "control", "recompute_observations", "seed", "steps",
          "log_every", "checkpoint_every")  # fmt: skip
# Where the Transformer's options stand today.
PARTS = {
    "network": ("layout", "action_chunk", "model", "layers", "heads", "width", "dropout", "dtype"),
    "sampler": ("top_fraction", "window", "stride", "completion"),
    "training": ("learning_rate", "warmup", "weight_decay", "clip", "loss", "accumulate", "remat"),
}
# Options of chains of several trajectories, which said nothing to the methods without them.
CHAINS = ("trajectories", "count", "best_fraction")
# The only model that there was before there was a choice.
FIRST_MODEL = {"layers": 3, "heads": 1, "width": 128}
SIZES = ("observation_size", "action_size", "episode_length", "trajectories")


def in_todays_words(document: dict) -> dict:
    """Return a config.json as this version would have written it; today's own as it is."""
    if "experiment" not in document:
        return document
    before = document["experiment"]
    transformer = "action_chunk" in before
    options = _transformer(document) if transformer else _without(before, SHARED)
    old = ("experiment", "policy", "sampler", "training")
    course = {name: before[name] for name in ("steps", "log_every", "checkpoint_every")}
    recompute = {"recompute_observations": before.get("recompute_observations", False)}
    return {
        **_without(document, old),
        **course,
        "options": options,
        "data": document["data"] | recompute,
        "from_data": _from_data(document, transformer),
    }


def _transformer(document: dict) -> dict:
    before, drawn = document["experiment"], document["sampler"]
    options = {part: _only(before, names) for part, names in PARTS.items()}
    if "model" not in before:
        options["network"] = {
            name: None if FIRST_MODEL.get(name) == value else value
            for name, value in options["network"].items()
        }
    # What was counted in trajectories, or left to the method, was a number there.
    options["sampler"] |= _only(drawn, ("batch_size", "top_fraction"))
    options |= _only(before, ("mesh", "prefetch"))
    if "r" in document["policy"]["inputs"]:  # rewards, which only methods of chains see
        options["sampler"] |= _only(before, CHAINS)
        options |= _only(before, ("trajectory_embedding",))
    return options


def _from_data(document: dict, transformer: bool) -> dict:
    network = document["policy"]
    if transformer:
        return _only(network, (*SIZES, "normalization"))
    found = _only(network, SIZES) | _only(document["sampler"], ("reward_scale",))
    normalization = _only(network, ("observation_mean", "observation_std"))
    return found | ({"normalization": normalization} if normalization else {})


def _only(values: dict, names: Iterable[str]) -> dict:
    return {name: values[name] for name in names if name in values}


def _without(values: dict, names: Iterable[str]) -> dict:
    return {name: value for name, value in values.items() if name not in names}
