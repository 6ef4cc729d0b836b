"""Reports of synthetic run folders: the page, its pictures, and what damaged folders are told."""

import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from agentic.errors import AgenticError
from agentic.evaluation.references import random_reference
from agentic.files import write_bytes
from agentic.report import words as sentences
from agentic.report.episodes import episodes
from agentic.report.histograms import data_histogram
from agentic.report.page import draw, save_figures, write_report
from agentic.report.rows import rows_of, variants_of
from agentic.report.runs import read_run
from agentic.report.theme import LIGHT

DATA_RETURNS = np.linspace(8, 760, 60).round(2).tolist()
LEVELS = {
    "at": (330, 30), "dt": (300, 0), "bc": (230, 0), "bc10": (350, 0), "td3": (700, 0),
    "td3_bc": (400, 0), "iql": (380, 0), "random": (35, 0),
}  # fmt: skip
PICTURES = ["conditions.png", "episodes.png", "returns.png", "learning_curve.png"]


def write_lines(path, lines):
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def evaluation_lines(task, method, memory, generator, contexts, episodes, step):
    level, climb = LEVELS[method]
    for context in range(contexts):
        for episode in range(episodes):
            mean = level + (climb if memory == "kept" else climb / 3) * episode
            yield {
                "task": task,
                "method": method,
                "seed": 1000 + context,
                "context": context,
                "episode": episode,
                "return": float(np.clip(generator.normal(mean, 60), 0, 1000)),
                "length": 1000,
                "target_return": 760.0,
                "memory": memory,
                "step": step,
            }


def make_run(
    folder,
    method="at",
    seed=0,
    task="cartpole_swingup",
    memories=("kept",),
    contexts=8,
    episodes=4,
    steps=2000,
    **settings,
):
    """Write a run folder with plausible numbers."""
    folder.mkdir(parents=True)
    generator = np.random.default_rng(seed + 100 * len(method))
    config = {
        "task": task,
        "method": method,
        "seed": seed,
        "data": {
            "source": "data/sample",
            "fingerprint": "sha256:6f1e",
            "episodes": len(DATA_RETURNS),
            "returns": DATA_RETURNS,
            "control": "action",
        },
        "steps": steps,
        "options": {
            "network": {"layers": 3, "width": 128, "layout": "1", **settings},
            "training": {"learning_rate": 1e-3},
            "sampler": {"trajectories": 4, "batch_size": 4},
        },
        "versions": {"jax": "0.10.2", "numpy": "2.4.6"},
        "commit": "0123456789abcdef",
        "machine": "2 CPU cores",
    }
    (folder / "config.json").write_text(json.dumps(config))
    logged = np.arange(10, steps + 1, 10)
    loss = 0.05 + 0.4 * np.exp(-logged / 400) * np.exp(generator.normal(0, 0.1, len(logged)))
    write_lines(
        folder / "metrics.jsonl",
        [
            {
                "step": int(step),
                "loss": float(value),
                "gradient_norm": 0.2,
                "learning_rate": 1e-3,
                "seconds": step * 0.1,
                "steps_per_second": 10.0,
            }
            for step, value in zip(logged, loss, strict=True)
        ],
    )
    lines = []
    for memory in memories:
        lines += evaluation_lines(task, method, memory, generator, contexts, episodes, steps)
    if lines:
        write_lines(folder / "evaluation.jsonl", lines)
    return folder


class Page(HTMLParser):
    """The page's tags, addresses and text, and whether its tags close in order."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.addresses, self.words = [], [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.addresses += [value for name, value in attributes if name in ("src", "srcset", "href")]
        if tag not in ("meta", "img", "source"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


def report(folders, out, draw=draw, **options):
    write_report(folders, out, draw, **options)
    return Page(out.read_text())


def words(folders, out, **options):
    """Return the page's text without drawing, which takes most of a report's time."""
    return report(folders, out, lambda runs, rows, theme: {}, **options).text


def test_runs_of_different_data_are_set_beside_no_data(tmp_path):
    folders = [make_run(tmp_path / name, seed=seed) for seed, name in enumerate("ab")]
    config = json.loads((folders[1] / "config.json").read_text())
    config["data"] |= {"fingerprint": "0123456789abcdef", "returns": [900.0, 1000.0]}
    (folders[1] / "config.json").write_text(json.dumps(config))
    write_report(folders, tmp_path / "page.html")
    text = Page((tmp_path / "page.html").read_text()).text
    assert "They learned from 2 data sets" in text and "nothing is set beside the data's" in text
    assert "times the data's mean" not in text and "recorded episode" not in text
    assert "fingerprint 0123456789ab," in text.replace(")", ",")
    write_report(folders[:1], tmp_path / "one.html")
    assert "times the data's mean" in Page((tmp_path / "one.html").read_text()).text


def test_one_run_gives_a_self_contained_page_and_three_pictures(tmp_path):
    run = make_run(tmp_path / "run")
    page = report([run], run / "report.html")
    assert "Agentic Transformer on cartpole_swingup" in page.text
    for expected in ("2,000 steps", "60 recorded episodes", "data/sample", "8 contexts"):
        assert expected in page.text
    assert page.tags.count("img") == 4 and "script" not in page.tags and "link" not in page.tags
    assert all(address.startswith("data:image/png;base64,") for address in page.addresses)
    assert "prefers-color-scheme: dark" in page.text
    for name in PICTURES:
        assert (run / name).read_bytes().startswith(b"\x89PNG")
    left = {path.name for path in run.iterdir()}
    assert left == {"config.json", "metrics.jsonl", "evaluation.jsonl", "report.html", *PICTURES}


def test_the_table_shows_the_numbers_of_the_evaluation(tmp_path):
    run = make_run(tmp_path / "run", contexts=2, episodes=2)
    lines = [
        {"seed": seed, "context": seed, "episode": episode, "return": value, "memory": "kept"}
        for seed, values in enumerate([(100, 300), (200, 500)])
        for episode, value in enumerate(values)
    ]
    write_lines(run / "evaluation.jsonl", lines)
    text = report([run], tmp_path / "page.html").text
    # first, last, mean, best of 2, improvement: each with the range of its two contexts.
    for cell in ("150 100 to 200", "400 300 to 500", "275 200 to 350", "250 200 to 300"):
        assert cell in text
    assert "2 episodes 2 contexts" in text
    assert "Best is the largest of n = 2 rollouts" in text
    assert "rises from the first to the last episode, by 250" in text
    assert "not evidence of learning in context" in text


def with_lines(run, tables, **fields):
    """Replace or extend the evaluation of a run by tables [contexts, episodes]."""
    lines = [
        {"seed": seed, "context": seed, "episode": episode, "return": float(value),
         "episodes": len(values), "length": 1000, "step": 2000, **condition, **fields}
        for condition, table in tables
        for seed, values in enumerate(table)
        for episode, value in enumerate(values)
    ]  # fmt: skip
    write_lines(run / "evaluation.jsonl", lines)
    return run


def test_scores_stand_between_random_actions_and_the_datas_best(tmp_path):
    random = random_reference("cartpole_swingup").mean
    best = max(DATA_RETURNS)
    half = (random + best) / 2
    table = [[random, best], [half, half]]
    run = with_lines(make_run(tmp_path / "run"), [({"memory": "kept"}, table)])
    text = words([run], tmp_path / "page.html")
    # first: 0 and 50; last: 100 and 50; mean: 50 and 50; improvement: 100 and 0.
    for cell in ("25 0 to 50", "75 50 to 100", "50 50 to 50", "50 0 to 100"):
        assert cell in text
    assert f"random actions earn, {random:.1f} (mean of 64 episodes" in text
    unknown = with_lines(make_run(tmp_path / "other", task="walker_fly"), [({}, table)])
    assert "There are no scores" in words([unknown], tmp_path / "other.html")


def test_every_target_noise_and_cache_has_a_row_of_its_own(tmp_path):
    tables = [
        ({"target_return": 200.0, "action_noise": 0.0}, [[1, 2], [3, 4]]),
        ({"target_return": 760.0, "action_noise": 0.0}, [[5, 6], [7, 8]]),
        ({"target_return": 760.0, "action_noise": 0.1}, [[9, 10], [11, 12]]),
        ({"target_return": 760.0, "cache_dtype": "bfloat16"}, [[4, 4], [4, 4]]),
        ({"target_return": None, "method": "random"}, [[0, 0], [0, 0]]),
    ]
    runs = [with_lines(make_run(tmp_path / f"{seed}", seed=seed), tables) for seed in (0, 1)]
    rows, notes = rows_of([read_run(run) for run in runs])
    assert notes == []
    assert [(row.setting, len(row.tables), row.returns[0]) for row in rows] == [
        ("target 200", 2, 1),
        ("target 760", 2, 5),
        ("target 760, noise 0.1", 2, 9),
        ("target 760, bfloat16 cache", 2, 4),
        ("", 1, 0),
    ]
    assert "Agentic Transformer, target 200:" in words(runs, tmp_path / "page.html")


def test_the_best_is_of_the_same_number_of_episodes_for_every_method(tmp_path):
    short = with_lines(make_run(tmp_path / "bc", "bc"), [({}, [[100, 300]] * 2)])
    long = with_lines(make_run(tmp_path / "at"), [({}, [[100, 200, 900, 900]] * 2)])
    text = words([short, long], tmp_path / "page.html")
    assert "best of 2" in text and "best of 4" not in text
    assert "the largest of n = 2 rollouts, the first 2 of each context, for every method" in text
    assert "their best is that of the first 2" in text


def test_several_tasks_are_averaged_as_scores_over_the_same_number_of_runs(tmp_path):
    tasks = ("cartpole_swingup", "walker_run")
    runs = [
        with_lines(make_run(tmp_path / f"{task}{seed}", seed=seed, task=task), [({}, [[760, 760]])])
        for task in tasks
        for seed in range(2)
    ]
    text = words(runs, tmp_path / "page.html")
    assert "All tasks together" in text and "2 tasks 2 training runs each" in text
    assert "stratified by task" in text and "100 100 to 100" in text
    assert "All tasks together" not in words(runs[:3], tmp_path / "fewer.html")
    assert "All tasks together" not in words(runs[:2], tmp_path / "one.html")


def test_small_videos_are_part_of_the_page_and_large_ones_are_named(
    tmp_path,
):
    run = make_run(tmp_path / "run")
    (run / "videos").mkdir()
    (run / "videos" / "small.mp4").write_bytes(b"film")
    (run / "videos" / "large.mp4").write_bytes(b"longer film")
    about = {"memory": "kept", "seed": 7, "episode": 1, "return": 321.0}
    names = ("small.mp4", "large.mp4", "gone.mp4")
    write_lines(run / "videos" / "videos.jsonl", [{"file": name} | about for name in names])
    page = report([run], tmp_path / "page.html", largest_video=4)
    assert page.tags.count("video") == 1 and "gone.mp4" not in page.text
    assert [a for a in page.addresses if "video" in a] == ["data:video/mp4;base64,ZmlsbQ=="]
    assert "episode 2 of the context of seed 7, return 321" in page.text
    assert f"{tmp_path.name}/run/videos/large.mp4: Agentic Transformer: episode 2" in page.text
    for name in ("../config.json", "/etc/passwd.mp4", "a/b.mp4"):
        write_lines(run / "videos" / "videos.jsonl", [{"file": name} | about])
        with pytest.raises(AgenticError, match="plain name of an mp4"):
            read_run(run)


def test_versions_of_the_evaluation_are_shown_once_each(tmp_path):
    run = make_run(tmp_path / "run")
    sources = [{"versions": {"mujoco": v}, "commit": "c"} for v in ("3.17.0", "3.17.0", "3.18.0")]
    tables = [
        ({"memory": m, "provenance": s}, [[1, 2]]) for m, s in zip("abc", sources, strict=True)
    ]
    text = words([with_lines(run, tables)], tmp_path / "page.html")
    assert "evaluation 1: versions.mujoco 3.17.0" in text
    assert "evaluation 2: versions.mujoco 3.18.0" in text and "evaluation 3" not in text


def test_same_folders_give_the_same_bytes(tmp_path):
    run = make_run(tmp_path / "run")
    write_report([run], tmp_path / "a.html")
    write_report([run], tmp_path / "b.html")
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


def test_runs_that_differ_in_their_seed_share_a_row_over_runs(tmp_path):
    runs = [make_run(tmp_path / f"{m}{s}", m, s) for m in ("at", "bc") for s in range(3)]
    rows, notes = rows_of([read_run(run) for run in runs])
    assert [(row.method, len(row.tables), row.over_runs) for row in rows] == [
        ("at", 3, True),
        ("bc", 3, True),
    ]
    assert notes == [] and rows[0].summaries["mean"].count == 3
    page = report([*runs[:3], runs[0]], tmp_path / "page" / "all.html")
    assert "3 training runs, 8 contexts each" in page.text
    assert "bootstrap over training runs" in page.text
    assert "A bootstrap of 3 runs gives little more than the range" in page.text
    assert (tmp_path / "page" / "all-cartpole_swingup-episodes.png").is_file()


def test_runs_that_differ_in_a_setting_keep_their_rows_apart(tmp_path):
    runs = [make_run(tmp_path / f"w{w}", seed=w, width=w) for w in (64, 128)]
    read = [read_run(run) for run in runs]
    assert variants_of(read) == ["width 64", "width 128"]
    assert [len(row.tables) for row in rows_of(read)[0]] == [1, 1]


def test_the_same_seed_twice_is_not_independent_evidence(tmp_path):
    runs = [make_run(tmp_path / name, seed=7, steps=20, memories=()) for name in "ab"]
    assert "not two independent training runs" in report(runs, tmp_path / "page.html").text


def test_a_random_policy_counts_once_however_many_runs_hold_it(tmp_path):
    runs = [make_run(tmp_path / f"{s}", seed=s, width=64 + s) for s in range(2)]
    generator = np.random.default_rng(0)
    for run in runs:
        extra = evaluation_lines("cartpole_swingup", "random", "kept", generator, 8, 4, 2000)
        with open(run / "evaluation.jsonl", "a") as file:
            file.writelines(json.dumps(line) + "\n" for line in extra)
    rows, _ = rows_of([read_run(run) for run in runs])
    assert [(row.method, len(row.tables)) for row in rows] == [
        ("at", 1),
        ("at", 1),
        ("random", 1),
    ]


def test_controls_stand_beside_the_kept_context(tmp_path):
    run = make_run(tmp_path / "run", memories=("index", "cleared", "kept", "random"), contexts=30)
    rows, _ = rows_of([read_run(run)])
    assert [row.memory for row in rows] == ["kept", "cleared", "index", "random"]
    text = sentences.improved(rows[0], rows[1:])
    assert "with context emptied before each episode" in text
    assert "only the excess is memory at work" in text


def test_an_eighth_line_does_not_look_like_the_first(tmp_path):
    rows, _ = rows_of([read_run(make_run(tmp_path / "run"))])
    # More lines of one method than colours.
    [axes] = episodes(rows[:1] * 10, [], LIGHT).axes
    lines = [container[0] for container in axes.containers]
    looks = {(line.get_color(), line.get_markerfacecolor(), line.get_marker()) for line in lines}
    assert len(looks) == len(lines) == 10


def test_several_tasks_get_sections(tmp_path):
    runs = [make_run(tmp_path / task, task=task) for task in ("walker_run", "cheetah_run")]
    page = report(runs, tmp_path / "page.html")
    assert page.tags.count("img") == 8
    assert "on walker_run and cheetah_run" in page.text


def test_a_run_that_was_not_evaluated_says_how(tmp_path):
    run = make_run(tmp_path / "run", memories=())
    page = report([run], tmp_path / "page.html")
    assert f"agentic evaluate {tmp_path.name}/run" in page.text
    assert [path.name for path in save_figures(run)] == ["returns.png", "learning_curve.png"]


def test_a_folder_with_nothing_but_names_still_has_a_page(tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.json").write_text('{"task": "walker_run", "method": "<b>odd</b>"}')
    page = report([run], tmp_path / "page.html")
    assert save_figures(run) == []
    assert "<b>odd</b>" in page.text and "no learning curve" in page.text


@pytest.mark.parametrize("episodes", [1, 16])
def test_any_number_of_episodes_can_be_shown(tmp_path, episodes):
    run = make_run(tmp_path / "run", episodes=episodes, contexts=1)
    text = report([run], tmp_path / "page.html").text
    assert "no interval" in text and "nan" not in text


def test_a_loss_that_is_not_finite_is_a_gap(tmp_path):
    run = make_run(tmp_path / "run")
    with open(run / "metrics.jsonl", "a") as file:
        file.write('{"step": 2010, "loss": NaN}\n')
    assert "nan" in report([run], tmp_path / "page.html").text


def test_a_cut_off_last_line_is_left_out_and_noted(tmp_path):
    run = make_run(tmp_path / "run")
    path = run / "evaluation.jsonl"
    path.write_bytes(path.read_bytes()[:-20])
    read = read_run(run)
    assert "the last line is cut off and was left out" in read.notes[0]
    # The last context lost an episode with it, so that its last and best would mean another thing.
    rows, notes = rows_of([read])
    assert "1 of 8 contexts do not have the episodes 1 to 4" in notes[0]
    assert rows[0].tables[0].shape == (7, 4)
    assert read.notes[0] in report([run], tmp_path / "page.html").text


def test_contexts_evaluated_again_and_older_checkpoints_give_way(tmp_path):
    run = make_run(tmp_path / "run", contexts=2, episodes=2)
    lines = [
        {"seed": 5, "episode": episode, "return": value, "step": step}
        for step, values in ((10, (9, 9)), (20, (1, 2)), (20, (3, 4)))
        for episode, value in enumerate(values)
    ]
    write_lines(run / "evaluation.jsonl", lines)
    rows, notes = rows_of([read_run(run)])
    np.testing.assert_array_equal(rows[0].tables[0], [[3, 4]])
    assert "steps [10, 20]" in notes[0] and "1 contexts were evaluated again" in notes[1]


def damage(name, content):
    def apply(run):
        path = run / name
        path.unlink() if content is None else path.write_text(content)

    return apply


@pytest.mark.parametrize(
    ("apply", "rule"),
    [
        (damage("config.json", None), "not a run folder, because it has no config.json"),
        (damage("config.json", "{"), "config.json is not valid JSON"),
        (damage("config.json", "[]"), "must be a JSON object"),
        (damage("config.json", '{"method": "at"}'), "has task None"),
        (damage("config.json", '{"task": "a", "method": "at", "data": 3}'), "list of numbers"),
        (damage("metrics.jsonl", '{"step": 1\n{"step": 2, "loss": 1}\n'), "line 1 is not JSON"),
        (damage("metrics.jsonl", '{"step": 1}\n'), "line 1 .* needs a number for loss"),
        (damage("metrics.jsonl", "7\n"), "must be a JSON object"),
        (damage("evaluation.jsonl", '{"episode": 0, "seed": 1}\n'), "finite number for return"),
        (damage("evaluation.jsonl", '{"return": 3, "seed": 1}\n'), "episode index"),
        (damage("evaluation.jsonl", '{"return": 3, "episode": 0}\n'), "context's seed"),
    ],
)
def test_a_damaged_folder_is_met_with_one_sentence(tmp_path, apply, rule):
    run = make_run(tmp_path / "run")
    apply(run)
    with pytest.raises(AgenticError, match=rule) as raised:
        write_report([run], tmp_path / "page.html")
    assert "\n" not in str(raised.value) and str(run) in str(raised.value)
    assert not (tmp_path / "page.html").exists()


def test_run_folders_nearby_are_named(tmp_path):
    make_run(tmp_path / "runs" / "walker")
    for wrong in (tmp_path / "runs", tmp_path / "runs" / "worker"):
        with pytest.raises(AgenticError, match=re.escape(str(tmp_path / "runs" / "walker"))):
            read_run(wrong)


def test_no_folder_and_a_folder_as_page_are_refused(tmp_path):
    with pytest.raises(AgenticError, match="at least one"):
        write_report([], tmp_path / "page.html")
    with pytest.raises(AgenticError, match=r"report\.html"):
        write_report([make_run(tmp_path / "run")], tmp_path)


def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    path = tmp_path / "page.html"
    write_bytes(path, b"old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("agentic.files.os.replace", full)
    with pytest.raises(AgenticError, match="No space left on device"):
        write_bytes(path, b"new")
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


def test_a_histogram_has_a_panel_for_every_task():
    returns = {"walker_run": np.arange(20.0), "walker_walk": np.full(20, 3.0)}
    figure = data_histogram(returns, LIGHT)
    assert [axes.get_title("left") for axes in figure.axes] == [
        "walker_run: 20 episodes, mean 10, best 19",
        "walker_walk: 20 episodes, mean 3, best 3",
    ]
    for axes in figure.axes:
        assert sum(bar.get_height() for bar in axes.patches) == pytest.approx(100)


def test_a_page_has_no_path_of_the_machine_it_was_written_on(tmp_path):
    run = make_run(tmp_path / "home" / "me" / "runs" / "walker", memories=("kept", "cleared"))
    config = json.loads((run / "config.json").read_text())
    config["data"]["source"] = str(tmp_path / "home" / "me" / "store.h5")
    (run / "config.json").write_text(json.dumps(config))
    with open(run / "evaluation.jsonl", "a") as file:
        file.write('{"cut')
    text = words([run], tmp_path / "page.html")
    assert str(tmp_path) not in text and "home" not in text
    assert "runs/walker" in text and "me/store.h5" in text
    assert "walker/evaluation.jsonl: the last line is cut off" in text


def test_a_page_says_each_setting_once_and_sets_apart_what_differs(tmp_path):
    runs = [make_run(tmp_path / "runs" / f"{seed}", seed=seed, width=96) for seed in (7, 8)]
    # What evaluated the policy is what trained it, but for one version.
    source = {"commit": "0123456789abcdef", "versions": {"jax": "0.10.2", "numpy": "3"}}
    for run in runs:
        with_lines(run, [({"provenance": source}, [[1, 2]])])
    settings = words(runs, tmp_path / "page.html").partition("Configuration and versions")[2]
    assert settings.count("width 96") == 1 == settings.count("0123456789abcdef")
    assert "evaluation 1: versions.numpy 3" in settings
    assert "evaluation 1: versions.jax" not in settings
    assert settings.endswith("What differs between runs. run seed runs/7 7 runs/8 8")


def test_the_verdict_stands_first(tmp_path):
    run = make_run(tmp_path / "run")
    text = words([run], tmp_path / "page.html")
    body = text.partition("grid-column: 2; } } ")[2]
    assert body.startswith(
        "Agentic Transformer on cartpole_swingup Agentic Transformer: mean return"
    )
    several = words([run, make_run(tmp_path / "fly", task="walker_run")], tmp_path / "page.html")
    assert several.index("walker_run Agentic Transformer: mean return") > several.index("Results")
