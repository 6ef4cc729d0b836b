"""Trajectories from disk: ExoRL episodes (npz), the store (HDF5), labels, and the sampler.

    load_dataset   a directory of episodes or a store -> Dataset
    Dataset        N labelled trajectories, in memory or memory-mapped
    FamilyDataset  the same for a task family, with features in place of rewards
    convert        a directory of episodes -> a store
    relabel_store  add or replace a task's rewards, or a family's features, in a store
    describe_data  what a directory or a store holds
    verify         what is wrong with a directory or a store
    ChainSampler   batches of hindsight chains, a pure function of (seed, step)
    HiddenTaskSampler  batches of chains of a hidden task, likewise
    Prefetch       the same batches, drawn ahead by a thread

Names are imported on first use, so that `import agentic.dataset` reads neither h5py nor mujoco.
"""

import importlib

_HOMES = {
    "ChainSampler": "agentic.dataset.sampler",
    "SamplerConfig": "agentic.dataset.sampler",
    "Dataset": "agentic.dataset.dataset",
    "FamilyDataset": "agentic.dataset.family_dataset",
    "HiddenTaskConfig": "agentic.dataset.hidden",
    "HiddenTaskSampler": "agentic.dataset.hidden",
    "Prefetch": "agentic.dataset.prefetch",
    "convert": "agentic.dataset.conversion",
    "describe_data": "agentic.dataset.inspect",
    "load_dataset": "agentic.dataset.load",
    "relabel_store": "agentic.dataset.store.labelling",
    "sample_directory": "agentic.dataset.load",
    "verify": "agentic.dataset.verification",
}
__all__ = sorted(_HOMES)


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
