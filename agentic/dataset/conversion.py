"""A directory of ExoRL episodes to one store, as fast as they can be decompressed.

The names of the files promise how long their episodes are. So every episode has its row before any
of them is read, and the thread that has read one writes it. Where a name was wrong, or damaged
episodes are to be left out, all begins again with what is known by then.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from agentic.dataset.episodes import (
    Episode,
    episode_length,
    episode_shapes,
    list_episodes,
    promised_length,
    read_episode,
    tasks_of_widths,
    widths_of_task,
)
from agentic.dataset.labels import Control, check_control, check_tasks, label_episode, observe_again
from agentic.dataset.replay import recorded_steps, replay, sample, simulators
from agentic.dataset.store.output import Output
from agentic.dataset.store.writing import Layout, StoreWriter, new_store
from agentic.dataset.workers import check_workers, in_order
from agentic.errors import AgenticError
from agentic.files import locked, written_whole
from agentic.progress import Progress
from agentic.provenance import cores, day
from agentic.simulation.tasks import TASKS, Task

# Episodes of which steps are simulated again; `verify` takes more.
REPLAYED = 8


class Converted(NamedTuple):
    """What was written: the file, what it holds, and what there is to say about it.

    skipped: a sentence for each episode left out; warnings: sentences on what was written.
    """

    path: Path
    episodes: int
    steps: int
    tasks: tuple[str, ...]
    skipped: tuple[str, ...]
    warnings: tuple[str, ...] = ()


class _Damaged(Exception):
    """Some episodes cannot be read: begin again without them."""


class _OtherLength(Exception):
    """A file's name does not tell its length: begin again with what the headers say."""


def convert(
    directory: str | Path,
    out: str | Path,
    tasks: Sequence[str] = (),
    control: Control = "action",
    progress: Progress | None = None,
    episodes: int | None = None,
    skip_damaged: bool = False,
    overwrite: bool = False,
    physics: bool = True,
    recompute_observations: bool = False,
    workers: int | None = None,
    output_type: type[Output] = Output,
) -> Converted:
    """Stream a directory of ExoRL episodes into a store at `out`, labelled for every task.

    A few episodes are in memory at a time. The file appears under its name only when it is
    complete, and its bytes do not depend on the number of workers.

    Args:
        directory: as for `load_dataset`.
        out: path of the store, ending in .h5.
        tasks: names of tasks that share one simulator, such as ["walker_walk", "walker_run"];
            none leaves labelling to `relabel_store`.
        control: what labels read as control, "action" or "zero".
        progress: called with (episodes done, episodes in all) after each episode.
        episodes: take only the first this many.
        skip_damaged: leave out episodes that cannot be read; where there are any, the others are
            read twice.
        overwrite: replace a file that is there already.
        physics: keep the simulator states, from which `relabel_store` adds tasks.
        recompute_observations: take observations from physics instead of those in the files.
        workers: threads that decompress and label; None takes every processor.
        output_type: of the file under the store.
    """
    out, specs = Path(out), check_tasks(tasks)
    check_control(control)
    workers = cores() if workers is None else workers
    check_workers(workers)
    check_new(out, overwrite)
    if episodes is not None and episodes < 1:
        raise AgenticError(f"episodes is {episodes}; it must be at least 1.")
    for needs, option in ((not physics, "--no-physics"), (recompute_observations, "--recompute")):
        if needs and not specs:
            raise AgenticError(
                f"{option} was given without a task; rewards and observations are computed from "
                "physics, so name at least one --task."
            )
    paths, skipped = list_episodes(directory)[:episodes], {}
    conversion = _Conversion(
        str(directory), out, tuple(specs), control, physics, recompute_observations, workers,
        skipped if skip_damaged else None, output_type,
    )  # fmt: skip
    # The arrays need all lengths at once, and opening every file twice costs a tenth of reading it.
    length = promised_length
    busy = f"another process is writing {out}; wait for it, or choose another name."
    real = out.resolve()
    with locked(real.with_name(f".{real.name}.lock"), busy):
        while True:
            try:
                return conversion.write(paths, length, progress or (lambda done, total: None))
            except _OtherLength:
                length = episode_length
            except _Damaged:
                paths = [path for path in paths if path not in skipped]
                if not paths:
                    first = next(iter(skipped.values()))
                    raise AgenticError(
                        f"{directory} holds no undamaged episode; the first: {first}"
                    ) from None


@dataclass(frozen=True)
class _Conversion:
    """One try to write a store of all episodes that are taken to be whole.

    `damaged` takes up the sentences of those that turn out not to be; None makes the first one an
    error.
    """

    source: str
    out: Path
    tasks: tuple[Task, ...]
    control: Control
    physics: bool
    recompute_observations: bool
    workers: int
    damaged: dict[Path, str] | None
    output_type: type[Output]

    def write(
        self, paths: Sequence[Path], length: Callable[[Path], int], progress: Progress
    ) -> Converted:
        """Write the store of these episodes."""
        lengths = list(self._read_all(length, paths))
        widths, domain = self._widths(paths)
        names = tuple(task.name for task in self.tasks)
        layout = Layout(
            np.asarray(lengths, np.int32),
            widths["observation"],
            widths["action"],
            widths["physics"] if self.physics else 0,
            names,
            last_observations=True,
        )
        read = _Reader(names, self.control, self.recompute_observations, self.workers, widths)
        with (
            written_whole(self.out) as temporary,
            new_store(temporary, layout, self.output_type) as store,
        ):
            rows = {path: row for row, path in enumerate(paths)}
            write = _Writer(read, store, rows, lengths)
            sampled, recorded = set(sample(len(paths), REPLAYED)), []
            # Closed before the file is, because threads that read ahead write to it.
            with closing(self._read_all(write, paths)) as results:
                for row, (episode, rewards) in enumerate(results):
                    store.note(episode, rewards)
                    if row in sampled:
                        name = str(paths[row])
                        recorded.append(recorded_steps(name, episode.physics, episode.actions))
                    progress(row + 1, len(paths))
            store.finish(domain, self.source, dates_of(paths), self.control)
        replayed = replay(recorded, names or simulators(widths))
        return Converted(
            self.out, len(paths), sum(lengths), names, tuple((self.damaged or {}).values()),
            replayed.problems if replayed else (),
        )  # fmt: skip

    def _widths(self, paths: Sequence[Path]) -> tuple[dict[str, int], str]:
        """Return the width of every array, and the domain that it belongs to."""
        if self.tasks:
            return widths_of_task(self.tasks[0]), self.tasks[0].domain
        # Where damage is left out, a stranger that comes first must not decide.
        heads = paths[:1] if self.damaged is None else paths
        widths = _most_common_widths(self._read_all(episode_shapes, heads))
        return widths, domains_of(widths, paths[0])

    def _read_all(self, read: Callable[[Path], Any], paths: Sequence[Path]) -> Iterator[Any]:
        """Yield read(path) in order; damage is raised, or with `damaged` written down in there.

        Then all damage is looked for before _Damaged is raised, so that one more try is enough.
        """

        def attempt(path: Path) -> Any:
            try:
                return read(path)
            except AgenticError as error:
                return error

        found = False
        with closing(in_order(attempt, paths, self.workers)) as results:
            for path, result in zip(paths, results, strict=True):
                if isinstance(result, AgenticError):
                    if self.damaged is None:
                        sentence = str(result).removesuffix(".")
                        raise AgenticError(
                            f"{sentence}; --skip-damaged leaves out what cannot be read."
                        )
                    found, self.damaged[path] = True, str(result)
                elif not found:
                    yield result
        if found:
            raise _Damaged


@dataclass(frozen=True)
class _Reader:
    """Reads, observes and labels one episode, in any thread: what is asked of all of them."""

    tasks: tuple[str, ...]
    control: Control
    recompute_observations: bool
    threads: int
    widths: dict[str, int]

    def __call__(self, path: Path) -> tuple[Episode, dict[str, np.ndarray]]:
        task = self.tasks[0] if self.tasks else None
        episode = read_episode(path, task, self.recompute_observations)
        found = episode.widths()
        if task is None and found != self.widths:
            raise AgenticError(
                f"{path} has arrays of widths {found}, others have {self.widths}; "
                "the episodes of one store come from one domain."
            )
        if self.recompute_observations:
            episode = observe_again(path, episode, task, self.threads)
        return episode, label_episode(path, episode, self.tasks, self.control, self.threads)


@dataclass(frozen=True)
class _Writer:
    """Reads an episode and writes it at once, in any thread: its row is known beforehand.

    Rows that damage makes wrong do not matter, because all begins again without it.
    """

    read: _Reader
    store: StoreWriter
    rows: dict[Path, int]
    lengths: list[int]

    def __call__(self, path: Path) -> tuple[Episode, dict[str, np.ndarray]]:
        episode, rewards = self.read(path)
        row = self.rows[path]
        if len(episode.actions) != self.lengths[row]:
            raise _OtherLength
        self.store.put(row, episode, rewards)
        return episode, rewards


def check_new(out: Path, overwrite: bool) -> None:
    """Raise AgenticError unless a store may be written to `out`."""
    if out.suffix != ".h5":
        raise AgenticError(f"the store is to be written to {out}; its name must end in .h5.")
    if out.exists() and not overwrite:
        raise AgenticError(f"{out} exists already; choose another name or pass --overwrite.")


def dates_of(paths: Sequence[Path]) -> dict[str, str]:
    """Return the days of the oldest and of the newest of these files."""
    times = [path.stat().st_mtime for path in paths]
    return {"oldest_episode": day(min(times)), "newest_episode": day(max(times))}


def _most_common_widths(shapes: Iterable[dict[str, tuple[int, ...]]]) -> dict[str, int]:
    """Return the widths that most episodes have."""
    widths = ({key: shape[-1] if shape else 0 for key, shape in s.items()} for s in shapes)
    return dict(Counter(tuple(each.items()) for each in widths).most_common(1)[0][0])


def domains_of(widths: dict[str, int], path: Path) -> str:
    """Return the domain of episodes of these widths, or several joined by " or "."""
    domains = sorted({TASKS[name].domain for name in tasks_of_widths(widths)})
    if not domains:
        raise AgenticError(
            f"{path} has observations, actions and physics of widths {tuple(widths.values())}, "
            "which no task in the installed simulator has; name its task, and where only "
            "observations differ add --recompute-observations."
        )
    return " or ".join(domains)
