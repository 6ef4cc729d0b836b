"""The command line: `agentic COMMAND`. A command's module is imported when it is called."""

import importlib
import io
import os
import sys
from collections.abc import Sequence
from keyword import iskeyword

from agentic.errors import AgenticError, closest

# command: (module, one line of help). Two words are a group and a member.
COMMANDS = {
    "demo": ("demo", "the main job on the sample data: train, evaluate, report"),
    "doctor": ("doctor", "versions, devices, rendering, data: what works, what to do"),
    "data list": ("catalogue", "the 54 ExoRL data sets: tasks, sizes, what is on disk"),
    "data download": ("download", "fetch, verify and unpack an ExoRL data set; resumes"),
    "data info": ("inspect", "what a data set holds"),
    "data convert": ("convert", "ExoRL episodes (npz) to one memory-mapped store (HDF5)"),
    "data relabel": ("labels", "add or replace a task's rewards in a store"),
    "data verify": ("inspect", "check structure, values and hashes of a data set"),
    "data export": ("exchange", "a store or episodes to ExoRL npz or a Minari data set"),
    "data import": ("exchange", "a Minari data set or ExoRL npz to a store"),
    "collect": ("collect", "explore a task and write ExoRL-format episodes"),
    "train": ("train", "train a policy on a data set"),
    "evaluate": ("evaluate", "roll a trained policy out in DeepMind Control"),
    "report": ("report", "run folders to one self-contained page and pictures"),
    "experiment run": ("experiment", "run the missing cells of an experiment; resumes"),
    "experiment status": ("experiment", "how far every cell of an experiment is"),
    "experiment report": ("experiment", "an experiment's report anew, from its raw results"),
    "experiment cell": ("experiment", "one cell, as `experiment run` starts it"),
    "bench": ("bench", "measure this machine: prints a table, or JSON"),
}


def usage() -> str:
    """Return the help of `agentic` itself."""
    width = max(map(len, COMMANDS))
    lines = "\n".join(f"  {name:<{width}}  {text}" for name, (_, text) in COMMANDS.items())
    return (
        "usage: agentic COMMAND [options]\n\n"
        "Offline reinforcement learning with Agentic Transformers in DeepMind Control.\n\n"
        f"commands:\n{lines}\n\n"
        "`agentic COMMAND --help` explains a command; `agentic --version` prints the version.\n"
        "Start with `agentic demo`."
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and exit: 0 on success, 1 on a mistake, 2 on bad arguments, 130 on Ctrl-C."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):
        # Letters that the terminal's encoding lacks are spelled out; they must not end a command.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        _dispatch(arguments)
    except AgenticError as error:
        _fail(str(error))
    except BrokenPipeError:
        # The reader (head, less) has left; nothing more to say to it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        _fail(f"{error.filename or 'a file'}: {error.strerror or error}.")
    except KeyboardInterrupt as interrupt:
        print(f"\n{interrupt or 'interrupted.'}", file=sys.stderr)
        sys.exit(130)


def _fail(sentence: str) -> None:
    print(f"error: {sentence}", file=sys.stderr)
    sys.exit(1)


def _dispatch(arguments: list[str]) -> None:
    if not arguments or arguments[0] in ("-h", "--help"):
        print(usage())
        return
    if arguments[0] == "--version":
        from agentic import __version__

        print(f"agentic {__version__}")
        return
    for words in (2, 1):
        name = " ".join(arguments[:words])
        if len(arguments) >= words and name in COMMANDS:
            module = importlib.import_module(f"agentic.cli.{COMMANDS[name][0]}")
            word = arguments[words - 1]
            # No function can be called "import".
            getattr(module, f"{word}_" if iskeyword(word) else word)(arguments[words:])
            return
    group = [name for name in COMMANDS if name.startswith(f"{arguments[0]} ")]
    if group and len(arguments) > 1 and arguments[1] in ("-h", "--help"):
        print("\n".join(f"agentic {name}: {COMMANDS[name][1]}" for name in group))
        return
    name = " ".join(arguments[: 2 if group else 1])
    print(f"error: {name!r} is not a command; {closest(name, group or COMMANDS)}.", file=sys.stderr)
    sys.exit(2)
