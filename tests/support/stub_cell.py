"""The process that launchers start in tests in place of a cell, of the standard library alone.

It is called with a cell's name and folder. The beginning of the name decides how it ends.
"""

import json
import os
import signal
import sys
from pathlib import Path

name, folder = sys.argv[1], Path(sys.argv[2])


def write(state, part="stub", why=""):
    document = {"state": state, "part": part, "step": 1, "of": 2, "seconds": {part: 1.5}}
    partial = folder / "partial"
    partial.write_text(json.dumps(document | {"why": why}))
    partial.rename(folder / "cell.json")


signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
with (folder.parent / "order.txt").open("a") as order:
    order.write(f"{name} {' '.join(sys.argv[3:])}\n")
if name.startswith("data"):
    (folder / "exorl.h5").touch()
elif name.startswith("bad"):
    print("the words of a bad cell")
    write("failed", why="it is bad.")
    sys.exit(1)
elif name.startswith("mute"):
    sys.exit(3)
elif name.startswith("dead"):
    write("running")
    os.kill(os.getpid(), signal.SIGKILL)
elif name.startswith("slow") and not (folder / "asked").exists():
    write("running", part="ready")
    signal.sigwait([signal.SIGINT])
    (folder / "asked").touch()
    write("stopped", part="ready")
    sys.exit(130)
elif name.startswith("deaf"):
    write("running", part="ready")
    signal.pause()
if not name.startswith("data"):
    write("done")
