"""A run: data + policy + training + seed, in a folder that says everything needed to repeat it.

The policy of a run, read back from its folder.
"""

import dataclasses
from collections.abc import Sized
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np
from jax.sharding import Mesh

from agentic.acting.compiled import cache_mesh
from agentic.acting.context import ContextPolicy
from agentic.acting.reactive import ReactivePolicy
from agentic.dataset.dataset import Dataset
from agentic.dataset.load import load_dataset
from agentic.dataset.prefetch import Prefetch, Sampler
from agentic.dataset.sampler import ChainSampler, SamplerConfig
from agentic.errors import AgenticError, closest
from agentic.methods import method as baselines
from agentic.methods.options import CONFIGS, BaselineConfig, config_class
from agentic.network.config import Model, NetworkConfig, Normalization, Size, preset
from agentic.network.stack import Remat, initialize
from agentic.progress import Progress
from agentic.simulation.tasks import get_task
from agentic.training import checkpoint, processes
from agentic.training.loop import (
    TrainingConfig,
    TrainState,
    fit,
    initial_state,
    make_step,
    state_like,
)
from agentic.training.mesh import MeshShape, make_mesh, process_share
from agentic.training.run import begin, chosen_step, describe, follow, read_config
from agentic.training.sharded import deal, make_mesh_step, place_share

Method = Literal["at", "dt", "bc", "bc10"]
Layout = Literal["5", "4", "1"]


@dataclass(frozen=True)
class Recipe:
    """What sets a method apart; everything else is the same code with the same options."""

    inputs: str
    chains: bool
    top_fraction: float = 1.0


# What a resumed run must agree in. The policy last: much of it follows from the others and is not
# what the user chose.
PARTS = {"sampler": SamplerConfig, "training": TrainingConfig, "policy": NetworkConfig}
METHODS: dict[Method, Recipe] = {
    "at": Recipe("Rsard", chains=True),
    "dt": Recipe("Rsa", chains=False),
    "bc": Recipe("sa", chains=False),
    "bc10": Recipe("sa", chains=False, top_fraction=0.1),
}


# How a chain is made: of no use to a method that sees one trajectory at a time.
CHAIN_OPTIONS = ("trajectories", "count", "best_fraction", "trajectory_embedding")


@dataclass(frozen=True)
class ExperimentConfig:
    """One training run, flat as on the command line; the parts check their own fields.

    Attributes:
        task: task name, such as "walker_run".
        data: a directory of ExoRL episodes or an .h5 store.
        method: "at" Agentic Transformer, "dt" Decision Transformer, "bc" behaviour cloning, "bc10"
            behaviour cloning of the best 10 %.
        control: what labels made on the way read as control: "action" or "zero".
        recompute_observations: take observations from physics, where those that are stored have
            another width than the installed simulator's.
        layout: tokens a step, "5" (return-to-go, observation, action, reward, completion), "4"
            (no completion) or "1" (all in one token); methods without returns or rewards have
            fewer at "5" and "4".
        action_chunk: steps a token covers in layout "1".
        trajectories: most trajectories in a chain; the baselines always see one.
        count: "fixed" or "uniform" (1..trajectories) number of trajectories in a chain.
        best_fraction: one trajectory of each chain comes from this best part of the data.
        top_fraction: train on only this best part of the data, by return; by default the method's
            own: 0.1 for "bc10" and all of it for the others.
        window: cut the trajectories of a chain to the same this many kept steps, drawn anew for
            every chain; the policy acts with whole episodes. By default episodes stay whole.
        stride: learn from every this many-th step, with the rewards in between added up; acting, an
            action is held for as many steps.
        completion: completion token where the "target" is met, or at every end ("done").
        loss: on the steps of "all" trajectories of a chain, or of its "last".
        trajectory_embedding: whether the model knows the index of a trajectory in its context.
        model: size of the Transformer; the paper has 3 layers, 1 head and width 128.
        layers: instead of the model's.
        heads: of attention, dividing the width, instead of the model's.
        width: channels of a token, instead of the model's.
        dropout: rate on residual branches, embeddings and latents; the paper has 0.1.
        dtype: "float32" or "bfloat16" activations.
        steps: optimiser steps.
        batch_size: trajectories a batch; a chain of n counts n.
        learning_rate: AdamW's peak, after warm-up and before cosine decay to zero.
        warmup: steps of linear warm-up; at most a tenth of all.
        weight_decay: decoupled, on weight matrices only.
        clip: largest global norm of the gradient.
        seed: draws parameters, batches and dropout.
        log_every: steps between logged metrics.
        checkpoint_every: steps between checkpoints; the last step always has one.
        accumulate: parts that a batch is cut into, one after another, to save memory; the step is
            that of the whole batch.
        mesh: devices to train on, such as "data=2,fsdp=2,sequence=2": `data` and `fsdp` share the
            chains of a batch, `fsdp` also parameters and optimiser state, `sequence` the steps of
            every chain. By default one device, and all of them for several processes (data).
        remat: what the backward pass keeps and what it computes again: "none" keeps all, "block"
            all but the feed-forward network's insides, "attention" the layers' inputs and
            attention's output, "layer" the layers' inputs, "offload" those in the host's memory.
            Less memory, more work, the same result.
        prefetch: megabytes for batches that a thread draws ahead; 0 draws them in between steps.
    """

    task: str
    data: str
    method: Method = "at"
    control: Literal["action", "zero"] = "action"
    recompute_observations: bool = False
    layout: Layout = "1"
    action_chunk: int = NetworkConfig.action_chunk
    trajectories: int = NetworkConfig.trajectories
    count: Literal["fixed", "uniform"] = SamplerConfig.count
    best_fraction: float = SamplerConfig.best_fraction
    top_fraction: float | None = None
    window: int | None = SamplerConfig.window
    stride: int = SamplerConfig.stride
    completion: Literal["target", "done"] = SamplerConfig.completion
    loss: Literal["all", "last"] = TrainingConfig.loss
    trajectory_embedding: bool = NetworkConfig.trajectory_embedding
    model: Model = "3x128"
    layers: int | None = None
    heads: int | None = None
    width: int | None = None
    dropout: float = NetworkConfig.dropout
    dtype: Literal["float32", "bfloat16"] = NetworkConfig.dtype
    steps: int = TrainingConfig.steps
    batch_size: int = 8
    learning_rate: float = TrainingConfig.learning_rate
    warmup: int = TrainingConfig.warmup
    weight_decay: float = TrainingConfig.weight_decay
    clip: float = TrainingConfig.clip
    seed: int = TrainingConfig.seed
    log_every: int = TrainingConfig.log_every
    checkpoint_every: int = TrainingConfig.checkpoint_every
    accumulate: int = TrainingConfig.accumulate
    mesh: str | None = None
    remat: Remat = TrainingConfig.remat
    prefetch: int = 256

    def __post_init__(self):
        get_task(self.task)
        if self.prefetch < 0:
            raise AgenticError(f"prefetch is {self.prefetch} megabytes; it must be at least 0.")
        if self.method in CONFIGS:
            raise AgenticError(
                f"method {self.method!r} has options of its own; take "
                f"configure(task, data, {self.method!r}) or {CONFIGS[self.method].__name__}."
            )
        for name, choices in {"method": METHODS, "layout": ("5", "4", "1")}.items():
            if getattr(self, name) not in choices:
                value = getattr(self, name)
                raise AgenticError(f"{name} is {value!r}; {closest(str(value), choices)}.")
        for name in () if METHODS[self.method].chains else CHAIN_OPTIONS:
            if getattr(self, name) != type(self).__dataclass_fields__[name].default:
                raise AgenticError(
                    f"{name} is {getattr(self, name)!r}, but method {self.method!r} sees one "
                    f'trajectory at a time; leave {name} out, or take method "at".'
                )
        # The parts check themselves before any data is read, whose sizes play no part in it.
        self.training()
        self._network(observation_size=1, action_size=1, episode_length=1)
        if self.batch_size < self.chain_length or self.batch_size % self.chain_length:
            raise AgenticError(
                f"batch_size is {self.batch_size} trajectories, in chains of {self.chain_length}; "
                f"take a multiple of {self.chain_length}."
            )
        self.sampler(range(self.chain_length))
        if self.mesh is not None:
            self.check_share(MeshShape.parse(self.mesh))
        else:
            self.check_share(MeshShape())

    def check_share(self, shape: MeshShape) -> None:
        """Raise AgenticError unless a batch can be dealt to the devices and micro-batches."""
        chains, unit = self.batch_size // self.chain_length, shape.rows * self.accumulate
        if chains % unit:
            near = max(round(chains / unit), 1) * unit * self.chain_length
            raise AgenticError(
                f"batch_size is {self.batch_size} trajectories in {chains} chains, to be shared by "
                f"data * fsdp * accumulate = {shape.data} * {shape.fsdp} * "
                f"{self.accumulate}; take a multiple of {unit * self.chain_length}, such as {near}."
            )

    @property
    def chain_length(self) -> int:
        """Trajectories in a chain: one for the baselines."""
        return self.trajectories if METHODS[self.method].chains else 1

    @property
    def steps_per_token(self) -> int:
        """Kept steps that a token covers."""
        return self.action_chunk if self.layout == "1" else 1

    @property
    def size(self) -> Size:
        """The Transformer's: the model's, but for what is given instead."""
        size = preset(self.model)
        own = {name: getattr(self, name) for name in size._fields}
        return size._replace(**{name: value for name, value in own.items() if value is not None})

    def sampler(self, data: Sized) -> SamplerConfig:
        """Return how this run draws its batches; chains are no longer than the data."""
        recipe = METHODS[self.method]
        return SamplerConfig(
            trajectories=min(self.chain_length, len(data)),
            batch_size=self.batch_size // self.chain_length,
            seed=self.seed,
            count=self.count,
            top_fraction=recipe.top_fraction if self.top_fraction is None else self.top_fraction,
            best_fraction=self.best_fraction if recipe.chains else 1.0,
            completion=self.completion,
            window=self.window,
            align=SamplerConfig.align if self.window is None else self.steps_per_token,
            stride=self.stride,
        )

    def training(self) -> TrainingConfig:
        """Return how this run optimises."""
        return _project(self, TrainingConfig)

    def policy(self, data: Dataset) -> NetworkConfig:
        """Return the network for this data, normalisation included."""
        spec, data = get_task(self.task), data.every(self.stride)
        mean, std = data.observation_statistics()
        return self._network(
            observation_size=spec.observation_size,
            action_size=spec.action_size,
            episode_length=max(-(-spec.episode_length // self.stride), data.observations.shape[1]),
            trajectories=min(self.chain_length, len(data)),
            normalization=Normalization(
                tuple(map(float, mean)),
                tuple(float(max(x, 1e-3)) for x in std),
                float(max(np.abs(data.returns).max(), 1.0)),
            ),
        )

    def _network(self, **fields) -> NetworkConfig:
        inputs = METHODS[self.method].inputs
        return _project(
            self,
            NetworkConfig,
            inputs=inputs.replace("d", "") if self.layout == "4" else inputs,
            joint=self.layout == "1",
            action_chunk=self.steps_per_token,
            **self.size._asdict(),
            **fields,
        )


def _project(config: ExperimentConfig, kind: type, **fields):
    """Build a part's configuration from the fields of the same name, and `fields`."""
    shared = {field.name for field in dataclasses.fields(kind)} - fields.keys()
    own = dataclasses.asdict(config)
    return kind(**{name: own[name] for name in shared & own.keys()}, **fields)


def configure(
    task: str, data: str, method: str = "at", **options
) -> ExperimentConfig | BaselineConfig:
    """Return the configuration of any method, with what `options` set.

    Raises AgenticError for an option that this method does not have.
    """
    kind = ExperimentConfig if method in METHODS else config_class(method)
    known = {field.name for field in dataclasses.fields(kind)}
    for name in options:
        if name not in known:
            raise AgenticError(f"{name} is no option of {method}; {closest(name, known)}.")
    return kind(task=task, data=data, method=method, **options)


def load_data(config: ExperimentConfig | BaselineConfig, progress: Progress | None = None):
    """Return the data set that a configuration names, as `load_dataset` reads it."""
    recompute = config.recompute_observations
    return load_dataset(config.data, config.task, config.control, progress, recompute)


def run(
    config: ExperimentConfig | BaselineConfig,
    folder: str | Path,
    resume: bool = False,
    data: Dataset | None = None,
    progress: Progress | None = None,
) -> Path:
    """Train in `folder`, or go on where it stopped, and return the folder.

    Args:
        config: what to train on what.
        folder: the run folder; must be new or empty unless `resume`.
        resume: continue from the newest checkpoint; the result is bit-equal to a run that was
            never interrupted, on the same mesh, and on another one equal up to rounding.
        data: the data set where it is loaded already.
        progress: called with steps done, steps in all, and the loss, at each metrics record.

    Of several processes (`agentic.training.processes`) all must call this alike; the first one
    writes everything but the checkpoints, which all of them write. They need one file system.

    Raises:
        AgenticError: bad configuration or data, a folder in use, a loss that is not finite, a mesh
            that the devices cannot form, another process lost.
        Interrupted: after Ctrl-C, when the state is saved.
    """
    folder = Path(folder)
    data = data if data is not None else load_data(config)
    if isinstance(config, BaselineConfig):
        return baselines.train(config, folder, data, resume, progress)
    policy, training = config.policy(data), config.training()
    draws, mesh = config.sampler(data), _mesh(config)
    parts = {"policy": policy, "sampler": draws, "training": training}
    parts = {name: dataclasses.asdict(part) for name, part in parts.items()}
    document = describe(
        config, data, jax.devices()[0].device_kind, processes=jax.process_count(), **parts
    )
    with processes.together():
        begin(folder, document, resume, PARTS)
        if resume and checkpoint.steps(folder):
            state = _restore(folder, state_like(policy, training, mesh))
        else:
            state = initial_state(policy, training, mesh)
        if mesh is None:
            step, sampler = make_step(policy, training), ChainSampler(data, draws)
        else:
            step = make_mesh_step(policy, training, mesh)
            sampler = _share_sampler(config, data, policy, mesh)
        with _ahead(sampler, config.prefetch) as drawn:
            batches = drawn if mesh is None else lambda index: place_share(drawn(index), mesh)
            loop = fit(state, step, batches, training)
            done, steps, every = int(state.step), training.steps, training.checkpoint_every
            follow(loop, folder, done, steps, every, _items, progress)
    return folder


def _mesh(config: ExperimentConfig) -> Mesh | None:
    """Return the devices to train on; None is one device, with nothing to divide."""
    if config.mesh is not None:
        return make_mesh(MeshShape.parse(config.mesh))
    if jax.process_count() == 1:
        return None
    shape = MeshShape(data=jax.device_count())
    config.check_share(shape)
    return make_mesh(shape)


def _share_sampler(config: ExperimentConfig, data: Dataset, policy: NetworkConfig, mesh: Mesh):
    """Return what draws this process's share of every batch and deals it to the mesh."""
    index, count = process_share(mesh)
    share = {"process_index": index, "process_count": count}
    sampler = ChainSampler(data, config.sampler(data), **share)
    dealt = deal(policy, config.loss, mesh)
    return lambda step: dealt(sampler(step))


def _ahead(sampler: ChainSampler, megabytes: int) -> AbstractContextManager[Sampler]:
    return Prefetch(sampler, megabytes * 10**6) if megabytes else nullcontext(sampler)


def _items(state: TrainState) -> dict[str, Any]:
    return {"parameters": state.parameters, "optimizer": (state.optimizer, state.step)}


def _restore(folder: Path, like: TrainState) -> TrainState:
    step = checkpoint.latest(folder)
    parameters = checkpoint.load(folder, step, "parameters", like.parameters)
    optimizer, count = checkpoint.load(folder, step, "optimizer", (like.optimizer, like.step))
    return TrainState(parameters, optimizer, count)


def load_policy(
    folder: str | Path,
    step: int | None = None,
    cache_dtype: str | None = None,
    devices: int | None = None,
) -> ContextPolicy | ReactivePolicy:
    """Return the policy that a run trained, ready to act; `step` picks a checkpoint.

    `cache_dtype` is "float32" or "bfloat16", what the context is kept in (None: as computed);
    `devices` splits the context's cache over that many devices.

    Raises AgenticError for a folder that is not a run or has no such checkpoint.
    """
    folder = Path(folder)
    document = read_config(folder)
    if document["method"] in CONFIGS:
        if cache_dtype is not None or devices is not None:
            raise AgenticError(
                f"{document['method']} acts without a context; leave out cache_dtype and devices."
            )
        return baselines.load(folder, document, step)
    step = chosen_step(folder, step)
    fields = dict(document["policy"])
    normalization = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in fields.pop("normalization").items()
    }
    config = NetworkConfig(**fields, normalization=Normalization(**normalization))
    like = jax.eval_shape(lambda: initialize(config, jax.random.key(0)))
    device = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    like = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=device), like
    )
    parameters = checkpoint.load(folder, step, "parameters", like)
    sampler = document["sampler"]
    return ContextPolicy(
        config, parameters, document["target_return"], sampler["completion"],
        sampler.get("stride", SamplerConfig.stride), cache_dtype,
        None if devices is None else cache_mesh(devices),
    )  # fmt: skip
