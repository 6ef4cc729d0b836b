"""A file or folder appears whole or not at all, whatever ends the writing."""

import signal
import subprocess
import sys
from contextlib import suppress

import pytest

from agentic.errors import AgenticError
from agentic.files import folder_written_whole, is_held, locked, written_whole


def into_file(temporary):
    temporary.write_bytes(b"half")


def into_folder(temporary):
    (temporary / "part").write_bytes(b"half")


KINDS = [(written_whole, into_file), (folder_written_whole, into_folder)]


def contents(folder):
    """Return every file below a folder with its bytes."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.mark.parametrize(("writing", "fill"), KINDS)
@pytest.mark.parametrize("ending", [ValueError, KeyboardInterrupt, SystemExit])
def test_what_is_interrupted_leaves_nothing(writing, fill, ending, tmp_path):
    with pytest.raises(ending), writing(tmp_path / "out") as temporary:
        fill(temporary)
        raise ending
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("writing", "fill"), KINDS)
def test_a_disks_complaint_is_one_sentence_and_leaves_nothing(writing, fill, tmp_path):
    rule = r"out could not be written \(No space left on device\); nothing was left behind"
    with pytest.raises(AgenticError, match=rule), writing(tmp_path / "out") as temporary:
        fill(temporary)
        raise OSError(28, "No space left on device")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("writing", "fill"), KINDS)
def test_what_ends_well_takes_its_name_in_a_new_folder(writing, fill, tmp_path):
    with writing(tmp_path / "new" / "out") as temporary:
        fill(temporary)
        assert not (tmp_path / "new" / "out").exists()
    name = "new/out" if writing is written_whole else "new/out/part"
    assert contents(tmp_path) == {name: b"half"}


def test_an_older_file_stays_until_the_new_one_is_whole(tmp_path):
    (tmp_path / "out").write_bytes(b"older")
    with suppress(ValueError), written_whole(tmp_path / "out") as temporary:
        into_file(temporary)
        raise ValueError
    assert contents(tmp_path) == {"out": b"older"}


def test_a_link_stays_and_the_file_that_it_leads_to_is_written(tmp_path):
    target, link = tmp_path / "target" / "out", tmp_path / "links" / "out"
    for folder in (target.parent, link.parent):
        folder.mkdir()
    link.symlink_to(target)
    for content in (b"first", b"second"):  # the link leads nowhere before the first
        with written_whole(link) as temporary:
            temporary.write_bytes(content)
        assert link.is_symlink() and contents(target.parent) == {"out": content}
    assert [path.name for path in link.parent.iterdir()] == ["out"]


def test_a_folder_begins_empty_and_replaces_none_that_is_not(tmp_path):
    # What a try that was killed has left.
    (tmp_path / ".out.partial").mkdir()
    (tmp_path / ".out.partial" / "old").touch()
    (tmp_path / "out").mkdir()
    with folder_written_whole(tmp_path / "out") as folder:
        into_folder(folder)
    assert contents(tmp_path) == {"out/part": b"half"}
    with (
        pytest.raises(AgenticError, match="out exists already"),
        folder_written_whole(tmp_path / "out"),
    ):
        pass


HOLD = """
import sys, time
from pathlib import Path
from agentic.files import locked
with locked(Path(sys.argv[1]), "busy"):
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_lock_has_one_holder_and_the_system_gives_it_back(tmp_path):
    lock = tmp_path / "new" / ".lock"
    assert not is_held(lock)
    with subprocess.Popen([sys.executable, "-c", HOLD, lock], stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline() == b"held\n"
        for _ in range(2):
            assert is_held(lock)
            with pytest.raises(AgenticError, match="busy"), locked(lock, "busy"):
                pass
        holder.send_signal(signal.SIGKILL)
    # The killed process has left its file, which means nothing.
    assert lock.exists() and not is_held(lock)
    with locked(lock, "busy"):
        assert is_held(lock)
        with pytest.raises(AgenticError, match="busy"), locked(lock, "busy"):
            pass
    assert not lock.exists() and not is_held(lock)


def test_a_lock_is_given_back_when_its_work_fails(tmp_path):
    with suppress(ValueError), locked(tmp_path / ".lock", "busy"):
        raise ValueError
    with locked(tmp_path / ".lock", "busy"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_lock_whose_file_was_removed_meanwhile_is_on_the_new_file(tmp_path):
    lock = tmp_path / ".lock"
    with locked(lock, "busy"):
        lock.unlink()
        assert not is_held(lock)
        with locked(lock, "busy"):
            assert is_held(lock)
