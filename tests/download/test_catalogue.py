"""The catalogue: 54 data sets, the right addresses, and a hint for every wrong name."""

import pytest

from agentic import AgenticError
from agentic.download.catalogue import (
    DOMAINS,
    PUBLISHER,
    all_data_sets,
    check_mirror,
    find_data_set,
)
from agentic.simulation.tasks import TASKS


def test_six_domains_by_nine_algorithms():
    data_sets = all_data_sets()
    assert len({data_set.name for data_set in data_sets}) == len(data_sets) == 54
    urls = {data_set.url() for data_set in data_sets}
    assert f"{PUBLISHER}/point_mass_maze/icm_apt.zip" in urls and len(urls) == 54
    assert find_data_set("walker", "rnd").url("http://a.b/c/") == "http://a.b/c/walker/rnd.zip"


@pytest.mark.parametrize("domain", DOMAINS.values(), ids=str)
def test_tasks_are_those_of_the_simulator(domain):
    # It may know more tasks than these, and none of a domain, but no task by another name.
    simulated = {task.name for task in TASKS.values() if task.domain == domain.name}
    assert set(domain.tasks) <= simulated or not simulated
    assert len(domain.tasks) in (2, 4)


@pytest.mark.parametrize(
    ("domain", "algorithm", "words"),
    [
        ("wlker", "rnd", "did you mean 'walker'"),
        ("walker", "icm_atp", "did you mean 'icm_apt'"),
        ("walker_run", "rnd", "did you mean 'walker'"),
        ("rnd", "walker", "agentic data download walker rnd"),
    ],
)
def test_wrong_names_end_with_the_right_one(domain, algorithm, words):
    with pytest.raises(AgenticError, match=words):
        find_data_set(domain, algorithm)


@pytest.mark.parametrize(
    "mirror",
    ["ftp://a.b", "file:///etc", "a.b/c", "http://", "http://a b", "http://[::1", "http://a:x", ""],
)
def test_a_mirror_is_a_web_address(mirror):
    with pytest.raises(AgenticError, match="not a web address"):
        check_mirror(mirror)


def test_good_mirrors():
    for mirror in ("http://localhost:8000", "https://a.b/c/d/", PUBLISHER):
        check_mirror(mirror)
