"""Running commands in this process, as tests of the command line do."""

from agentic.cli import main


def run(*arguments) -> int:
    """Run a command and return its exit code."""
    try:
        main([str(argument) for argument in arguments])
    except SystemExit as end:
        return end.code or 0
    return 0


def fails(capsys, *arguments, code: int = 1) -> str:
    """Run a command that must fail with one sentence on standard error; return the sentence."""
    capsys.readouterr()
    assert run(*arguments) == code
    output = capsys.readouterr().err
    lines = [line for line in output.splitlines() if line.strip()]
    assert len(lines) == 1 and lines[0].startswith("error: "), output
    return lines[0]
