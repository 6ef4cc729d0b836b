"""What is recorded about a run is what is the case."""

import datetime
import importlib.metadata
import subprocess

from agentic import provenance


def test_versions_are_those_installed():
    assert provenance.versions(["numpy"]) == {"numpy": importlib.metadata.version("numpy")}


def test_commit_is_that_of_the_checkout_or_none():
    found = provenance.commit()
    command = ["git", "rev-parse", "HEAD"]
    head = subprocess.run(command, capture_output=True, text=True)
    assert found is None or found.removesuffix("-dirty") == head.stdout.strip()


def test_results_alone_make_no_checkout_dirty(tmp_path, monkeypatch):
    def git(*words):
        settings = ("-c", "user.name=a", "-c", "user.email=a@b")
        subprocess.run(["git", "-C", tmp_path, *settings, *words], check=True, capture_output=True)

    code = tmp_path / "agentic/provenance.py"
    results = [tmp_path / f"experiments/x/results.{kind}" for kind in ("jsonl", "json")]
    for path in (code, *results):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("before\n")
    git("init")
    git("add", ".")
    git("commit", "-m", "before")
    monkeypatch.setattr(provenance, "__file__", str(code))
    for path in results:
        path.write_text("after\n")
    clean = provenance.commit()
    assert len(clean) == 40
    code.write_text("after\n")
    assert provenance.commit() == f"{clean}-dirty"


def test_days_are_dates_in_utc():
    assert provenance.day(0) == "1970-01-01" and provenance.day(86399) == "1970-01-01"
    assert datetime.date.fromisoformat(provenance.day()).year >= 2026


def test_cores_are_at_least_one():
    assert provenance.cores() >= 1
