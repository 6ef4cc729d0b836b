"""Laws: the vector environment is gymnasium's loop over single ones, in every autoreset mode."""

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

from agentic.errors import AgenticError
from agentic.simulation.gym.vector import TaskVectorEnv
from agentic.simulation.tasks import get_task

pytestmark = pytest.mark.filterwarnings("ignore:.*A Box observation space (minimum|maximum) value")
MODES = list(AutoresetMode)


def both(name, num=3, mode=AutoresetMode.NEXT_STEP, **options):
    """Return gymnasium's loop over single environments and the batch."""
    loop = gymnasium.make_vec(
        f"agentic/{name}-v0", num, "sync", vector_kwargs={"autoreset_mode": mode}, **options
    )
    batch = gymnasium.make_vec(
        f"agentic/{name}-v0", num, "vector_entry_point", autoreset_mode=mode, threads=2, **options
    )
    return loop, batch


def assert_same(ours, theirs):
    assert type(ours) is type(theirs)
    if isinstance(ours, tuple | list):
        assert len(ours) == len(theirs)
        for one, other in zip(ours, theirs, strict=True):
            assert_same(one, other)
    elif isinstance(ours, dict):
        assert ours.keys() == theirs.keys()
        for key in ours:
            assert_same(ours[key], theirs[key])
    elif isinstance(ours, np.ndarray) and ours.dtype == object:
        assert_same(list(ours), list(theirs))
    else:
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "name", ["jaco_reach_top_right", "point_mass_maze_reach_top_left", "point_mass_goal"]
)
def test_equals_a_loop_of_single_environments_beyond_the_end_of_an_episode(name, mode):
    loop, batch = both(name, mode=mode)
    assert_same(batch.reset(seed=11), loop.reset(seed=11))
    loop.action_space.seed(0)
    for _ in range(get_task(name).episode_length + 3):
        actions = loop.action_space.sample()
        theirs = loop.step(actions)
        assert_same(batch.step(actions), theirs)
        if mode is AutoresetMode.DISABLED and theirs[3].any():
            assert_same(batch.reset(), loop.reset())


@pytest.mark.parametrize("mode", MODES)
def test_a_shorter_limit_truncates_as_in_the_loop(mode):
    loop, batch = both("cartpole_swingup", mode=mode, max_episode_steps=3)
    assert_same(batch.reset(seed=2), loop.reset(seed=2))
    loop.action_space.seed(0)
    for step in range(9):
        actions = loop.action_space.sample()
        theirs = loop.step(actions)
        assert_same(batch.step(actions), theirs)
        if mode is AutoresetMode.DISABLED:
            # From the second step on, the environments are out of step.
            mask = np.array([True, False, True]) if step == 1 else theirs[3]
            if mask.any():
                ours = batch.reset(options={"reset_mask": mask})
                assert_same(ours, loop.reset(options={"reset_mask": mask}))
    if mode is AutoresetMode.DISABLED:
        batch.reset()
        with pytest.raises(AgenticError, match=r"environments \[0, 1, 2\] have ended"):
            for _ in range(4):
                batch.step(actions)


def test_declares_what_gymnasium_declares():
    loop, batch = both("walker_run", num=2)
    assert isinstance(batch, TaskVectorEnv) and isinstance(batch, gymnasium.vector.VectorEnv)
    assert batch.metadata == loop.metadata
    assert batch.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP
    for name in ("single_observation_space", "single_action_space", "observation_space"):
        assert getattr(batch, name) == getattr(loop, name)
    assert batch.action_space == loop.action_space
    assert (batch.num_envs, batch.render_mode) == (2, None)
    assert batch.spec.max_episode_steps == loop.spec.max_episode_steps == 1000


def test_is_what_make_vec_makes_by_default():
    assert isinstance(gymnasium.make_vec("agentic/cartpole_swingup-v0", 2), TaskVectorEnv)


def test_seeds_as_gymnasium_does():
    loop, batch = both("point_mass_easy")
    for seed in (5, None, [4, None, 4], [None, 1, 2], None):
        assert_same(batch.reset(seed=seed), loop.reset(seed=seed))
        assert batch.np_random_seed == loop.np_random_seed
    assert [each.bit_generator.state for each in batch.np_random] == [
        each.bit_generator.state for each in loop.np_random
    ]
    unseeded = TaskVectorEnv("point_mass_easy", 2)
    assert not np.array_equal(*unseeded.reset()[0])


@pytest.mark.parametrize("mode", MODES)
def test_observations_belong_to_the_caller(mode):
    _, batch = both("cartpole_swingup", num=2, mode=mode)
    first, _ = batch.reset(seed=0)
    kept = first.copy()
    second = batch.step(np.ones((2, 1), np.float32))[0]
    np.testing.assert_array_equal(first, kept)
    kept = second.copy()
    batch.reset()
    np.testing.assert_array_equal(second, kept)


def test_a_mask_resets_some_where_autoreset_is_disabled():
    loop, batch = both("cartpole_swingup", mode=AutoresetMode.DISABLED)
    assert_same(batch.reset(seed=0), loop.reset(seed=0))
    actions = np.ones((3, 1), np.float32)
    assert_same(batch.step(actions), loop.step(actions))
    options = {"reset_mask": np.array([False, True, False])}
    ours = batch.reset(seed=[9, 8, 7], options=dict(options))
    assert_same(ours, loop.reset(seed=[9, 8, 7], options=dict(options)))
    assert_same(batch.step(actions), loop.step(actions))
    assert list(options) == ["reset_mask"]


def test_renders_one_picture_per_environment_or_says_what_to_install():
    envs = gymnasium.make_vec("agentic/point_mass_maze_reach_top_left-v0", 2,
                              render_mode="rgb_array")  # fmt: skip
    envs.reset(seed=0)
    try:
        pictures = envs.render()
    except AgenticError as error:
        assert "install an EGL driver" in str(error)
        return
    assert [picture.shape for picture in pictures] == [(240, 320, 3)] * 2
    assert np.any(pictures[0] != pictures[1])
    envs.close()
    assert envs.closed


def test_mistakes_are_met_with_a_sentence():
    with pytest.raises(AgenticError, match="autoreset_mode is 'SameStop'; did you mean 'SameStep'"):
        TaskVectorEnv("cartpole_swingup", 2, autoreset_mode="SameStop")
    with pytest.raises(AgenticError, match="render_mode is 'human'"):
        TaskVectorEnv("cartpole_swingup", 2, render_mode="human")
    with pytest.raises(AgenticError, match="max_episode_steps is 0; it must be at least 1"):
        gymnasium.make_vec("agentic/cartpole_swingup-v0", 2, max_episode_steps=0)
    envs = TaskVectorEnv("cartpole_swingup", 2)
    with pytest.raises(AgenticError, match="3 seeds for 2 environments"):
        envs.reset(seed=[1, 2, 3])
    with pytest.raises(AgenticError, match=r"options \['pose'\] are unknown"):
        envs.reset(options={"pose": 1})
    with pytest.raises(AgenticError, match="NextStep autoreset"):
        envs.reset(options={"reset_mask": np.array([True, False])})
    envs = TaskVectorEnv("cartpole_swingup", 2, autoreset_mode="Disabled")
    for mask in (np.array([True]), np.zeros(2, bool), np.ones(2)):
        with pytest.raises(AgenticError, match=r"reset_mask has shape .* needs \(2,\) bool"):
            envs.reset(options={"reset_mask": mask})


def test_codes_of_a_family_are_given_to_some_or_all_or_drawn_by_the_seed():
    loop, batch = both("point_mass_goal", mode=AutoresetMode.DISABLED)
    assert_same(batch.reset(seed=5), loop.reset(seed=5))
    shared = {"task": np.float32([0.1, 0.2])}
    assert_same(batch.reset(options=dict(shared)), loop.reset(options=dict(shared)))
    codes = np.float32([[0.1, 0.2], [0, 0], [-0.2, 0.1]])
    _, infos = batch.reset(seed=5, options={"task": codes})
    np.testing.assert_array_equal(infos["task"], codes)
    mask = np.array([True, False, True])
    _, infos = batch.reset(options={"task": -codes, "reset_mask": mask})
    np.testing.assert_array_equal(infos["task"], -codes * mask[:, None])
    np.testing.assert_array_equal(infos["_task"], mask)
    infos = batch.step(np.zeros((3, 2), np.float32))[4]
    np.testing.assert_array_equal(infos["task"], [-codes[0], codes[1], -codes[2]])
    options = {"reset_mask": mask}
    assert_same(batch.reset(seed=6), loop.reset(seed=6))
    assert_same(batch.reset(options=dict(options)), loop.reset(options=dict(options)))
    with pytest.raises(AgenticError, match=r"point_mass_goal needs \(3, 2\)"):
        batch.reset(options={"task": codes[:2]})
