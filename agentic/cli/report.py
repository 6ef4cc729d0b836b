"""`agentic report`."""

from collections.abc import Sequence
from pathlib import Path

import tyro

from agentic.cli.terminal import say
from agentic.report.page import write_report


def report(arguments: Sequence[str]) -> None:
    """Parse and run."""

    def command(runs: tyro.conf.Positional[tuple[Path, ...]], /, out: Path | None = None) -> None:
        """Write one self-contained page about run folders, and their pictures as PNG.

        Args:
            runs: run folders.
            out: the page; by default report.html in the first run folder.
        """
        page = out or runs[0] / "report.html"
        write_report(list(runs), page)
        say(f"report: {page}")

    tyro.cli(command, prog="agentic report", args=arguments)
