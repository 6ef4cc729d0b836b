"""The options of a collection, and the table of explorers."""

import dataclasses
import math
from dataclasses import dataclass

from agentic.errors import AgenticError, closest
from agentic.simulation.tasks import get_task

# name: (module in explorers/, class, one line of help). "random" learns nothing and has no module.
EXPLORERS: dict[str, tuple[str, str, str]] = {
    "random": ("", "", "uniformly random actions"),
    "rnd": ("rnd", "RND", "error in imitating a random network"),
    "icm": ("icm", "ICM", "error in foreseeing the features that actions shape"),
    "icm_apt": ("icm_apt", "ICMAPT", "distance to neighbouring states in ICM's features"),
    "disagreement": ("disagreement", "Disagreement", "variance of an ensemble of forward models"),
    "diayn": ("diayn", "DIAYN", "skills that a discriminator can tell apart"),
    "proto": ("proto", "Proto", "distance to neighbouring states spread by prototypes"),
    "smm": ("smm", "SMM", "states that are rare under a mixture of skills"),
    "aps": ("aps", "APS", "successor-feature skills, and distance to neighbours"),
}


@dataclass(frozen=True)
class DDPGConfig:
    """The options of the DDPG agent; `CollectConfig` explains them.

    Width and learning rate are ours, for CPUs and 10^4 to 10^5 steps (URLB, arXiv 2110.15191: 1024,
    and 1e-4 for 2 million steps). The other values are URLB's.
    """

    width: int = 128
    learning_rate: float = 1e-3
    discount: float = 0.99
    n_step: int = 3
    target_rate: float = 0.01
    noise: float = 0.2
    noise_clip: float = 0.3

    def __post_init__(self):
        _at_least(self, 1, "width", "n_step")
        _at_least(self, 0, "noise", "noise_clip")
        if self.learning_rate <= 0:
            raise AgenticError(f"learning_rate is {self.learning_rate}; it must be positive.")
        if not 0 <= self.discount < 1:
            raise AgenticError(f"discount is {self.discount}; it must be at least 0 and below 1.")
        if not 0 < self.target_rate <= 1:
            raise AgenticError(
                f"target_rate is {self.target_rate}; it must be above 0 and at most 1."
            )


@dataclass(frozen=True)
class CollectConfig:
    """The options of one collection.

    Attributes:
        task: task name, such as "walker_run"; its reward is stored but never used for learning.
        explorer: name of the explorer.
        steps: environment steps in all, rounded up to whole rounds of episodes.
        seed: for initial states, actions, networks and batches.
        envs: environments that step together; a round is one episode in each.
        batch_size: windows per update; URLB has 1024, ours is for CPUs.
        seed_steps: environment steps with uniformly random actions before learning starts.
        update_every: environment steps per update.
        capacity: steps that the replay buffer holds.
        checkpoint_every: episodes between checkpoints of the agent.
        width: hidden units of every network; URLB has 1024, ours is for CPUs.
        learning_rate: of the agent and the explorer (smm's own models have their own); URLB has
            1e-4, ours is for short runs.
        discount: per step.
        n_step: steps of reward before the critic's estimate.
        target_rate: share of the critic that its slow copy takes over at each update.
        noise: standard deviation of the exploration noise.
        noise_clip: largest noise in the target actions of learning.
    """

    task: str
    explorer: str
    steps: int
    seed: int = 0
    envs: int = 1
    batch_size: int = 256
    seed_steps: int = 4000
    update_every: int = 2
    capacity: int = 1_000_000
    checkpoint_every: int = 10
    width: int = DDPGConfig.width
    learning_rate: float = DDPGConfig.learning_rate
    discount: float = DDPGConfig.discount
    n_step: int = DDPGConfig.n_step
    target_rate: float = DDPGConfig.target_rate
    noise: float = DDPGConfig.noise
    noise_clip: float = DDPGConfig.noise_clip

    def __post_init__(self):
        self.agent()
        get_task(self.task)
        if self.explorer not in EXPLORERS:
            raise AgenticError(
                f"explorer is {self.explorer!r}; {closest(self.explorer, EXPLORERS)}."
            )
        positive = ("steps", "envs", "batch_size", "update_every", "capacity", "checkpoint_every")
        _at_least(self, 1, *positive)
        _at_least(self, 0, "seed", "seed_steps")

    @property
    def rounds(self) -> int:
        """How many rounds hold at least `steps`; a round is one episode in each environment."""
        return math.ceil(self.steps / (self.envs * get_task(self.task).episode_length))

    @property
    def total_steps(self) -> int:
        """Environment steps of all rounds."""
        return self.rounds * self.envs * get_task(self.task).episode_length

    @property
    def learns(self) -> bool:
        """Whether the explorer learns anything."""
        return self.explorer != "random"

    def agent(self) -> DDPGConfig:
        """Return the options of the DDPG agent."""
        names = [field.name for field in dataclasses.fields(DDPGConfig)]
        return DDPGConfig(**{name: getattr(self, name) for name in names})


def _at_least(config: object, least: int, *names: str) -> None:
    for name in names:
        if getattr(config, name) < least:
            raise AgenticError(f"{name} is {getattr(config, name)}; it must be at least {least}.")
