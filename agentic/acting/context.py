"""The Transformer as a policy: one context across episodes, which a cache extends step by step.

`agentic.acting.policy` shows how it is called. `agentic.hindsight` makes its labels, as it does in
training.
"""

from collections.abc import Sequence
from copy import copy
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from agentic import hindsight
from agentic.acting.compiled import compiled, on_all
from agentic.acting.grouped import Grouped
from agentic.acting.policy import Policy
from agentic.errors import AgenticError, closest
from agentic.network.cache import AXIS, CACHE_DTYPES
from agentic.network.config import NetworkConfig
from agentic.network.decoding import Step
from agentic.network.parameters import Parameters, unstack
from agentic.simulation.tasks import Task
from agentic.trajectory import Chain


class _Outcome(NamedTuple):
    """What the previous chunk did, and its place in the context; -1 without a previous chunk."""

    actions: np.ndarray
    rewards: np.ndarray
    completions: np.ndarray
    episode: np.ndarray
    chunk: np.ndarray

    def clear(self, rows: np.ndarray) -> None:
        self.actions[rows], self.rewards[rows], self.completions[rows] = 0, 0, 0
        self.episode[rows], self.chunk[rows] = -1, -1


class ContextPolicy(Policy):
    """A trained Transformer with its context, which stays when an episode ends.

    The return-to-go of every episode starts at `target_return`. The context has room for
    `config.trajectories`; when it is full, the next episode takes the place of the oldest one. With
    a stride, the policy decides at every `stride`-th step and holds its action in between. It is
    told the sum of the rewards of these steps, so its context is the one that `Dataset.every` makes
    of the same episodes.
    """

    keeps_context = True

    def __init__(
        self,
        config: NetworkConfig,
        parameters: Parameters,
        target_return: float,
        completion: hindsight.Completion = "target",
        stride: int = 1,
        cache_dtype: str | None = None,
        mesh: jax.sharding.Mesh | None = None,
    ):
        """Begin without a context.

        Args:
            config: the network.
            parameters: of the network.
            target_return: what every episode aims at.
            completion: where the completion token is 1, as in training.
            stride: simulator steps of one decision.
            cache_dtype: of keys and values, "float32" or "bfloat16"; None takes that of the
                activations.
            mesh: its axis "sequence" shares out the slots of the cache; None is one device.

        Raises AgenticError for another dtype, or a mesh without this axis.
        """
        if cache_dtype not in (None, *CACHE_DTYPES):
            raise AgenticError(
                f"cache_dtype is {cache_dtype!r}; {closest(cache_dtype, CACHE_DTYPES)}."
            )
        if mesh is not None and AXIS not in mesh.shape:
            raise AgenticError(
                f"the mesh has axes {tuple(mesh.shape)}; the cache is split over {AXIS!r}, so name "
                "one of them that."
            )
        parameters = unstack(parameters)
        if mesh is not None:
            parameters = jax.device_put(parameters, on_all(mesh))
        self.config = config
        self.stride = stride
        self.parameters = parameters
        self._target_return = float(target_return)
        self.completion: hindsight.Completion = completion
        self.cache_dtype = cache_dtype or config.dtype
        self._compiled = compiled(config, self.cache_dtype, mesh)
        self._mesh = mesh
        self._batch: int | None = None

    @property
    def episodes(self) -> int:
        """Episodes in a context: the trajectories of a training chain."""
        return self.config.trajectories

    @property
    def target_return(self) -> float | None:
        """The return that it aims at; None for a network without returns and completions."""
        return self._target_return if set("Rd") & set(self.config.inputs) else None

    @property
    def devices(self) -> int:
        """The number of devices that the cache is split over."""
        return 1 if self._mesh is None else self._mesh.shape[AXIS]

    def aiming_at(self, target_return: float) -> "ContextPolicy":
        """Return a copy with another target return; raise AgenticError if the network has none."""
        if self.target_return is None:
            return super().aiming_at(target_return)
        aiming = copy(self)
        aiming._target_return = float(target_return)
        return aiming

    def check_fits(self, task: Task) -> None:
        """Raise AgenticError for other sizes than the task's, or for episodes that are too long."""
        for name in ("observation_size", "action_size"):
            own, needed = getattr(self.config, name), getattr(task, name)
            if own != needed:
                raise AgenticError(
                    f"the policy has {name} {own} and {task.name} has {needed}; evaluate it on a "
                    "task of the domain it was trained on."
                )
        longest = self.config.episode_length * self.stride
        if longest < task.episode_length:
            raise AgenticError(
                f"the policy was trained on episodes of {longest} steps and "
                f"{task.name} has {task.episode_length}; train it on whole episodes."
            )

    def side_by_side(self, seeds: Sequence[int]) -> Grouped:
        """Return len(seeds) contexts that are computed in groups of one size."""
        return Grouped(self, len(seeds))

    def reset(self, batch: int | None = None) -> None:
        """Empty the context; `batch` contexts side by side, or as many as `act` is shown next."""
        self._batch = batch
        if batch is not None:
            self._allocate(batch)

    def _allocate(self, batch: int) -> None:
        config, c = self.config, self.config.action_chunk
        self._batch = batch
        self._progress = hindsight.begin(np.full(batch, self._target_return))
        self._step = np.zeros(batch, np.int32)
        # Simulator steps since the last decision, and the sum of their rewards.
        self._held = np.zeros(batch, np.int32)
        self._earned = np.zeros(batch)
        self._episode = np.zeros(batch, np.int32)
        self._outcome = _Outcome(
            np.zeros((batch, c, config.action_size), np.float32),
            np.zeros((batch, c), np.float32),
            np.zeros((batch, c), np.float32),
            np.full(batch, -1, np.int32),
            np.full(batch, -1, np.int32),
        )
        self._cache = self._compiled.empty(batch)
        self._latents = jnp.zeros((batch, config.width), jnp.dtype(config.dtype))
        if self._mesh is not None:
            self._latents = jax.device_put(self._latents, on_all(self._mesh))
        self._decided = np.zeros((batch, config.action_size), np.float32)
        self._acted: np.ndarray | None = None
        self._single = False

    @property
    def episode(self) -> np.ndarray:
        """The number of episodes that have ended in each context: [B]."""
        return self._episode

    def act(self, observation: np.ndarray) -> np.ndarray:
        """Return the action for an observation [O] or [B, O]: [A] or [B, A] float32 in [-1, 1].

        Raises AgenticError for another shape, or an episode longer than those of training.
        """
        observation = np.asarray(observation, np.float32)
        single = observation.ndim == 1
        observations = observation[None] if single else observation
        if self._batch is None:
            self._allocate(len(observations))
        self._single = single
        expected = (self._batch, self.config.observation_size)
        if observations.shape != expected:
            raise AgenticError(
                f"observation has shape {observation.shape}; this policy needs {expected[1]} "
                f"values for each of its {expected[0]} contexts."
            )
        if (self._step >= self.config.episode_length).any():
            raise AgenticError(
                f"the episode has gone past {self.config.episode_length * self.stride} steps, the "
                "longest that this policy was trained on; pass done=True to observe() at its end."
            )
        kept = self._held == 0
        starts = kept & (self._step % self.config.action_chunk == 0)
        if starts.any():
            self._begin_chunk(observations, starts)
        if kept.any():
            actions = self._compiled.act(self.parameters, self._latents, observations)
            self._decided = np.where(kept[:, None], actions, self._decided)
        self._acted = self._decided.copy()
        return self._acted[0] if single else self._acted

    def _begin_chunk(self, observations: np.ndarray, starts: np.ndarray) -> None:
        outcome = self._outcome
        step = Step(
            returns_to_go=self._progress.return_to_go.astype(np.float32),
            observations=observations,
            actions=outcome.actions.copy(),
            rewards=outcome.rewards.copy(),
            completions=outcome.completions.copy(),
            episode=self._episode.copy(),
            chunk=self._step // self.config.action_chunk,
            previous_episode=outcome.episode.copy(),
            previous_chunk=outcome.chunk.copy(),
            write=starts,
        )
        self._cache, self._latents = self._compiled.extend(
            self.parameters, self._cache, self._latents, step
        )
        outcome.clear(starts)

    def observe(
        self, reward: np.ndarray, done: np.ndarray, action: np.ndarray | None = None
    ) -> None:
        """Take in what the last action brought; where `done`, the next episode starts.

        `reward` and `done` are scalars or [B]. `action` replaces the policy's own if another one
        was executed, because of noise for example.
        """
        if self._acted is None:
            raise AgenticError("observe() needs an act() before it; call act(observation) first.")
        reward = np.broadcast_to(np.asarray(reward, np.float64), self._step.shape)
        done = np.broadcast_to(np.asarray(done, bool), self._step.shape)
        if action is not None:
            self._acted = np.asarray(action, np.float32).reshape(self._acted.shape)
        # The action of a strided step is the one that it began with.
        self._decided = np.where((self._held == 0)[:, None], self._acted, self._decided)
        # Labels come from float32 rewards, as they do in training.
        self._earned += reward.astype(np.float32)
        self._held += 1
        self._record(np.flatnonzero(done | (self._held == self.stride)), done)
        self._acted = None

    def _record(self, rows: np.ndarray, done: np.ndarray) -> None:
        """End the kept step of `rows`: its labels, its place in the outcome, the step after it."""
        reward = self._earned[rows].astype(np.float32)
        part = hindsight.EpisodeProgress(*(array[rows] for array in self._progress))
        part, marks = hindsight.append(part, reward, done[rows], self.completion)
        for array, fresh in zip(self._progress, part, strict=True):
            array[rows] = fresh
        c, outcome = self.config.action_chunk, self._outcome
        phase = self._step[rows] % c
        outcome.actions[rows, phase] = self._decided[rows]
        outcome.rewards[rows, phase] = reward
        outcome.completions[rows, phase] = marks
        outcome.episode[rows] = self._episode[rows]
        outcome.chunk[rows] = self._step[rows] // c
        self._held[rows], self._earned[rows] = 0, 0
        self._step[rows] = np.where(done[rows], 0, self._step[rows] + 1)
        self._episode = self._episode + done.astype(np.int32)
        if self.config.trajectories == 1:
            # A context of one trajectory forgets the trajectory that has just ended.
            outcome.clear(done)

    def clear(self, rows: np.ndarray, keep_index: bool = False) -> None:
        """Empty the contexts of `rows` [B] bool between episodes.

        With `keep_index` the count of ended episodes goes on, so the network still knows which
        episode of the context it is in.
        """
        self._outcome.clear(rows)
        positions = jnp.where(jnp.asarray(rows)[:, None], -1, self._cache.positions)
        self._cache = self._cache._replace(positions=positions)
        if not keep_index:
            self._episode = np.where(rows, 0, self._episode).astype(np.int32)

    def prefill(self, chain: Chain) -> None:
        """Fill every context with a chain [B, n, T, ...] as if the policy had lived it.

        The chain has the labels that `labels` describes, and n is at most the trajectories of the
        policy. The index of the next episode is the number of trajectories in the row.
        """
        config, c = self.config, self.config.action_chunk
        batch, n, steps = chain.mask.shape
        if n > config.trajectories or steps > config.episode_length:
            raise AgenticError(
                f"a chain of {n} trajectories x {steps} steps does not fit the policy's context of "
                f"{config.trajectories} x {config.episode_length}."
            )
        self._allocate(batch)
        self._cache = self._compiled.prefill(
            self.parameters, self._cache, Chain(*map(np.asarray, chain))
        )
        lengths = chain.mask.sum(axis=-1)
        counts = (lengths > 0).sum(axis=-1)
        self._episode = counts.astype(np.int32)
        if not config.joint or config.trajectories == 1:
            return
        # A joint token carries the outcome of the previous chunk, so the network has not been told
        # of the last chunk yet.
        for row in np.flatnonzero(counts):
            last = counts[row] - 1
            length = int(lengths[row, last])
            first = (length - 1) // c * c
            window = slice(first, length)
            kept = slice(0, length - first)
            self._outcome.actions[row, kept] = chain.actions[row, last, window]
            self._outcome.rewards[row, kept] = chain.rewards[row, last, window]
            self._outcome.completions[row, kept] = chain.completions[row, last, window]
            self._outcome.episode[row], self._outcome.chunk[row] = last, first // c

    def labels(self, contexts: int) -> tuple[hindsight.Completion, np.ndarray]:
        """Return what labels the chains of so many contexts: completion, target returns [C]."""
        return self.completion, np.full(contexts, self._target_return)
