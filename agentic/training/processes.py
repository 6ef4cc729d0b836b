"""Several processes that train one policy together: starting, agreeing, waiting, leading.

With one process everything here is free: nothing is sent and no one is waited for.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import jax
import numpy as np

from agentic.errors import AgenticError

# A process that says nothing for so long counts as dead, and the others end too.
HEARTBEAT_SECONDS = 60
# How long the first process may keep the others waiting at the start.
START_SECONDS = 300


def check_cpu_devices(count: int) -> None:
    """Raise AgenticError for less than one device."""
    if count < 1:
        raise AgenticError(f"cpu_devices is {count}; it must be at least 1.")


def simulate_devices(count: int) -> None:
    """Make the processor so many devices; to be called before anything touches one."""
    check_cpu_devices(count)
    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_num_cpu_devices", count)


@dataclass(frozen=True, kw_only=True)
class Processes:
    """How this process finds the others.

    Attributes:
        distributed: take part in what Slurm, Open MPI, Kubernetes (with its Python package
            installed) or a TPU pod started; they say who the others are.
        coordinator: HOST:PORT of the first process, where no such system says it.
        processes: how many there are, with `coordinator`.
        process_id: which of them this one is, from 0, with `coordinator`.
        cpu_devices: train on this many simulated devices of the processor, to try a mesh.
    """

    distributed: bool = False
    coordinator: str | None = None
    processes: int | None = None
    process_id: int | None = None
    cpu_devices: int | None = None

    def __post_init__(self):
        by_hand = {
            "coordinator": self.coordinator,
            "processes": self.processes,
            "process-id": self.process_id,
        }
        missing = [name for name, value in by_hand.items() if value is None]
        if len(missing) in (1, 2):
            raise AgenticError(
                f"--{missing[0]} is missing; a process started by hand needs all of --coordinator "
                "HOST:PORT, --processes N and --process-id 0..N-1."
            )
        if not missing:
            self._check_by_hand()
        if self.cpu_devices is not None:
            check_cpu_devices(self.cpu_devices)

    def _check_by_hand(self) -> None:
        host, _, port = self.coordinator.rpartition(":")
        if not host or not port.isdecimal() or not 0 < int(port) < 65536:
            raise AgenticError(
                f"coordinator is {self.coordinator!r}; it must be HOST:PORT of the first process, "
                f"such as {host or self.coordinator or 'localhost'}:12355."
            )
        if self.processes < 1 or not 0 <= self.process_id < self.processes:
            raise AgenticError(
                f"process_id is {self.process_id} of {self.processes} processes; they are "
                f"numbered from 0 to {max(self.processes, 1) - 1}."
            )

    def start(self) -> None:
        """Join the others; to be called before anything touches a device.

        Raises AgenticError where they cannot be found.
        """
        if self.cpu_devices is not None:
            simulate_devices(self.cpu_devices)
        if self.coordinator is None and not self.distributed:
            return
        who = {}
        if self.coordinator is not None:
            who = {
                "coordinator_address": self.coordinator,
                "num_processes": self.processes,
                "process_id": self.process_id,
                "cluster_detection_method": "deactivate",
            }
        try:
            jax.distributed.initialize(
                **who,
                initialization_timeout=START_SECONDS,
                heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
                shutdown_timeout_seconds=HEARTBEAT_SECONDS,
            )
        except (RuntimeError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise AgenticError(
                f"the other processes were not found ({reason}); start all of them with the same "
                "--coordinator HOST:PORT and --processes N, or let Slurm or Open MPI start "
                "them with --distributed."
            ) from error


def leads() -> bool:
    """Return whether this process writes the files and speaks to the user."""
    return jax.process_index() == 0


def wait(name: str) -> None:
    """Wait until all processes have come here."""
    if jax.process_count() > 1:
        from jax.experimental import multihost_utils

        multihost_utils.sync_global_devices(name)


def any_of(flag: bool) -> bool:
    """Return whether `flag` is true in any process; all must ask at the same place."""
    if jax.process_count() == 1:
        return flag
    from jax.experimental import multihost_utils

    return bool(multihost_utils.process_allgather(np.asarray(flag)).any())


class LostProcess(AgenticError):
    """Raised where work in common fails because another process has ended."""


@contextmanager
def together() -> Iterator[None]:
    """Turn what a lost process does to this one into LostProcess, one sentence."""
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        if jax.process_count() == 1:
            raise
        reason = str(error).splitlines()[0]
        raise LostProcess(
            f"process {jax.process_index()} of {jax.process_count()} lost another one ({reason}); "
            "see what that one says, then start all of them again with --resume."
        ) from error


@contextmanager
def ending_at_once() -> Iterator[None]:
    """Where another process is lost, say so and end this program.

    Leaving as usual would wait for the lost one, in vain, and then abort without a word of ours.
    """
    try:
        yield
    except LostProcess as lost:
        print(f"error: {lost}", file=sys.stderr, flush=True)
        os._exit(1)
