"""Laws: a reward is the same function of features and code everywhere; codes are drawn apart."""

import subprocess
import sys

import jax.numpy as jnp
import mujoco
import numpy as np
import pytest
from support.family_oracle import reward_in, rewards_of_states
from support.recording import episode, load, scaled, smooth_actions

from agentic.errors import AgenticError
from agentic.simulation import features, make_simulation, rewards
from agentic.simulation.families import FAMILIES, TargetFamily, get_family
from agentic.simulation.tasks import FAMILY_BASES, TASKS, base_task, get_task

WALKER = "walker_stand,walker_walk,walker_run,walker_flip"
LISTS = [
    WALKER,
    "cartpole_balance,cartpole_swingup_sparse",
    "point_mass_maze_reach_top_left,point_mass_maze_reach_bottom_right",
]
NAMES = [*FAMILIES, "point_mass_goal:0.05", "point_mass_maze_goal:0.02", *LISTS]
TARGETS = [name for name, family in FAMILIES.items() if isinstance(family, TargetFamily)]
READ_CONTROL = ["cartpole_position", "point_mass_maze_goal", *LISTS[1:]]


def drawn(name, count, seed=0, held_out=False):
    return get_family(name).draw(np.random.default_rng(seed), count, held_out)


def recorded(name):
    """Return states of an episode, pulled towards zero, where goals are met, with actions, codes.

    Half of the codes are what a state earns the most for, so that rewards are not all 0. In the
    maze some states lie near a corner's target.
    """
    physics, actions, _, _ = episode(base_task(name).name)
    physics, actions = np.concatenate([physics, 0.02 * physics]), np.concatenate([actions] * 2)
    if "maze" in name:
        physics[1::4, :2] = np.array([-0.15, 0.15]) + 0.02 * physics[1::4, :2]
    codes = drawn(name, len(physics))
    own = get_family(name).code_of(features(name, physics, actions))
    if own is not None:
        codes[::2] = own[::2]
    return physics, actions, codes


@pytest.mark.parametrize("name", NAMES)
def test_a_simulation_rewards_every_row_by_its_code_as_a_loop_over_dm_control_does(name):
    task, steps = get_task(name), 20
    actions = smooth_actions(task, steps, num=3, seed=1)
    codes = drawn(name, 3, seed=2)
    simulation = make_simulation(name, num=3)
    seeds = [(3, 2), (3, 1), (3, 0)]
    first = simulation.reset(np.array([2, 1, 0]), seeds, codes[::-1])
    found = [simulation.step(each) for each in actions]
    for row in range(3):
        environment = load(base_task(name).name, seed=(3, row))
        observation = environment.reset().observation
        parts = np.concatenate([np.ravel(part) for part in observation.values()])
        np.testing.assert_array_equal(first[2 - row], parts.astype(np.float32))
        control, expected = scaled(environment, actions[:, row]), []
        for step in range(steps):
            environment.step(control[step])
            expected.append(reward_in(name, environment, codes[row]))
        ours = np.array([step_rewards[row] for _, step_rewards, _ in found])
        assert ours.dtype == np.float64
        np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_relabelling_gives_the_rewards_of_stepping_bit_for_bit(name):
    family, simulation = get_family(name), make_simulation(name, num=2)
    simulation.reset(np.arange(2), [(5, 0), (5, 1)])
    for actions in smooth_actions(simulation.task, 20, 2, seed=3):
        _, stepped, _ = simulation.step(actions)
        seen = features(name, simulation.physics, actions)
        assert seen.shape == (2, len(family.feature_names)) and seen.dtype == np.float64
        np.testing.assert_array_equal(seen, family.measure(simulation._domain))
        np.testing.assert_array_equal(family.reward(seen, simulation.codes), stepped)


@pytest.mark.parametrize("name", NAMES)
def test_rewards_of_stored_states_are_those_of_dm_control_in_both_control_modes(name):
    family, (physics, actions, codes) = get_family(name), recorded(name)
    expected = rewards_of_states(name, physics, actions, codes)
    for control, slow in zip((None, actions), expected, strict=True):
        labels = family.reward(features(name, physics, control), codes)
        np.testing.assert_allclose(labels, slow, rtol=0, atol=1e-12)
        assert labels.min() >= 0 and labels.max() <= 1 and np.ptp(labels) > 0
    differ = np.abs(expected[0] - expected[1]).max()
    assert differ > 0.01 if name.partition(":")[0] in READ_CONTROL else differ == 0


@pytest.mark.parametrize("names", LISTS)
def test_features_of_a_list_are_the_rewards_of_its_tasks_bit_for_bit(names):
    physics, actions, _ = recorded(names)
    for control in (None, actions):
        expected = [rewards(name, physics, control) for name in names.split(",")]
        np.testing.assert_array_equal(features(names, physics, control), np.stack(expected, 1))
        for code, own in zip(np.eye(len(expected), dtype=np.float32), expected, strict=True):
            labels = get_family(names).reward(features(names, physics, control), code)
            np.testing.assert_array_equal(labels, own)


@pytest.mark.parametrize(
    "corner, code", [("top_left", (-0.15, 0.15)), ("bottom_right", (0.15, -0.15))]
)
def test_a_goal_in_a_corner_of_the_maze_with_exorls_radius_is_exorls_task(corner, code):
    physics, actions, _ = recorded("point_mass_maze_goal")
    physics[::2, :2] = code + 0.2 * physics[::2, :2]
    for control in (None, actions):
        seen = features("point_mass_maze_goal", physics, control)
        labels = get_family("point_mass_maze_goal:0.015").reward(seen, np.array(code))
        expected = rewards(f"point_mass_maze_reach_{corner}", physics, control)
        np.testing.assert_allclose(labels, expected, rtol=0, atol=1e-12)
        assert expected.max() > 0.5


def test_threads_and_neighbours_change_no_feature():
    physics, actions, _ = recorded("walker_velocity")
    expected = features("walker_velocity", physics, actions)
    for threads in (2, 3):
        found = features("walker_velocity", physics[::-1], actions[::-1], threads)
        np.testing.assert_array_equal(found[::-1], expected)


@pytest.mark.parametrize("name", [*TARGETS[:4], "walker_prior", WALKER])
def test_numpy_and_jax_agree_and_leading_axes_broadcast(name):
    family, (physics, actions, codes) = get_family(name), recorded(name)
    seen = features(name, physics, actions).astype(np.float32)
    expected = np.stack([family.reward(seen, code) for code in codes[:5]])
    assert expected.dtype == np.float32
    np.testing.assert_allclose(family.reward(seen, codes[:5, None]), expected, atol=1e-6)
    found = family.reward(jnp.asarray(seen), jnp.asarray(codes[:5, None]))
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, expected, atol=1e-6)
    held_out = family.is_held_out(codes)
    np.testing.assert_array_equal(family.is_held_out(jnp.asarray(codes)), held_out)
    own = family.code_of(seen)
    if own is not None:
        found = family.code_of(jnp.asarray(seen))
        assert own.dtype == found.dtype == np.float32
        np.testing.assert_allclose(found, own, atol=1e-6)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in LISTS])
def test_no_other_code_earns_more_in_a_state_than_the_states_own(name):
    family, (physics, actions, _) = get_family(name), recorded(name)
    seen = features(name, physics, actions)
    own = family.code_of(seen)
    assert own.shape == (len(seen), family.code_size)
    best = family.reward(seen, own)
    others = drawn(name, 64)
    if isinstance(family, TargetFamily):
        assert (family.reward(seen, others[:, None]) <= best + 1e-6).all()
    factor = seen[:, family.code_size] if len(seen.T) == family.code_size + 1 else 1
    np.testing.assert_allclose(best, np.broadcast_to(factor, best.shape), rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_the_generator_determines_the_codes(name):
    codes = drawn(name, 40, seed=4)
    assert codes.shape == (40, get_family(name).code_size) and codes.dtype == np.float32
    np.testing.assert_array_equal(drawn(name, 40, seed=4), codes)
    np.testing.assert_array_equal(drawn(name, 7, seed=4), codes[:7])
    assert not np.array_equal(drawn(name, 40, seed=5), codes)


def held_out_by_hand(family, codes):
    """Return which codes lie in bands 3 and 8 of ten, or in five of 25 squares."""
    low, high = np.array(family.low), np.array(family.high)
    place = (codes - low) / (high - low)
    if family.code_size == 1:
        return (10 * place[:, 0]).astype(int) % 5 == 2
    squares = {(2, 0), (0, 1), (3, 2), (1, 3), (4, 4)}
    return np.array([(int(5 * x), int(5 * y)) in squares for x, y in place])


@pytest.mark.parametrize("name", TARGETS)
def test_codes_of_training_and_evaluation_never_overlap_and_cover_their_cells_alike(name):
    family = get_family(name)
    train, test = drawn(name, 20000), drawn(name, 5000, held_out=True)
    assert not held_out_by_hand(family, train).any() and not family.is_held_out(train).any()
    assert held_out_by_hand(family, test).all() and family.is_held_out(test).all()
    low, high = np.array(family.low), np.array(family.high)
    for codes in (train, test):
        assert (codes >= low - 1e-6).all() and (codes <= high + 1e-6).all()
    # The cells of a fine grid that have any code have about as many codes each.
    bins, walled = (40, False) if family.code_size == 1 else (10, bool(family.walls))
    for codes, share in ((train, 0.8), (test, 0.2)):
        edges = [np.linspace(a, b, bins + 1) for a, b in zip(low, high, strict=True)]
        counts, _ = np.histogramdd(codes.clip(low, high), edges)
        taken = counts[counts > 0]
        if not walled:
            assert len(taken) == round(share * counts.size)
            assert (np.abs(taken - taken.mean()) < 5 * np.sqrt(taken.mean())).all()


def test_a_code_from_hindsight_beyond_the_range_belongs_to_the_outermost_band():
    family = get_family("cheetah_velocity")
    assert not family.is_held_out(np.float32([[-4.9], [-5.7], [5.8], [5.0], [40.0]])).any()
    assert family.is_held_out(np.float32([[-2.0], [2.0]])).all()


@pytest.mark.parametrize(
    "name", [name for name in NAMES if name not in TARGETS and ":" not in name]
)
def test_lists_and_priors_hold_nothing_out(name):
    codes = drawn(name, 300)
    np.testing.assert_array_equal(drawn(name, 300, held_out=True), codes)
    assert not get_family(name).is_held_out(codes).any()
    kinds = codes if "," in name else codes[:, :3]
    assert (np.sort(kinds, axis=1)[:, :-1] == 0).all() and (kinds.max(1) == 1).all()
    assert np.abs(kinds.mean(0) - 1 / len(kinds[0])).max() < 0.1


def test_goals_of_the_maze_are_where_the_ball_can_be():
    model = mujoco.MjModel.from_xml_path(
        str(__import__("agentic").__path__[0]) + "/simulation/worlds/point_mass_maze.xml"
    )
    data, ball = mujoco.MjData(model), model.geom("ball").id

    def touches(place):
        data.qpos[:] = place
        mujoco.mj_forward(model, data)
        maze = {model.geom("maze_x").id, model.geom("maze_y").id}
        return any({*contact.geom} & maze and ball in contact.geom for contact in data.contact)

    goals = np.concatenate([drawn("point_mass_maze_goal", 500, held_out=h) for h in (False, True)])
    assert not any(touches(goal) for goal in goals)
    anywhere = np.random.default_rng(0).uniform(-0.29, 0.29, (500, 2))
    free = get_family("point_mass_maze_goal")._is_free(anywhere)
    # The corners of the walls made larger are square, those of where the ball touches round.
    assert (
        np.mean([touches(place) == (not f) for place, f in zip(anywhere, free, strict=True)]) > 0.99
    )


@pytest.mark.parametrize("name", ["point_mass_goal", WALKER])
def test_a_code_that_is_not_given_depends_on_the_seed_alone(name):
    large, small = make_simulation(name, num=3), make_simulation(name, num=1)
    large.reset(np.arange(3), [(9, 0), (9, 1), (9, 7)])
    codes = large.codes
    assert not large.family.is_held_out(codes).any() and len(np.unique(codes, axis=0)) > 1
    small.reset([0], [(9, 1)])
    np.testing.assert_array_equal(small.codes, codes[1:2])
    given = drawn(name, 1, seed=3)[0]
    large.reset([1], [(9, 5)], given)
    np.testing.assert_array_equal(large.codes, [codes[0], given, codes[2]])
    large.reset([2, 1], [(9, 0), (9, 7)])
    np.testing.assert_array_equal(large.codes, codes[[0, 2, 0]])


def test_the_observation_knows_nothing_of_the_code():
    family, base = make_simulation("cartpole_position", 2), make_simulation("cartpole_swingup", 2)
    seeds = [(1,), (1,)]
    observed = [family.reset([0, 1], seeds, [[-1.0], [1.0]]), base.reset([0, 1], seeds)]
    np.testing.assert_array_equal(*observed)
    for actions in smooth_actions(base.task, 20, 1, seed=0):
        observed, found, _ = family.step(np.repeat(actions, 2, axis=0))
        expected, _, _ = base.step(np.repeat(actions, 2, axis=0))
        np.testing.assert_array_equal(observed, expected)
        np.testing.assert_array_equal(observed[0], observed[1])
    assert found[0] != found[1]


def test_pictures_show_the_goal_where_the_code_is():
    simulation = make_simulation("point_mass_goal", 2)
    simulation.reset([0, 1], [(0,), (1,)], [[0.1, -0.2], [0.0, 0.25]])
    for row, code in enumerate(simulation.codes):
        _, data = simulation._scene(row)
        np.testing.assert_allclose(data.geom("target").xpos, [*code, 0.01])


@pytest.mark.parametrize("name", NAMES)
def test_a_family_has_a_name_sizes_and_a_base(name):
    family, task, base = get_family(name), get_task(name), TASKS[base_task(name).name]
    assert family.name == task.name == name and family.task == task and family.base == base
    sizes = ("domain", "observation_size", "action_size", "physics_size", "episode_length")
    assert all(getattr(task, size) == getattr(base, size) for size in sizes)
    assert not task.in_suite
    for code in drawn(name, 6):
        assert 0 < len(family.describe_code(code)) < 100


def test_codes_are_described():
    assert get_family("point_mass_goal").describe_code([0.123, -0.2]) == "x 0.12 m, y -0.20 m"
    assert get_family("walker_velocity").describe_code([1.5]) == "speed 1.50 m/s"
    assert get_family(WALKER).describe_code([0, 0, 1, 0]) == "walker_run"


def test_every_family_is_in_the_table_of_names():
    assert list(FAMILIES) == list(FAMILY_BASES)


@pytest.mark.parametrize(
    "ask, sentence",
    [
        (lambda: get_task("point_mass_gaol"), "did you mean 'point_mass_goal'"),
        (lambda: get_family("point_mass_gaol"), "did you mean 'point_mass_goal'"),
        (lambda: get_family("walker_run"), "walker_run is one task"),
        (lambda: get_task("point_mass_goal:wide"), "size 'wide'; a positive number"),
        (lambda: get_family("point_mass_goal:-1"), "size '-1'; a positive number"),
        (lambda: get_task("walker_run,walker_wlak"), "unknown task 'walker_wlak' in the list"),
        (lambda: get_task("walker_run,walker_run"), "names a task twice"),
        (lambda: get_task("walker_run,cheetah_run"), "cheetah_run and walker_run do not share"),
        (lambda: get_family("point_mass_hard,point_mass_hard"), "one fixed model"),
        (lambda: rewards("point_mass_goal", np.zeros((1, 4))), "a task family, whose rewards"),
        (lambda: features("walker_run", np.zeros((1, 18))), "walker_run is one task"),
        (lambda: features("point_mass_goal", np.zeros((1, 5))), r"\(1, 5\).*point_mass_easy needs"),
        (
            lambda: make_simulation("walker_run", 1).reset([0], [(0,)], [[1.0]]),
            "walker_run is one task and takes no codes",
        ),
        (
            lambda: make_simulation("point_mass_goal", 2).reset([0, 1], [(0,), (1,)], [[1.0, 0]]),
            r"codes have shape \(1, 2\); point_mass_goal needs \(2, 2\)",
        ),
        (
            lambda: make_simulation("point_mass_goal", 1).reset([0], [(0,)], [[np.nan, 0]]),
            "not finite",
        ),
    ],
)
def test_mistakes_are_met_with_a_sentence(ask, sentence):
    with pytest.raises(AgenticError, match=sentence):
        ask()


def test_reading_the_families_loads_no_simulator():
    program = (
        "import sys\n"
        "import agentic.simulation.families\n"
        "loaded = {'mujoco', 'dm_control', 'OpenGL', 'glfw', 'jax'} & set(sys.modules)\n"
        "assert not loaded, loaded\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True)
