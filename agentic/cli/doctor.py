"""`agentic doctor`."""

import sys
from collections.abc import Sequence

import tyro
from rich.table import Table

from agentic.cli.doctor_checks import diagnose
from agentic.cli.terminal import console

_STYLES = {"ok": "green", "warn": "yellow", "fail": "bold red"}


def doctor(arguments: Sequence[str]) -> None:
    """Parse and run; exits with 1 if a check fails."""

    def command() -> None:
        """Check versions, devices, rendering and data, and say what to do about what is wrong."""
        _print_checks()

    tyro.cli(command, prog="agentic doctor", args=arguments)


def _print_checks() -> None:
    checks = diagnose()
    table = Table("check", "", "finding", "what to do")
    for check in checks:
        remedy = check.remedy or ""
        table.add_row(
            check.name, f"[{_STYLES[check.status]}]{check.status}[/]", check.message, remedy
        )
    console.print(table)
    if any(check.status == "fail" for check in checks):
        sys.exit(1)
