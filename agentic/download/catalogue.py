"""The 54 ExoRL data sets: 6 domains, each explored by 9 algorithms for about 10 million steps.

Data and publisher: Yarats et al. 2022, arXiv 2201.13425. The algorithms ran as in URLB: Laskin et
al. 2021, arXiv 2110.15191. The publisher names no sizes and no checksums; what is known of them was
read from its answers.
"""

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from agentic.errors import AgenticError, closest

PUBLISHER = "https://dl.fbaipublicfiles.com/exorl"
# Git ignores it: everything in data/ but the sample.
ROOT = Path("data/exorl")


@dataclass(frozen=True)
class Domain:
    """One simulated body."""

    name: str
    goals: tuple[str, ...]  # what episodes can be labelled for: ExoRL's and later papers'
    # 10 million rows before compression: 4 bytes per number, 8 per number of physics. Archives are
    # a little smaller.
    raw_bytes: int

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks by their full names, such as walker_run."""
        return tuple(f"{self.name}_{goal}" for goal in self.goals)


@dataclass(frozen=True)
class Algorithm:
    """What explored."""

    name: str
    title: str
    paper: str


@dataclass(frozen=True)
class Published:
    """What the publisher's server said of one archive."""

    size: int  # bytes
    etag: str


@dataclass(frozen=True)
class DataSet:
    """One archive of episodes: a domain explored by an algorithm."""

    domain: Domain
    algorithm: Algorithm

    @property
    def name(self) -> str:
        """Such as walker/rnd."""
        return f"{self.domain.name}/{self.algorithm.name}"

    @property
    def published(self) -> Published | None:
        """What is known of the publisher's archive."""
        return PUBLISHED.get(self.name)

    def url(self, mirror: str = PUBLISHER) -> str:
        """Return where `mirror` keeps the archive."""
        return f"{mirror.rstrip('/')}/{self.name}.zip"


_REACH = ("reach_top_left", "reach_top_right", "reach_bottom_left", "reach_bottom_right")
DOMAINS = {
    domain.name: domain
    for domain in (
        Domain("cartpole", ("swingup", "swingup_sparse", "balance", "balance_sparse"), 640_000_000),
        Domain("cheetah", ("run", "run_backward"), 2_440_000_000),
        Domain("jaco", _REACH, 3_560_000_000),
        Domain("point_mass_maze", _REACH, 760_000_000),
        Domain("quadruped", ("run", "walk", "stand", "jump"), 8_240_000_000),
        Domain("walker", ("run", "walk", "stand", "flip"), 2_720_000_000),
    )
}
ALGORITHMS = {
    algorithm.name: algorithm
    for algorithm in (
        Algorithm("aps", "active pretraining with successor features", "arXiv 2108.13956"),
        Algorithm("diayn", "diversity is all you need: skills", "arXiv 1802.06070"),
        Algorithm("disagreement", "disagreement of an ensemble of models", "arXiv 1906.04161"),
        Algorithm("icm", "intrinsic curiosity module", "arXiv 1705.05363"),
        Algorithm("icm_apt", "particle entropy in the curiosity features", "arXiv 2103.04551"),
        Algorithm("proto", "prototypical representations", "arXiv 2102.11271"),
        Algorithm("random", "uniformly random actions", "arXiv 2201.13425"),
        Algorithm("rnd", "random network distillation", "arXiv 1810.12894"),
        Algorithm("smm", "state marginal matching", "arXiv 1906.05274"),
    )
}
PUBLISHED = {"walker/rnd": Published(2_585_461_986, "5fcbe90c646cb714d080a6b4c8586186-309")}


def all_data_sets() -> list[DataSet]:
    """Return all data sets, domain by domain."""
    return [DataSet(domain, algo) for domain in DOMAINS.values() for algo in ALGORITHMS.values()]


def find_data_set(domain: str, algorithm: str) -> DataSet:
    """Return the data set of this domain and algorithm, or raise AgenticError with the closest."""
    if domain in ALGORITHMS and algorithm in DOMAINS:
        raise AgenticError(
            f"{domain!r} is an algorithm and {algorithm!r} a domain: the domain comes first, "
            f"agentic data download {algorithm} {domain}."
        )
    for word, name, known in (("domain", domain, DOMAINS), ("algorithm", algorithm, ALGORITHMS)):
        if name not in known:
            raise AgenticError(f"unknown {word} {name!r}: {closest(name, known)}.")
    return DataSet(DOMAINS[domain], ALGORITHMS[algorithm])


def check_mirror(mirror: str) -> None:
    """Raise AgenticError unless `mirror` is the start of an http or https address."""
    try:
        parts = urlsplit(mirror)
        legal = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        legal = legal and mirror.isascii() and mirror.isprintable() and " " not in mirror
    except ValueError:
        legal = False
    if not legal:
        raise AgenticError(
            f"--mirror {mirror!r} is not a web address; give the part before DOMAIN/ALGO.zip, "
            f"such as {PUBLISHER}."
        )
