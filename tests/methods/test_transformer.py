"""A run can be stopped anywhere and resumed bit for bit, and its folder says all about it."""

import json
import shutil
import signal
import threading

import jax
import numpy as np
import pytest
from support import compiling, synthetic

from agentic.errors import AgenticError
from agentic.interruption import Interrupted
from agentic.methods import METHODS
from agentic.methods.method import config_of, configure
from agentic.methods.train import load_policy, train
from agentic.methods.transformer import attends_slowly
from agentic.network.parameters import initialize, unstack
from agentic.training import checkpoint
from agentic.training.learner import Batch, NonFiniteLoss
from agentic.training.run import keep

TASK = "cartpole_swingup"
SMALL = {
    "action_chunk": 10, "layers": 1, "width": 16, "dropout": 0.1, "steps": 4, "log_every": 1,
    "checkpoint_every": 2, "seed": 3,
}  # fmt: skip
CONFIG = configure(TASK, "memory", trajectories=2, batch_size=2, best_fraction=0.1, **SMALL)


def learner_of(config, data):
    return METHODS[config.method].learner(config, data)


@pytest.fixture(scope="module")
def data():
    return synthetic.dataset(TASK, sizes=(5, 1))


@pytest.fixture(scope="module", autouse=True)
def compiled_once(tmp_path_factory):
    """Keep compiled programs on disk: every run here would otherwise compile the same again."""
    with compiling.plainly(), compiling.kept_on_disk(tmp_path_factory.mktemp("compiled")):
        yield


@pytest.fixture(scope="module")
def finished(data, tmp_path_factory):
    """Return the folder of a run that nothing interrupted."""
    return train(CONFIG, tmp_path_factory.mktemp("finished") / "run", data=data)


def metrics(folder):
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def state(folder, data, step=4):
    """Return everything that the checkpoint of `step` holds, as a flat list of arrays."""
    learner = learner_of(CONFIG, data)
    items = learner.saved(learner.like())
    return [
        leaf
        for name, tree in items.items()
        for leaf in jax.tree.leaves(checkpoint.load(folder, step, name, tree))
    ]


def ctrl_c():
    signal.raise_signal(signal.SIGINT)


def power_cut():
    raise RuntimeError("power cut")


def at_step(step, happen):
    def progress(done, *_):
        if done == step:
            happen()

    return progress


@pytest.mark.parametrize(
    ("at", "event", "error", "logged", "kept"),
    [
        (1, ctrl_c, Interrupted, 2, 2),  # stops after the next step, at a checkpoint
        (2, ctrl_c, Interrupted, 3, 3),  # stops between checkpoints: saved there and then
        (3, power_cut, RuntimeError, 3, 2),  # no time to save: back to the last checkpoint
    ],
)
def test_four_steps_are_some_steps_then_save_load_and_the_rest(
    finished, data, tmp_path, at, event, error, logged, kept
):
    folder = tmp_path / "run"
    with pytest.raises(error):
        train(CONFIG, folder, data=data, progress=at_step(at, event))
    assert checkpoint.latest(folder) == kept
    assert [record["step"] for record in metrics(folder)] == list(range(1, logged + 1))
    train(CONFIG, folder, resume=True, data=data)
    for actual, whole in zip(state(folder, data), state(finished, data), strict=True):
        np.testing.assert_array_equal(actual, whole)
    for name in ("step", "loss", "gradient_norm", "learning_rate"):
        assert [r[name] for r in metrics(folder)] == [r[name] for r in metrics(finished)]
    seconds = [record["seconds"] for record in metrics(folder)]
    assert seconds == sorted(seconds)


def test_on_a_mesh_too_a_resumed_run_is_the_whole_one(data, tmp_path):
    config = CONFIG.changed(mesh="fsdp=2")
    whole = train(config, tmp_path / "whole", data=data)
    with pytest.raises(RuntimeError):
        train(config, tmp_path / "cut", data=data, progress=at_step(3, power_cut))
    assert checkpoint.latest(tmp_path / "cut") == 2
    train(config, tmp_path / "cut", resume=True, data=data)
    for actual, expected in zip(
        *(state(tmp_path / x, data) for x in ("cut", "whole")), strict=True
    ):
        np.testing.assert_array_equal(actual, expected)
    assert [r["loss"] for r in metrics(tmp_path / "cut")] == [r["loss"] for r in metrics(whole)]


def test_resuming_a_finished_run_changes_nothing(finished, data):
    before = metrics(finished)
    train(CONFIG, finished, resume=True, data=data)
    assert metrics(finished) == before
    assert checkpoint.steps(finished) == [2, 4]


def test_batches_drawn_ahead_change_nothing_and_leave_no_thread(finished, data, tmp_path):
    assert CONFIG.options.prefetch > 0
    folder = train(CONFIG.changed(prefetch=0), tmp_path / "run", data=data)
    for actual, expected in zip(state(folder, data), state(finished, data), strict=True):
        np.testing.assert_array_equal(actual, expected)
    with pytest.raises(RuntimeError):
        train(CONFIG, tmp_path / "cut", data=data, progress=at_step(1, power_cut))
    assert "prefetch" not in {thread.name for thread in threading.enumerate()}


def test_windows_and_strides_train_a_policy_that_acts_with_whole_episodes(data, tmp_path):
    config = CONFIG.changed(window=4, stride=2, action_chunk=2, steps=2)
    policy = load_policy(train(config, tmp_path / "run", data=data))
    assert (policy.stride, policy.config.episode_length) == (2, 500)
    np.testing.assert_array_equal(
        policy.config.normalization.observation_mean, data.every(2).observation_statistics()[0]
    )
    first = policy.act(np.ones(5))
    policy.observe(0.0, False)
    np.testing.assert_array_equal(policy.act(np.zeros(5)), first)
    with pytest.raises(AgenticError, match="was trained with window = 4 and this command has 6"):
        train(config.changed(window=6), tmp_path / "run", resume=True, data=data)


def test_a_run_from_before_an_option_existed_goes_on_with_its_default(finished, data, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(finished, folder)
    document = json.loads((folder / "config.json").read_text())
    for name in ("window", "stride"):
        del document["options"]["sampler"][name]
    (folder / "config.json").write_text(json.dumps(document))
    train(CONFIG, folder, resume=True, data=data)
    assert load_policy(folder).stride == 1
    other = CONFIG.changed(stride=3)
    with pytest.raises(AgenticError, match="was trained with stride = 1 and this command has 3"):
        train(other, folder, resume=True, data=data)


def test_ctrl_c_says_where_it_stopped(data, tmp_path):
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(Interrupted, match="stopped at step 3 of 4; --resume goes on"):
        train(CONFIG, tmp_path, data=data, progress=at_step(2, ctrl_c))
    assert signal.getsignal(signal.SIGINT) == before


def test_a_second_ctrl_c_does_not_wait(data, tmp_path):
    def twice():
        ctrl_c()
        ctrl_c()

    with pytest.raises(KeyboardInterrupt) as caught:
        train(CONFIG, tmp_path, data=data, progress=at_step(1, twice))
    assert caught.type is KeyboardInterrupt
    assert checkpoint.steps(tmp_path) == []


def test_a_loss_that_is_not_finite_keeps_the_last_checkpoint(data, tmp_path):
    learner = learner_of(CONFIG, data)

    class Breaking(type(learner)):
        def update(self, state, batch):
            broken = np.float32(np.nan if int(state.step) == 2 else 1)
            chain = batch.data._replace(actions=batch.data.actions * broken)
            return super().update(state, Batch(chain, 1))

    learner.__class__ = Breaking
    with pytest.raises(NonFiniteLoss, match="the loss is nan at step 3"):
        keep(tmp_path, learner, learner.initial(), CONFIG, None)
    assert checkpoint.steps(tmp_path) == [2]
    assert [record["step"] for record in metrics(tmp_path)] == [1, 2]


def test_a_record_has_the_mean_loss_the_largest_gradient_and_the_rate(data):
    learner = learner_of(CONFIG, data)
    metrics = {"loss": np.array([1.0, 2.0]), "gradient_norm": np.array([5.0, 3.0])}
    record = learner.record(metrics, step=2)
    assert (record["loss"], record["gradient_norm"]) == (1.5, 5.0)
    assert record["learning_rate"] == pytest.approx(CONFIG.options.training.learning_rate)


def test_the_policy_of_a_run_acts_as_its_parameters_say(finished, data):
    policy = load_policy(finished)
    assert policy.config == learner_of(CONFIG, data).network
    assert policy.target_return == data.returns.max()
    like = jax.eval_shape(lambda: initialize(policy.config, jax.random.key(0)))
    count = len(jax.tree.leaves(like))
    trained = jax.tree.unflatten(jax.tree.structure(like), state(finished, data)[:count])
    jax.tree.map(np.testing.assert_array_equal, policy.parameters, unstack(trained))
    earlier = load_policy(finished, step=2)
    actions = [p.act(np.ones(5)) for p in (policy, load_policy(finished), earlier)]
    np.testing.assert_array_equal(actions[0], actions[1])
    assert (actions[0] != actions[2]).any()


def test_a_run_acts_with_a_cache_of_another_dtype_or_over_several_devices(finished):
    plain, narrow = load_policy(finished), load_policy(finished, cache_dtype="bfloat16")
    split = load_policy(finished, devices=2)
    assert (plain.cache_dtype, narrow.cache_dtype) == ("float32", "bfloat16")
    once, rounded, shared = (policy.act(np.ones(5)) for policy in (plain, narrow, split))
    np.testing.assert_allclose(shared, once, atol=1e-5)
    np.testing.assert_allclose(rounded, once, atol=0.02)
    held = [jax.tree.leaves(policy._cache.layers)[0] for policy in (plain, narrow, split)]
    assert [keys.dtype.itemsize for keys in held] == [4, 2, 4]  # bytes
    assert [len(keys.sharding.device_set) for keys in held] == [1, 1, 2]
    with pytest.raises(AgenticError, match="devices is 99; this process has 1 to 8"):
        load_policy(finished, devices=99)
    with pytest.raises(AgenticError, match="cache_dtype is 'bf16'; did you mean 'bfloat16'"):
        load_policy(finished, cache_dtype="bf16")


def test_the_folder_says_everything_needed_to_repeat_the_run(finished, data):
    document = json.loads((finished / "config.json").read_text())
    assert config_of(document) == CONFIG
    assert document["data"]["fingerprint"] == data.fingerprint
    assert document["data"]["returns"] == data.returns.tolist()
    assert document["target_return"] == data.returns.max()
    assert document["from_data"]["normalization"]["return_scale"] == np.abs(data.returns).max()
    assert {"jax", "numpy", "mujoco", "agentic"} <= document["versions"].keys()


def test_mistakes_about_folders_end_in_one_sentence(finished, data, tmp_path):
    other = synthetic.dataset(TASK, sizes=(5, 1), count=5)
    for arguments, words in [
        ({"config": CONFIG}, "holds a run already; add --resume"),
        ({"config": CONFIG.changed(steps=5), "resume": True},
         "was trained with steps = 4 and this command has 5"),
        ({"config": CONFIG.changed(best_fraction=0.5), "resume": True},
         "was trained with best_fraction = 0.1 and this command has 0.5"),
        ({"config": CONFIG.changed(width=32), "resume": True},
         "was trained with width = 16 and this command has 32"),
    ]:  # fmt: skip
        with pytest.raises(AgenticError, match=words):
            train(**arguments, folder=finished, data=data)
    with pytest.raises(AgenticError, match="was trained on other data"):
        train(CONFIG, finished, resume=True, data=other)
    with pytest.raises(AgenticError, match=r"is not a run folder: it has no config\.json"):
        train(CONFIG, tmp_path / "new", resume=True, data=data)
    with pytest.raises(AgenticError, match="is not a run folder"):
        load_policy(tmp_path)
    with pytest.raises(AgenticError, match=r"has no checkpoint of step 3; it has \[2, 4\]"):
        load_policy(finished, step=3)
    (tmp_path / "config.json").write_text((finished / "config.json").read_text())
    with pytest.raises(AgenticError, match="has no checkpoint; train first"):
        load_policy(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(AgenticError, match="is not valid JSON"):
        load_policy(tmp_path)


@pytest.mark.parametrize(
    ("method", "layout", "inputs", "trajectories", "pool"),
    [
        ("at", "1", "Rsard", 4, 1.0),
        ("at", "5", "Rsard", 4, 1.0),
        ("at", "4", "Rsar", 4, 1.0),
        ("dt", "5", "Rsa", 1, 1.0),
        ("bc", "1", "sa", 1, 1.0),
        ("bc10", "4", "sa", 1, 0.1),
    ],
)
def test_methods_are_settings_of_one_network(data, method, layout, inputs, trajectories, pool):
    learner = learner_of(configure(TASK, "memory", method, layout=layout, **SMALL), data)
    network, sampler = learner.network, learner.sampler
    assert (network.inputs, network.trajectories) == (inputs, trajectories)
    assert network.joint == (layout == "1")
    assert network.action_chunk == (10 if layout == "1" else 1)
    assert (sampler.trajectories, sampler.top_fraction) == (trajectories, pool)
    assert sampler.batch_size * sampler.trajectories == 8


def test_chains_are_no_longer_than_the_data(data):
    learner = learner_of(configure(TASK, "memory", trajectories=32, **SMALL), data)
    assert learner.network.trajectories == learner.sampler.trajectories == len(data)
    assert learner.sampler.batch_size == 1


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"layout": "6"}, "layout is '6'; .*valid: 1, 4, 5"),
        ({"mesh": "fspd=2"}, "did you mean fsdp=2"),
        ({"mesh": "data=3"}, r"batch_size is 2 chains, .* = 3 \* 1 \* 1; .* such as 3"),
        ({"mesh": "data=2", "accumulate": 2}, r"2 \* 1 \* 2; take a multiple of 4, such as 4"),
        ({"accumulate": 0}, "accumulate is 0; it must be at least 1"),
        ({"prefetch": -1}, "prefetch is -1 megabytes; it must be at least 0"),
    ],
)
def test_contradictions_die_in_one_sentence(fields, words):
    with pytest.raises(AgenticError, match=words):
        CONFIG.changed(**fields)


def test_on_a_gpu_the_faster_type_is_named():
    def slow(backend, **options):
        return attends_slowly(configure(TASK, "", **options).options, backend)

    assert slow("gpu") and not slow("cpu") and not slow("gpu", dtype="bfloat16")
    assert not slow("gpu", mesh="sequence=2") and not slow("gpu", width=256)
