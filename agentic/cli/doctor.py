"""`agentic doctor`."""

import sys
from collections.abc import Sequence

import tyro

from agentic.cli.doctor_checks import diagnose
from agentic.cli.terminal import say

_STYLES = {"ok": "green", "warn": "yellow", "fail": "bold red"}


def doctor(arguments: Sequence[str]) -> None:
    """Parse and run; exits with 1 if a check fails."""

    def command() -> None:
        """Check versions, devices, rendering and data, and say what to do about what is wrong."""
        _print_checks()

    tyro.cli(command, prog="agentic doctor", args=arguments)


def _print_checks() -> None:
    """Print a line for each finding, and below it what to do."""
    checks = diagnose()
    width = max(len(check.name) for check in checks)
    for check in checks:
        say(f"{check.status:<4}  {check.name:<{width}}  {check.message}", _STYLES[check.status])
        if check.remedy:
            say(f"{'':<{width + 8}}{check.remedy}")
    if any(check.status == "fail" for check in checks):
        sys.exit(1)
