"""Runs of baselines are runs: stopped, resumed bit for bit, evaluated and reported like others."""

import json
import shutil
import signal

import jax
import numpy as np
import pytest
from support import synthetic
from support.command_line import fails
from support.command_line import run as command

from agentic import sample_directory
from agentic.dataset.episodes import list_episodes
from agentic.errors import AgenticError
from agentic.evaluation.evaluate import evaluate
from agentic.interruption import Interrupted
from agentic.methods import METHODS
from agentic.methods.method import config_of, configure
from agentic.methods.train import load_policy, train
from agentic.training import checkpoint

TASK = "cartpole_swingup"
OPTIONS = {"width": 8, "batch_size": 4, "steps": 4, "log_every": 1, "checkpoint_every": 2}
NAMES = ["td3", "td3_bc", "iql"]


def small(method, **options):
    return configure(TASK, "memory", method, **OPTIONS | options)


@pytest.fixture(scope="module")
def data():
    return synthetic.dataset(TASK, sizes=(5, 1))


@pytest.fixture(scope="module")
def finished(data, tmp_path_factory):
    """Return the folders of runs that nothing interrupted, by method."""
    folder = tmp_path_factory.mktemp("finished")
    return {m: train(small(m), folder / m, data=data) for m in NAMES}


def metrics(folder):
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def document_of(folder):
    return json.loads((folder / "config.json").read_text())


def state(folder, method):
    algorithm = METHODS[method].algorithm(config_of(document_of(folder)), 5, 1)
    return checkpoint.load(folder, 4, "state", algorithm.init())


def ctrl_c():
    signal.raise_signal(signal.SIGINT)


def power_cut():
    raise RuntimeError("power cut")


@pytest.mark.parametrize(
    ("method", "at", "event", "error", "kept"),
    [
        ("td3", 1, ctrl_c, Interrupted, 2),  # stops after the next step, at a checkpoint
        ("td3_bc", 2, ctrl_c, Interrupted, 3),  # between checkpoints: saved there and then
        ("iql", 2, ctrl_c, Interrupted, 3),
        ("iql", 3, power_cut, RuntimeError, 2),  # no time to save: back to the last checkpoint
    ],
)
def test_a_run_that_was_stopped_and_resumed_is_the_run_that_was_not(
    finished, data, tmp_path, method, at, event, error, kept
):
    folder, config = tmp_path / "run", small(method)
    with pytest.raises(error):
        train(config, folder, data=data, progress=lambda done, *_: done == at and event())
    assert checkpoint.latest(folder) == kept
    train(config, folder, resume=True, data=data)
    jax.tree.map(
        np.testing.assert_array_equal, state(folder, method), state(finished[method], method)
    )
    for name in metrics(folder)[0].keys() - {"seconds", "steps_per_second"}:
        assert [r[name] for r in metrics(folder)] == [r[name] for r in metrics(finished[method])]


@pytest.mark.parametrize("method", NAMES)
def test_the_folder_says_everything_needed_to_repeat_the_run(finished, data, method):
    document = document_of(finished[method])
    assert config_of(document) == small(method)
    assert document["data"]["fingerprint"] == data.fingerprint
    assert document["target_return"] == data.returns.max()


def test_normalisation_and_reward_scale_are_the_datas(finished, data):
    mean, deviation = data.observation_statistics()
    follows = {m: document_of(finished[m])["from_data"] for m in NAMES}
    constants = follows["td3_bc"]["normalization"]
    np.testing.assert_allclose(constants["observation_mean"], mean, rtol=1e-6)
    np.testing.assert_allclose(constants["observation_std"], deviation + 1e-3, rtol=1e-6)
    assert follows["td3"]["normalization"]["observation_std"] == [1.0] * 5
    span = data.returns.max() - data.returns.min()
    assert follows["iql"]["reward_scale"] == pytest.approx(1000 / span)
    assert follows["td3"]["reward_scale"] == 1


def test_the_policy_acts_as_the_actor_on_normalised_observations(finished, data):
    policy = load_policy(finished["td3_bc"])
    mean, deviation = data.observation_statistics()
    actor = state(finished["td3_bc"], "td3_bc").actor.parameters
    observations = data.observations[3, :5]
    scaled = (observations - mean) / (deviation + np.float32(1e-3))
    expected = METHODS["td3_bc"].algorithm(small("td3_bc"), 5, 1).actor(actor, scaled)
    np.testing.assert_allclose(policy.act(observations), expected, rtol=1e-5, atol=1e-6)
    earlier = load_policy(finished["td3_bc"], step=2)
    assert (earlier.act(observations) != policy.act(observations)).any()
    with pytest.raises(AgenticError, match=r"has no checkpoint of step 3; it has \[2, 4\]"):
        load_policy(finished["td3_bc"], step=3)
    for option, value in {"cache_dtype": "bfloat16", "devices": 1}.items():
        with pytest.raises(
            AgenticError, match=f"td3_bc acts without a context; leave out {option}"
        ):
            load_policy(finished["td3_bc"], **{option: value})


@pytest.mark.parametrize("method", NAMES)
def test_an_action_has_the_same_bits_whoever_acts_beside(finished, method):
    policy = load_policy(finished[method])
    observations = np.random.default_rng(0).normal(size=(19, 5)).astype(np.float32)
    policy.reset(19)
    together = policy.act(observations)
    assert together.shape == (19, 1) and np.abs(together).max() <= 1
    policy.reset()
    alone = [policy.act(observation) for observation in observations]
    np.testing.assert_array_equal(together, alone)
    policy.reset()
    np.testing.assert_array_equal(policy.act(observations[::-1]), together[::-1])


def test_evaluation_is_that_of_every_policy_and_controls_of_memory_are_refused(finished):
    policy = load_policy(finished["iql"])
    assert (policy.method, policy.step) == ("iql", checkpoint.latest(finished["iql"]))
    with pytest.raises(AgenticError, match=r"'cleared' changes the context .* this policy keeps"):
        evaluate(policy, TASK, memory="cleared")
    with pytest.raises(AgenticError, match="target return 900 was asked for"):
        policy.aiming_at(900)
    policy.reset(2)
    with pytest.raises(AgenticError, match=r"shape \(2, 4\); this policy needs 5 values for each"):
        policy.act(np.zeros((2, 4)))


def test_mistakes_about_runs_end_in_one_sentence(finished, data, tmp_path):
    folder = finished["td3"]
    for config, resume, words in [
        (small("td3"), False, "holds a run already; add --resume"),
        (small("td3", steps=5), True, "was trained with steps = 4 and this command has 5"),
        (small("td3", normalize=True), True, "with normalize = False and this command has T"),
        (small("td3", width=16), True, "with width = 8 and this command has 16"),
        (small("iql"), True, "with method = td3 and this command has iql"),
        (configure(TASK, "memory"), True, "with method = td3 and this command has at"),
    ]:
        with pytest.raises(AgenticError, match=words):
            train(config, folder, resume=resume, data=data)
    other = synthetic.dataset(TASK, sizes=(5, 1), count=5)
    with pytest.raises(AgenticError, match="was trained on other data"):
        train(small("td3"), folder, resume=True, data=other)
    # Where the data is put changes no bit, so it may differ.
    shutil.copytree(folder, tmp_path / "copy")
    train(small("td3", resident=0), tmp_path / "copy", resume=True, data=data)


@pytest.mark.parametrize(
    ("method", "fields", "words"),
    [
        ("td3", {"batch_size": 0}, "batch_size is 0; it must be at least 1"),
        ("td3", {"discount": 1.0}, "discount is 1.0; it must be at least 0 and below 1"),
        ("td3", {"target_rate": 0.0}, "target_rate is 0.0; it must be above 0"),
        ("td3", {"learning_rate": 0.0}, "learning_rate is 0.0; it must be positive"),
        ("td3", {"noise": -1.0}, "noise is -1.0; it must be at least 0"),
        ("td3_bc", {"alpha": -1.0}, "alpha is -1.0; it must be at least 0"),
        ("td3_bc", {"actor_every": 0}, "actor_every is 0; it must be at least 1"),
        ("iql", {"expectile": 1.0}, "expectile is 1.0; it must lie between 0 and 1"),
        ("iql", {"temperature": -1.0}, "temperature is -1.0; it must be at least 0"),
        ("iql", {"weight_clip": 0.0}, "weight_clip is 0.0; it must be positive"),
    ],
)
def test_contradictions_die_in_one_sentence(method, fields, words):
    with pytest.raises(AgenticError, match=words):
        configure(TASK, "", method, **fields)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ("--method", "iql", "--layers", "3"),
            "--layers does nothing to iql; it is an option of at",
        ),
        (("--method=td3", "--no-trajectory-embedding"), "--no-trajectory-embedding does nothing"),
        (("--alpha=1",), "--alpha does nothing to at; it is an option of td3_bc, so leave it out"),
        (("--method", "at", "--method", "td3", "--alpha", "1"), "--alpha does nothing to td3"),
    ],
)
def test_the_command_line_refuses_options_of_other_methods(capsys, tmp_path, arguments, words):
    given = ("train", TASK, "--data", tmp_path, "--out", tmp_path / "run", *arguments)
    assert words in fails(capsys, *given)


@pytest.mark.parametrize("method", NAMES)
def test_every_method_explains_its_own_options(capsys, method):
    assert command("train", "--method", method, "--help") == 0
    words = capsys.readouterr().out
    assert "--discount" in words and "--layers" not in words
    assert ("--expectile" in words) == (method == "iql")
    assert ("--alpha" in words) == (method == "td3_bc")


def test_the_whole_path(tmp_path, capsys):
    folder = tmp_path / "episodes"
    folder.mkdir()
    for path in list_episodes(sample_directory())[::25]:
        shutil.copy(path, folder)
    out = tmp_path / "run"
    tiny = [f"--{name.replace('_', '-')}={value}" for name, value in OPTIONS.items()]
    train = ("train", TASK, "--data", folder, "--out", out, "--method", "iql", *tiny)
    assert command(*train) == 0
    assert command(*train, "--resume") == 0
    tested = ("evaluate", out, "--seeds", "1003", "--episodes", "2")
    assert command(*tested) == 0
    first = (out / "evaluation.jsonl").read_bytes()
    assert [json.loads(line)["method"] for line in first.splitlines()] == ["iql"] * 2
    assert command(*tested) == 0
    assert (out / "evaluation.jsonl").read_bytes() == first
    assert "never told of a target return" in fails(capsys, *tested, "--target-return", "900")
    assert "this policy keeps none" in fails(capsys, *tested, "--memory", "cleared")
    page = tmp_path / "page.html"
    assert command("report", out, "--out", page) == 0
    assert "IQL" in page.read_text() and "squared error of the critics" in page.read_text()
