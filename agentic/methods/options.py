"""What a baseline learns, from what and how: one configuration a method, with its paper's figures.

A method has only the options that do something to it, so none can be set in vain.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

from agentic.errors import AgenticError, closest
from agentic.simulation.tasks import get_task


@dataclass(frozen=True)
class BaselineConfig:
    """What every value-learning run has, flat as on the command line.

    Figures that the three papers share stand here. The number of steps is ours, for CPUs and data
    sets of 10^4 to 10^6 transitions; the papers take 10^6.

    Attributes:
        task: task name, such as "walker_run".
        data: a directory of ExoRL episodes or an .h5 store.
        control: what labels made on the way read as control: "action" or "zero".
        recompute_observations: take observations from physics, where those that are stored have
            another width than the installed simulator's.
        steps: updates of the critics.
        batch_size: transitions an update.
        learning_rate: of every Adam.
        width: hidden units of each of two layers in every network.
        discount: per step.
        target_rate: share of a network that its slow copy takes over at each update of it.
        normalize: shift and scale observations to mean 0 and deviation 1 over the data.
        seed: draws parameters, batches and noise.
        log_every: steps between logged metrics.
        checkpoint_every: steps between checkpoints; the last step always has one.
        resident: megabytes of data at most that are put on the device; larger data stays where it
            is and gives the transitions of each batch alone. Changes no bit of the result.
    """

    task: str
    data: str
    method: str = ""
    control: Literal["action", "zero"] = "action"
    recompute_observations: bool = False
    steps: int = 20_000
    batch_size: int = 256
    learning_rate: float = 3e-4
    width: int = 256
    discount: float = 0.99
    target_rate: float = 0.005
    normalize: bool = False
    seed: int = 0
    log_every: int = 200
    checkpoint_every: int = 5000
    resident: int = 1024

    # What names the run and its data; the rest is how it trains.
    RUN: ClassVar[tuple[str, ...]] = (
        "task", "data", "method", "control", "recompute_observations", "resident",
    )  # fmt: skip

    def __post_init__(self):
        get_task(self.task)
        if self.method != type(self).method:
            raise AgenticError(
                f"method is {self.method!r}; these are options of {type(self).method!r}."
            )
        self._at_least(1, "steps", "batch_size", "width", "log_every", "checkpoint_every")
        self._at_least(0, "seed", "resident")
        self._positive("learning_rate")
        if not 0 <= self.discount < 1:
            raise AgenticError(f"discount is {self.discount}; it must be at least 0 and below 1.")
        if not 0 < self.target_rate <= 1:
            raise AgenticError(
                f"target_rate is {self.target_rate}; it must be above 0 and at most 1."
            )

    def _at_least(self, least: int, *names: str) -> None:
        for name in names:
            if getattr(self, name) < least:
                raise AgenticError(f"{name} is {getattr(self, name)}; it must be at least {least}.")

    def _positive(self, *names: str) -> None:
        for name in names:
            if not getattr(self, name) > 0:
                raise AgenticError(f"{name} is {getattr(self, name)}; it must be positive.")


@dataclass(frozen=True)
class TD3Config(BaselineConfig):
    """TD3 (Fujimoto et al. 2018, arXiv 1802.09477) with ExoRL's figures for learning offline.

    Raw observations, layer norm and tanh after each network's first layer, an actor that learns at
    every update, and the figures below are ExoRL's (Yarats et al. 2022, arXiv 2201.13425, and its
    public code); rates and widths are smaller than its 1e-4 and 1024, for CPUs. The target actor,
    an actor that climbs the first critic, and noise in the target alone are the TD3 paper's.

    Attributes:
        noise: standard deviation of the noise in the target's actions.
        noise_clip: largest such noise.
        actor_every: critic updates for each update of the actor and of the slow copies.
    """

    method: str = "td3"
    target_rate: float = 0.01
    noise: float = 0.2
    noise_clip: float = 0.3
    actor_every: int = 1

    trunk: ClassVar[bool] = True
    alpha: ClassVar[float | None] = None

    def __post_init__(self):
        super().__post_init__()
        self._at_least(1, "actor_every")
        self._at_least(0, "noise", "noise_clip")


@dataclass(frozen=True)
class TD3BCConfig(TD3Config):
    """TD3+BC (Fujimoto & Gu 2021, arXiv 2106.06860): TD3 whose actor also imitates the data.

    Figures of the paper's table 3: alpha 2.5, normalised observations, noise 0.2 clipped at 0.5,
    an actor update for every second of the critics, target rate 0.005.

    Attributes:
        alpha: weight of the value against imitation; 0 is behaviour cloning.
    """

    method: str = "td3_bc"
    normalize: bool = True
    target_rate: float = BaselineConfig.target_rate
    noise_clip: float = 0.5
    actor_every: int = 2
    alpha: float = 2.5

    trunk: ClassVar[bool] = False

    def __post_init__(self):
        super().__post_init__()
        self._at_least(0, "alpha")


@dataclass(frozen=True)
class IQLConfig(BaselineConfig):
    """Implicit Q-learning (Kostrikov et al. 2021, arXiv 2110.06169): values of the data's actions.

    Figures of the paper for its locomotion tasks: expectile 0.7, temperature 3, weights clipped at
    100, target rate 0.005, a cosine schedule for the actor, rewards scaled.

    Attributes:
        expectile: a state's value is this expectile of its recorded actions' values: 0.5 is their
            mean, and towards 1 it becomes their maximum.
        temperature: inverse temperature of imitation: 0 imitates all actions alike, and the larger
            it is, the more it prefers those of high advantage.
        weight_clip: largest weight of an imitated action.
        scale_rewards: multiply rewards so that returns of the data span 1000.
    """

    method: str = "iql"
    expectile: float = 0.7
    temperature: float = 3.0
    weight_clip: float = 100.0
    scale_rewards: bool = True

    def __post_init__(self):
        super().__post_init__()
        if not 0 < self.expectile < 1:
            raise AgenticError(f"expectile is {self.expectile}; it must lie between 0 and 1.")
        self._at_least(0, "temperature")
        self._positive("weight_clip")


CONFIGS: dict[str, type[BaselineConfig]] = {
    config.method: config for config in (TD3Config, TD3BCConfig, IQLConfig)
}


def config_class(method: str) -> type[BaselineConfig]:
    """Return the configuration of a value-learning method."""
    if method not in CONFIGS:
        raise AgenticError(f"method is {method!r}; {closest(method, CONFIGS)}.")
    return CONFIGS[method]
