"""What a cluster's job runs: the command of one cell, which it lets save when its time is up."""

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from agentic.errors import AgenticError

# Seconds between two looks at the process.
EVERY = 0.5


@dataclass
class CellJob:
    """A command as `submitit` calls it; `checkpoint` is asked for before the job's time is up.

    Attributes:
        command: words of the command.
        log: what the command prints is added to this file.
    """

    command: Sequence[str]
    log: Path
    _process: subprocess.Popen | None = field(default=None, repr=False, compare=False)

    def __call__(self) -> None:
        """Run the command to its end, or raise AgenticError with its exit status."""
        with self.log.open("ab") as log:
            # In a group of its own: signals of the scheduler are for this process to pass on.
            self._process = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, process_group=0
            )
        while self._process.poll() is None:
            time.sleep(EVERY)
        if self._process.returncode:
            raise AgenticError(
                f"the command ended with {self._process.returncode}; its words are in {self.log}."
            )

    def checkpoint(self):
        """Let the command save and end, and return what shall go on when the job runs again."""
        from submitit.helpers import DelayedSubmission

        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            # Called from a signal's handler, perhaps in the middle of `poll`, whose lock `wait`
            # would wait for in vain.
            os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)
        return DelayedSubmission(CellJob(self.command, self.log))
