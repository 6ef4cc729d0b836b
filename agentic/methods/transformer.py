"""The Transformer's methods: at, dt, bc and bc10 are settings of one network and one training."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from typing import Any, ClassVar

import jax
import numpy as np
from jax.sharding import Mesh

from agentic.acting.compiled import cache_mesh
from agentic.acting.context import ContextPolicy
from agentic.attention import choose
from agentic.dataset.dataset import Dataset
from agentic.dataset.prefetch import Prefetch
from agentic.dataset.sampler import ChainOptions, ChainSampler, DrawOptions, SamplerConfig
from agentic.errors import AgenticError
from agentic.methods.method import RunConfig, config_of
from agentic.network.config import NetworkConfig, NetworkOptions, Normalization
from agentic.network.parameters import initialize
from agentic.simulation.tasks import get_task
from agentic.training.batch import batch_maker
from agentic.training.checkpoint import Checkpoint, on_one_device
from agentic.training.learner import SAME_RESULT, Batch, Course, Metrics
from agentic.training.loop import (
    TrainingConfig,
    TrainingOptions,
    TrainState,
    initial_state,
    make_step,
    schedule,
    state_like,
)
from agentic.training.mesh import MeshShape, make_mesh, place_batch, process_share

# Of the tokens of a chain, that there are more than a few is all that the choice of attention
# depends on.
MANY = 1024


@dataclass(frozen=True)
class TransformerOptions:
    """Options of a Transformer that sees one trajectory at a time.

    Attributes:
        mesh: devices to train on, such as "data=2,fsdp=2,sequence=2": `data` and `fsdp` share the
            chains of a batch, `fsdp` also parameters and optimiser state, `sequence` the steps of
            every chain. By default one device, and all of them for several processes (data).
        prefetch: megabytes for batches that a thread draws ahead; 0 draws them in between steps.
    """

    network: NetworkOptions = field(default=NetworkOptions())
    sampler: DrawOptions = field(default=DrawOptions())
    training: TrainingOptions = field(default=TrainingOptions())
    mesh: str | None = field(default=None, metadata=SAME_RESULT)
    prefetch: int = field(default=256, metadata=SAME_RESULT)

    # A chain where the options say nothing of chains.
    single: ClassVar[Mapping[str, Any]] = {"trajectories": 1, "best_fraction": 1.0}

    def __post_init__(self):
        if self.prefetch < 0:
            raise AgenticError(f"prefetch is {self.prefetch} megabytes; it must be at least 0.")
        object.__setattr__(self, "sampler", replace(self.sampler, batch_size=self.sampler.chains))
        self.chains(seed=0)  # checks that windows fit tokens
        self.check_share(self.mesh_shape or MeshShape())

    @property
    def mesh_shape(self) -> MeshShape | None:
        """Devices along each axis; None where no mesh was asked for."""
        return None if self.mesh is None else MeshShape.parse(self.mesh)

    def check_share(self, shape: MeshShape) -> None:
        """Raise AgenticError unless a batch can be dealt to the devices and micro-batches."""
        chains, accumulate = self.sampler.chains, self.training.accumulate
        unit = shape.rows * accumulate
        if chains % unit:
            near = max(round(chains / unit), 1) * unit
            raise AgenticError(
                f"batch_size is {chains} chains, to be shared by data * fsdp * accumulate = "
                f"{shape.data} * {shape.fsdp} * {accumulate}; take a multiple of {unit}, such as "
                f"{near}."
            )

    def chains(self, seed: int) -> SamplerConfig:
        """Return how chains are drawn."""
        align = SamplerConfig.align if self.sampler.window is None else self.network.steps_per_token
        drawn = self.single | vars(self.sampler)
        return SamplerConfig(**drawn, seed=seed, align=align)

    def shape(self, **follows: Any) -> NetworkConfig:
        """Return the network, of which the rest follows from the method and the data."""
        return NetworkConfig(**vars(self.network), **follows)


@dataclass(frozen=True)
class AgenticOptions(TransformerOptions):
    """Options of the Agentic Transformer (arXiv 2305.16554): it sees chains of trajectories.

    Attributes:
        trajectory_embedding: whether the model knows the index of a trajectory in its context.
    """

    sampler: ChainOptions = field(default=ChainOptions())
    trajectory_embedding: bool = True

    single: ClassVar[Mapping[str, Any]] = {}

    def shape(self, **follows: Any) -> NetworkConfig:
        """Return the network, of which the rest follows from the method and the data."""
        return super().shape(trajectory_embedding=self.trajectory_embedding, **follows)


@dataclass(frozen=True)
class BestOptions(TransformerOptions):
    """Options of a Transformer that sees one trajectory at a time, of the best ones alone."""

    sampler: DrawOptions = field(default=DrawOptions(top_fraction=0.1))


class TransformerLearner:
    """A `Learner` of one Transformer; on a mesh its batches and its state are cut."""

    def __init__(self, config: RunConfig, data: Dataset, inputs: str):
        """Prepare to train on `data` a network that sees `inputs`, letters out of "Rsard"."""
        options = config.options
        self._options, self._data = options, data
        self.from_data = _from_data(config, data)
        self.network = network_of(options, inputs, self.from_data)
        trajectories = self.from_data["trajectories"]
        self.sampler = replace(options.chains(config.seed), trajectories=trajectories)
        self.training = TrainingConfig(
            **vars(options.training), **vars(config.course), seed=config.seed
        )
        self._mesh = _mesh_of(options)
        self._rate = schedule(self.training)
        self._step = make_step(self.network, self.training, self._mesh)

    def initial(self) -> TrainState:
        """Return the state before the first step, drawn from the seed."""
        return initial_state(self.network, self.training, self._mesh)

    def like(self) -> TrainState:
        """Return a state's shapes, types and places."""
        return state_like(self.network, self.training, self._mesh)

    @contextmanager
    def batches(self) -> Iterator[Callable[[int, int], Batch]]:
        """Draw batches, ahead of the steps that ask for them where there is memory to do so."""
        mesh, megabytes = self._mesh, self._options.prefetch
        sampler = self._sampler()
        ahead = Prefetch(sampler, megabytes * 10**6) if megabytes else nullcontext(sampler)
        with ahead as drawn:
            yield lambda step, limit: Batch(place_batch(drawn(step), mesh), 1)

    def _sampler(self) -> Callable[[int], Any]:
        """Return what draws this process's share of every batch, as host arrays."""
        index, count = process_share(self._mesh)
        share = {"process_index": index, "process_count": count}
        sampler = ChainSampler(self._data, self.sampler, **share)
        made = batch_maker(self.network, self.training.loss, self._mesh)
        return lambda step: made(sampler(step))

    def update(self, state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        """Return the state after one step, with its loss and the norm of its gradient."""
        state, metrics = self._step(state, batch.data)
        return state, metrics._asdict()

    def record(self, metrics: dict[str, np.ndarray], step: int) -> dict[str, float]:
        """Return the mean loss, the largest norm of a gradient, and the last learning rate."""
        return {
            "loss": float(metrics["loss"].mean()),
            "gradient_norm": float(metrics["gradient_norm"].max()),
            "learning_rate": float(self._rate(step - 1)),
        }

    def saved(self, state: TrainState) -> dict[str, Any]:
        """Return the parameters, which are all that acting reads, and the optimiser's state."""
        return {"parameters": state.parameters, "optimizer": (state.optimizer, state.step)}

    def restored(self, items: dict[str, Any]) -> TrainState:
        """Return the state of these parameters and this optimiser's state."""
        return TrainState(items["parameters"], *items["optimizer"])


@dataclass(frozen=True)
class TransformerMethod:
    """A `Method` that trains a Transformer on imitation.

    `inputs` are letters out of "Rsard", what the network sees of a step: return-to-go, observation,
    action, reward, completion.
    """

    title: str
    inputs: str
    Options: type[TransformerOptions] = TransformerOptions
    course: Course = field(default=Course())
    imitates: bool = True
    across_processes: bool = True

    def learner(self, config: RunConfig, data: Dataset) -> TransformerLearner:
        """Return what trains a Transformer on the data."""
        return TransformerLearner(config, data, self.inputs)

    def policy(
        self,
        document: Mapping[str, Any],
        checkpoint: Checkpoint,
        cache_dtype: str | None = None,
        devices: int | None = None,
    ) -> ContextPolicy:
        """Return the policy of a checkpoint, whose context is kept as `load_policy` says."""
        options = config_of(document).options
        network = network_of(options, self.inputs, document["from_data"])
        shapes = jax.eval_shape(lambda: initialize(network, jax.random.key(0)))
        return ContextPolicy(
            network, checkpoint.load("parameters", on_one_device(shapes)),
            document["target_return"], options.sampler.completion, options.sampler.stride,
            cache_dtype, None if devices is None else cache_mesh(devices),
        )  # fmt: skip

    def notes(self, config: RunConfig) -> list[str]:
        """Return how large a batch is, and which type a GPU would attend faster in."""
        options = config.options
        sampler = options.chains(config.seed)
        chains, n = sampler.batch_size, sampler.trajectories
        notes = [f"a batch: {chains} chains of {n} trajectories"] if n > 1 else []
        if attends_slowly(options):
            notes.append("hint: --dtype bfloat16 lets cuDNN attend, faster on long chains")
        return notes


def network_of(
    options: TransformerOptions, inputs: str, from_data: Mapping[str, Any]
) -> NetworkConfig:
    """Return the network of a run, by what follows from its data, as config.json has it."""
    constants = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in from_data["normalization"].items()
    }
    follows = from_data | {"normalization": Normalization(**constants)}
    return options.shape(inputs=inputs, **follows)


def attends_slowly(options: TransformerOptions, backend: str | None = None) -> bool:
    """Say whether a GPU would attend by cuDNN with activations of 16 bits, and does not.

    `backend` is JAX's name of what computes, by default of what computes here.
    """
    shape, network = options.mesh_shape or MeshShape(), options.network
    if network.dtype != "float32" or shape.sequence > 1:
        return False
    head_size = network.size.width // network.size.heads
    return choose(MANY, MANY, head_size, "bfloat16", backend=backend).kernel == "cudnn"


def _from_data(config: RunConfig, data: Dataset) -> dict[str, Any]:
    """Return sizes and normalisation; chains are no longer than the data."""
    options, task = config.options, get_task(config.task)
    stride, most = options.sampler.stride, options.chains(config.seed).trajectories
    kept = data.every(stride)
    mean, std = kept.observation_statistics()
    normalization = Normalization(
        tuple(map(float, mean)),
        tuple(float(max(x, 1e-3)) for x in std),
        float(max(np.abs(kept.returns).max(), 1.0)),
    )
    return {
        "observation_size": task.observation_size,
        "action_size": task.action_size,
        "episode_length": max(-(-task.episode_length // stride), kept.observations.shape[1]),
        "trajectories": min(most, len(data)),
        "normalization": asdict(normalization),
    }


def _mesh_of(options: TransformerOptions) -> Mesh:
    """Return the devices to train on: one, unless a mesh or several processes ask for more."""
    if options.mesh_shape is not None:
        return make_mesh(options.mesh_shape)
    shape = MeshShape(data=jax.device_count() if jax.process_count() > 1 else 1)
    options.check_share(shape)
    return make_mesh(shape)


METHODS = {
    "at": TransformerMethod("Agentic Transformer", "Rsard", AgenticOptions),
    "dt": TransformerMethod("Decision Transformer", "Rsa"),
    "bc": TransformerMethod("behaviour cloning", "sa"),
    "bc10": TransformerMethod("behaviour cloning, best 10 %", "sa", BestOptions),
}
