"""What the outside sees stays: commands and flags, files of a run, rows, pages, names, old runs.

The files of golden/outside say what there was before modules changed their places. The law of each:
all of it is still there, and more may come. Nothing here looks inside the package, so that none of
it depends on where things lie. Where a change of what is seen is meant,

    AGENTIC_RENEW=1 python -m pytest -p no:xdist tests/test_outside.py

writes the snapshots anew; golden/earlier_run stays as it is (see support/tiny_run.py).
"""

import json
import os
import re
import shutil
from contextlib import chdir
from html.parser import HTMLParser
from pathlib import Path

import pytest
from support import compiling, tiny_run
from support.command_line import run
from support.tiny_run import DATA, EPISODE, OPTIONS, SAVED, STEPS, TASK

import agentic

GOLDEN = Path(__file__).parent / "golden"
# What a line of evaluation.jsonl holds that no machine rounds.
EXACT = (
    "method", "step", "task", "memory", "action_noise", "cache_dtype", "episodes", "seed",
    "context", "episode", "length",
)  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def compiled_once(tmp_path_factory):
    """Keep compiled programs on disk: a run and its resumption have the same."""
    with compiling.plainly(), compiling.kept_on_disk(tmp_path_factory.mktemp("compiled")):
        yield


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with a run of each method, evaluated, and one page."""
    home = tmp_path_factory.mktemp("home")
    with chdir(home):
        tiny_run.write_episodes(Path(DATA))
        for method in OPTIONS:
            tiny_run.train(method)
            assert run("evaluate", method, *EPISODE) == 0
        assert run("report", "at", "--out", "page.html") == 0
    return home


@pytest.fixture
def earlier(tmp_path):
    """A copy of the runs that an earlier version stopped at step 3, beside their data."""
    home = tmp_path / "earlier"
    shutil.copytree(GOLDEN / "earlier_run", home)
    tiny_run.write_episodes(home / DATA)
    return home


def missing(before, now, place: str = "") -> list[str]:
    """Return what of `before` is not in `now`: keys, members of lists, equal values."""
    if isinstance(before, dict):
        gone = []
        for name, value in before.items():
            inside = f"{place}/{name}"
            gone += missing(value, now[name], inside) if name in now else [inside]
        return gone
    if isinstance(before, list):
        return [f"{place}/{member}" for member in before if member not in now]
    return [] if before == now else [f"{place} = {before!r}, now {now!r}"]


def still_there(name: str, now) -> None:
    """Compare with a snapshot, or write it where the environment says so."""
    path = GOLDEN / "outside" / f"{name}.json"
    if os.environ.get("AGENTIC_RENEW"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(now, indent=1) + "\n")
    gone = missing(json.loads(path.read_text()), now)
    assert not gone, (
        f"no longer there: {gone}. If that is meant, AGENTIC_RENEW=1 python -m pytest "
        f"-p no:xdist tests/{Path(__file__).name} writes {path.name} anew; say so in CHANGELOG.md."
    )


def lines_of(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def words_of(capsys, *arguments: str) -> str:
    """Return what a command prints; nothing where it fails."""
    capsys.readouterr()
    return capsys.readouterr().out if run(*arguments) == 0 else ""


def listed(words: str) -> list[str]:
    """Return the names of a list of names and explanations, two blanks before each."""
    return re.findall(r"^  (\w\S*(?: \w+)?)  +\S", words, re.MULTILINE)


def flags_in(words: str) -> dict[str, list[str]]:
    """Return the options that a help text lists, each with the words it chooses among.

    An option stands at the left, in a box where the output can show one, and apart from its
    explanation by two blanks: "--loss {all,last}".
    """
    found = {}
    for line in re.findall(r"^[│ ] (-\S.*?)(?: {2,}| ?│?$)", words, re.MULTILINE):
        flags = re.findall(r"(?<!\S)--[a-z][\w.-]*", line)
        values = re.findall(r"[\w.]+", re.sub(r"(?<!\S)-\S+", "", line))
        choices = sorted({value for value in values if not re.fullmatch(r"[A-Z]+|\.+", value)})
        found |= dict.fromkeys(flags, choices)
    return dict(sorted(found.items()))


class Page(HTMLParser):
    """The headings of a page, and the heads of its tables' columns."""

    def __init__(self, text: str):
        super().__init__()
        self.headings, self.columns, self._into = [], [], None
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self._into = None
        if re.fullmatch("h[1-6]", tag):
            self._into = self.headings
        elif tag == "tr":
            self.columns.append([])
        elif tag == "th" and ("scope", "col") in attributes:
            self._into = self.columns[-1]

    def handle_data(self, text):
        if self._into is not None:
            self._into.append(text)

    def handle_endtag(self, tag):
        self._into = None


def test_every_command_and_flag_is_still_there(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")  # wider, options stand in two columns
    commands = listed(words_of(capsys, "--help"))
    methods = flags_in(words_of(capsys, "train", "--help"))["--method"]
    commands += [f"train --method {name}" for name in methods]
    commands += [f"bench {name}" for name in listed(words_of(capsys, "bench", "--help"))]
    help_of = {name: words_of(capsys, *name.split(), "--help") for name in commands}
    # A command without help has ended in an error.
    still_there("flags", {name: flags_in(words) for name, words in help_of.items() if words})


def test_the_files_of_a_run_and_what_they_hold_are_still_there(home):
    seen = {}
    for method in OPTIONS:
        names = {path.relative_to(home / method) for path in (home / method).rglob("*")}
        # What is inside of a checkpoint is orbax's; TensorBoard's events are not always there.
        names = {Path(*name.parts[:2]) for name in names if not name.name.startswith("events.")}
        seen[method] = {
            "files": sorted(map(str, names)),
            "config.json": list(json.loads((home / method / "config.json").read_text())),
            "metrics.jsonl": list(lines_of(home / method / "metrics.jsonl")[0]),
        }
    still_there("run", seen)


def test_the_rows_of_an_evaluation_are_still_there(home):
    seen = {}
    for method in OPTIONS:
        [row] = lines_of(home / method / "evaluation.jsonl")
        seen[method] = {"keys": list(row), "values": {name: row[name] for name in EXACT}}
        assert 0 < row["return"] < row["length"]
    still_there("evaluation", seen)


def test_the_headings_and_columns_of_a_report_are_still_there(home):
    page = Page((home / "page.html").read_text())
    pictures = sorted(path.name for path in (home / "at").glob("*.png"))
    columns = [heads for heads in page.columns if heads]
    still_there("report", {"headings": page.headings, "columns": columns, "files beside": pictures})


def test_every_public_name_is_still_there():
    still_there("names", [name for name in agentic.__all__ if hasattr(agentic, name)])


@pytest.mark.parametrize("method", OPTIONS)
def test_the_policy_of_an_earlier_run_earns_what_it_did(method, earlier):
    [row] = lines_of(earlier / method / "evaluation.jsonl")
    policy = agentic.load_policy(earlier / method)
    result = agentic.evaluate(policy, TASK, episodes=row["episodes"], seeds=[row["seed"]])
    assert result.lengths.tolist() == [[row["length"]]]
    assert result.returns.tolist() == [[pytest.approx(row["return"], rel=1e-3)]]


@pytest.mark.parametrize("method", OPTIONS)
def test_an_earlier_run_goes_on_as_if_never_stopped(method, earlier):
    folder, whole = earlier / method, lines_of(earlier / f"{method}.jsonl")
    assert [row["step"] for row in lines_of(folder / "metrics.jsonl")] == [*range(1, SAVED + 1)]
    with chdir(earlier):
        tiny_run.train(method, "--resume")
    resumed = lines_of(folder / "metrics.jsonl")
    assert [row["step"] for row in resumed] == [*range(1, STEPS + 1)]
    for row, expected in zip(resumed, whole, strict=True):
        for name in expected.keys() - {"seconds", "steps_per_second"}:
            assert row[name] == pytest.approx(expected[name], rel=1e-4), (row["step"], name)
    assert (folder / "checkpoints" / str(STEPS)).is_dir()


@pytest.mark.parametrize("method", OPTIONS)
def test_a_new_run_has_the_losses_of_an_earlier_one(method, home):
    new = lines_of(home / method / "metrics.jsonl")
    old = lines_of(GOLDEN / "earlier_run" / f"{method}.jsonl")
    assert [row["loss"] for row in new] == pytest.approx([row["loss"] for row in old], rel=1e-4)


def test_earlier_runs_have_a_report_and_their_episodes_count(earlier):
    before = {method: (earlier / method / "evaluation.jsonl").read_bytes() for method in OPTIONS}
    with chdir(earlier):
        for method in OPTIONS:
            # What is on record is not rolled out again.
            assert run("evaluate", method, *EPISODE) == 0
        assert run("report", *OPTIONS, "--out", "page.html") == 0
    text = (earlier / "page.html").read_text()
    assert {"Results", "Runs"} <= set(Page(text).headings)
    for method, content in before.items():
        assert (earlier / method / "evaluation.jsonl").read_bytes() == content
        assert f">{json.loads(content)['return']:.0f}<" in text
