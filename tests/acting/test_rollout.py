"""Laws of the rollout: contexts live side by side as if alone, and the policy sees every step."""

from dataclasses import replace

import numpy as np
import pytest

from agentic.acting.rollout import rollout
from agentic.hindsight import append, begin, relabel
from agentic.simulation import dm_environment, make_simulation
from agentic.simulation.batched import BatchSimulation
from agentic.simulation.tasks import get_task

TASK = replace(get_task("cartpole_swingup"), episode_length=6)
SEEDS = (3, 11, 5)


class Leaning:
    """A policy that reacts to what it sees and to how far its context is, and writes it all down.

    The labels are built as a context policy builds them, by `agentic.hindsight`, for target 1.
    """

    def reset(self, batch=None):
        self.calls = [("reset", batch)]
        self.progress = begin(np.ones(batch))
        self.to_go, self.marks = [], []

    def act(self, observation):
        self.calls.append(("act", observation.copy()))
        self.to_go.append(self.progress.return_to_go)
        lean = np.tanh(observation.sum(-1) + self.progress.return_to_go)
        return lean[:, None].astype(np.float32)

    def observe(self, reward, done, action=None):
        self.calls.append(("observe", reward.copy(), done.copy()))
        reward = reward.astype(np.float32)
        self.progress, marks = append(self.progress, reward, done)
        self.marks.append(marks)


class Ragged:
    """A real simulation whose rows end their episodes early, each after its own number of steps."""

    def __init__(self, simulation, lengths):
        self.simulation, self.lengths = simulation, np.array(lengths)
        self.steps = np.zeros(len(lengths), int)

    def reset(self, rows, seeds):
        self.steps[rows] = 0
        return self.simulation.reset(rows, seeds)

    def step(self, actions):
        observations, rewards, _ = self.simulation.step(actions)
        self.steps += 1
        return observations, rewards, self.steps == self.lengths


def simulation(num: int) -> BatchSimulation:
    return BatchSimulation(TASK, num, threads=1)


def live(lengths, seeds=SEEDS, episodes=2):
    """Return the policy and every transition, stacked: [steps, B, ...] each."""
    policy = Leaning()
    steps = list(rollout(policy, Ragged(simulation(len(seeds)), lengths), episodes, seeds))
    return policy, type(steps[0])(*map(np.stack, zip(*steps, strict=True)))


RAGGED = (4, 2, 5)


def test_every_context_lives_its_episodes_and_keeps_the_others_company():
    _, steps = live(RAGGED)
    assert steps.active.sum(0).tolist() == [2 * length for length in RAGGED]
    assert len(steps.active) == 10, "it ends with the slowest context"
    for b, length in enumerate(RAGGED):
        t = np.arange(10)
        np.testing.assert_array_equal(steps.episode[:, b], t // length)
        np.testing.assert_array_equal(steps.done[:, b], t % length == length - 1)
        np.testing.assert_array_equal(steps.active[:, b], t < 2 * length)


@pytest.mark.parametrize("lengths", [RAGGED, (3, 3, 3)], ids=["one by one", "together"])
def test_an_episode_starts_in_the_state_of_its_seed_and_its_index(lengths):
    _, steps = live(lengths)
    template = dm_environment.load(TASK)
    for b, seed in enumerate(SEEDS):
        for index in (0, 1):
            first = steps.observations[index * lengths[b], b]
            np.testing.assert_array_equal(first, dm_environment.reset(template, (seed, index)))


@pytest.mark.parametrize("row", range(3))
def test_a_context_lives_as_if_it_were_alone(row):
    _, together = live(RAGGED)
    _, alone = live(RAGGED[row : row + 1], SEEDS[row : row + 1])
    for ours, theirs in zip(together, alone, strict=True):
        np.testing.assert_array_equal(ours[: len(theirs), row], theirs[:, 0])


def test_a_transition_is_what_the_simulation_does_with_the_action():
    _, steps = live((6, 6, 6), episodes=1)
    again = simulation(3)
    observations = again.reset(np.arange(3), [(seed, 0) for seed in SEEDS])
    for t in range(6):
        np.testing.assert_array_equal(steps.observations[t], observations)
        observations, rewards, done = again.step(steps.actions[t])
        np.testing.assert_array_equal(steps.rewards[t], rewards)
        np.testing.assert_array_equal(steps.done[t], done)


def test_the_policy_is_reset_once_and_observes_every_step_it_acted_in():
    policy, steps = live(RAGGED)
    assert policy.calls[0] == ("reset", 3)
    acts, observes = policy.calls[1::2], policy.calls[2::2]
    assert {name for name, *_ in acts} == {"act"}
    assert {name for name, *_ in observes} == {"observe"} and len(observes) == len(acts) == 10
    np.testing.assert_array_equal(np.stack([act[1] for act in acts]), steps.observations)
    np.testing.assert_array_equal(np.stack([seen[1] for seen in observes]), steps.rewards)
    # The last step of an episode included: its done comes before the next episode's first action.
    np.testing.assert_array_equal(np.stack([seen[2] for seen in observes]), steps.done)


def test_what_was_yielded_stays_as_it_was():
    stream = rollout(Leaning(), Ragged(simulation(3), RAGGED), 2, SEEDS)
    kept, copies = [], []
    for step in stream:
        kept.append(step)
        copies.append([np.array(array) for array in step])
    for step, copy in zip(kept, copies, strict=True):
        for ours, theirs in zip(step, copy, strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_the_labels_lived_are_the_labels_of_the_same_episodes_in_training():
    """Between the rollout and the chain there is one way only to make a label."""
    policy, steps = live((6, 6, 6))
    # [12 steps, 3 contexts, ...] -> [3 contexts, 2 episodes, 6 steps, ...]
    cut = [
        np.moveaxis(array, 0, 1).reshape(3, 2, 6, *array.shape[2:])
        for array in map(np.asarray, (*steps[:3], policy.to_go, policy.marks))
    ]
    observations, actions, rewards, to_go, marks = cut
    chain = relabel(
        observations, actions, rewards.astype(np.float32), np.ones((3, 2, 6), bool),
        target=np.ones(3),
    )  # fmt: skip
    np.testing.assert_array_equal(chain.returns_to_go, to_go.astype(np.float32))
    reached = np.cumsum(rewards, -1) >= 1
    np.testing.assert_array_equal(marks, reached & (np.cumsum(reached, -1) == 1))
    np.testing.assert_array_equal(chain.completions.any(-1), marks.any(-1))


def test_a_whole_episode_ends_at_the_time_limit_of_the_task():
    real = make_simulation("cartpole_balance", 1, threads=1)
    count = sum(1 for _ in rollout(Leaning(), real, 1, [0]))
    assert count == get_task("cartpole_balance").episode_length
