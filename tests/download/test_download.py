"""A whole download: layout, verification, kills at every point, and the command line's words."""

import hashlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from support.command_line import run
from support.exorl_archive import archive_bytes, files, md5_etag, packed, tree
from support.file_server import Answer, serving

import agentic
from agentic import AgenticError
from agentic.dataset import describe_data, verify
from agentic.download.catalogue import find_data_set
from agentic.download.download import DownloadConfig, download
from agentic.download.fetch import FetchConfig
from agentic.download.local_copy import LocalCopy
from agentic.files import locked

PACKAGE = Path(agentic.__file__).parent
DATA_SET = find_data_set("cartpole", "rnd")
SIZE = len(archive_bytes())
ETAG = md5_etag(archive_bytes())


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def server():
    with serving(archive_bytes(), ETAG) as server:
        yield server


@pytest.fixture
def config(server, tmp_path):
    return DownloadConfig(tmp_path / "exorl", server.url, FetchConfig(block=20_000))


@pytest.fixture
def local(config):
    return LocalCopy(config.root, DATA_SET)


def fetch(config) -> list:
    return list(download(DATA_SET, config, lambda _: None))


def beside(local: LocalCopy) -> list[str]:
    return sorted(path.name for path in local.folder.parent.iterdir())


def test_what_arrives(config, local, server):
    steps = fetch(config)
    assert list(dict.fromkeys(progress.step for progress in steps)) == [
        "downloading", "verifying", "unpacking",
    ]  # fmt: skip
    for step in ("downloading", "verifying", "unpacking"):
        done = [progress.done for progress in steps if progress.step == step]
        assert done == sorted(done) and done[-1] == steps[[p.step for p in steps].index(step)].total
    assert server.requests == [("/exorl/cartpole/rnd.zip", None)]
    assert tree(local.folder) == files() and beside(local) == ["rnd"]
    assert describe_data(local.folder).facts["episodes"] == 2


def test_the_manifest_says_what_was_fetched(config, local, server):
    fetch(config)
    manifest = local.manifest()
    assert manifest.url == f"{server.url}/cartpole/rnd.zip"
    assert (manifest.size, manifest.etag, manifest.etag_verified) == (SIZE, ETAG, True)
    assert manifest.sha256 == hashlib.sha256(archive_bytes()).hexdigest()
    assert manifest.date.startswith("20") and manifest.date.endswith("+00:00")
    assert {m.name: m.size for m in manifest.members} == {n: len(c) for n, c in files().items()}
    assert manifest.episodes == 2
    assert manifest.unpacked_bytes == sum(map(len, files().values()))


def test_a_finished_data_set_is_not_fetched_again(config, local, server):
    fetch(config)
    server.always = Answer(status=404)
    assert fetch(config) == [] and len(server.requests) == 1
    # Videos are nobody's data.
    shutil.rmtree(local.folder / "video")
    assert fetch(config) == []
    victim = next(local.folder.glob("buffer/*.npz"))
    victim.write_bytes(b"")
    with pytest.raises(AgenticError, match=rf"1 of 2 episodes .*{victim.name}.*download again"):
        fetch(config)
    local.manifest_file.write_text('{"size": 3}')
    with pytest.raises(AgenticError, match="damaged"):
        fetch(config)


@pytest.mark.parametrize("before", ["fresh", "older"])
def test_killed_before_every_operation_it_ends_with_the_same_bytes(before, tmp_path):
    with serving(archive_bytes(), ETAG) as server:
        search = f"{PACKAGE.parent}{os.pathsep}{Path(__file__).parents[1]}"
        script = Path(__file__).parents[1] / "support" / "kill_everywhere.py"
        done = subprocess.run(
            [sys.executable, str(script), server.url, str(tmp_path), before],
            capture_output=True, text=True, env=os.environ | {"PYTHONPATH": search},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    records = json.loads(done.stdout)
    whole = hashlib.sha256()
    for name, content in sorted(files().items()):
        whole.update(f"{name} {len(content)}\n".encode() + content)
    assert len(records) > 40  # transfer, verification and unpacking have many operations
    for number, record in enumerate(records, start=1):
        expected = {"again": 0, "beside": ["rnd"], "digest": whole.hexdigest(), "manifest": True}
        assert record == expected, f"killed before operation {number}"


def test_closed_at_every_block_it_asks_for_no_byte_twice(config, local, server):
    for _ in range(100):
        calls = download(DATA_SET, config)
        before = local.partial.size()
        for progress in calls:
            if progress.step == "downloading" and progress.done > before:
                break
        else:
            break
        calls.close()
    assert tree(local.folder) == files()
    asked = [int(part[6:-1]) for _, part in server.requests if part]
    assert asked == sorted(set(asked)) and len(asked) > 5


# As an encrypted object has them: they look like digests and are none.
@pytest.mark.parametrize("etag", ['"' + "0" * 32 + '"', '"' + "0" * 64 + '"'])
def test_an_etag_that_differs_is_told_and_the_crcs_decide(etag, config, local, server):
    server.etag = etag
    [told] = [progress for progress in fetch(config) if progress.note]
    assert told.step == "verifying" and f"ETag {etag[1:-1]} is not the " in told.note
    assert tree(local.folder) == files() and beside(local) == ["rnd"]
    assert local.manifest().etag_verified is False and local.manifest().etag == etag


@pytest.mark.parametrize("etag", [None, 'W/"x"', '"62a8f3d1-9a1b"', '"' + "0" * 32 + '-1"'])
def test_etags_that_say_nothing_are_not_called_verified(etag, config, local, server):
    server.etag = etag
    fetch(config)
    assert local.manifest().etag_verified is False and local.manifest().etag == etag
    assert tree(local.folder) == files()


def test_an_etag_may_be_a_sha256(config, local, server):
    server.etag = f'"{hashlib.sha256(archive_bytes()).hexdigest()}"'
    fetch(config)
    assert local.manifest().etag_verified is True


def test_a_length_that_is_too_small_is_found(config, local, server):
    server.answers.append(Answer(headers={"Content-Length": str(SIZE - 100), "ETag": None}))
    with pytest.raises(AgenticError, match=r"is damaged .*was deleted; run the same"):
        fetch(config)
    assert beside(local) == []
    fetch(config)
    assert tree(local.folder) == files()


@pytest.mark.parametrize("etag", ["right", "wrong", "none"])
def test_a_corrupt_archive_is_found(etag, config, local, server):
    corrupt = bytearray(archive_bytes())
    corrupt[len(corrupt) // 2] ^= 0xFF
    server.content = bytes(corrupt)
    server.etag = {"right": md5_etag(server.content), "wrong": ETAG, "none": None}[etag]
    words = "its own copy is damaged" if etag == "right" else "run the same command again"
    with pytest.raises(AgenticError, match=rf"CRC.*was deleted.*{words}"):
        fetch(config)
    assert beside(local) == []
    server.content, server.etag = archive_bytes(), ETAG
    fetch(config)
    assert tree(local.folder) == files()


def test_a_hostile_archive_is_kept_to_look_at_and_not_fetched_again(config, local, server):
    server.content = packed({**files(), "buffer/a\\b": b"x"})
    server.etag = None
    for _ in range(2):
        with pytest.raises(AgenticError, match="backslash"):
            fetch(config)
    assert len(server.requests) == 1
    assert beside(local) == ["rnd.zip", "rnd.zip.partial.json"]


def with_free(config: DownloadConfig, free: int) -> DownloadConfig:
    """Return the configuration on a disk with so many bytes free."""
    return replace(config, free=lambda path: free)


def test_too_small_a_disk_is_refused_before_the_first_byte(config, local):
    needed = SIZE + int(SIZE * 1.1)
    with pytest.raises(AgenticError, match=r"has \d.* free, but cartpole/rnd needs .* more"):
        fetch(with_free(config, needed - 1))
    assert beside(local) == []
    fetch(with_free(config, needed))
    assert local.manifest()


def test_too_small_a_disk_for_unpacking_keeps_the_archive(config, local, server):
    # Small files fill more blocks than bytes: only the table of contents tells.
    server.content = packed({f"buffer/episode_{i}_1.npz": b"x" for i in range(2000)})
    server.etag = None
    with pytest.raises(AgenticError, match=r"8\.2 MB to unpack it"):
        fetch(with_free(config, 2 * len(server.content) + 100_000))
    assert beside(local) == ["rnd.zip", "rnd.zip.partial.json"]
    fetch(config)
    assert local.manifest().episodes == 2000 and len(server.requests) == 1


def test_a_length_that_is_not_told_is_estimated(config, server):
    server.always = Answer(chunked=True)
    with pytest.raises(AgenticError, match=r"needs 1\.34 GB more"):
        fetch(with_free(config, 2 * DATA_SET.domain.raw_bytes))


def test_what_is_there_already_is_never_touched(config, local, server):
    local.folder.mkdir(parents=True)
    (local.folder / "mine.npz").write_bytes(b"mine")
    with pytest.raises(AgenticError, match=r"there already.*agentic data info"):
        fetch(config)
    shutil.rmtree(local.folder)
    local.archive.write_bytes(b"my zip")
    with pytest.raises(AgenticError, match=r"there already.*unpack it yourself"):
        fetch(config)
    assert local.archive.read_bytes() == b"my zip" and server.requests == []
    local.archive.unlink()
    fetch(config)
    local.archive.write_bytes(b"my zip")
    assert fetch(config) == []
    assert local.archive.read_bytes() == b"my zip"


def test_verify_knows_the_files_that_were_downloaded(config, local):
    fetch(config)
    assert verify(local.folder).problems == ()
    first, second = sorted((local.folder / "buffer").glob("*.npz"))[:2]
    shutil.copy(first, second)  # a good episode, but another one
    [problem] = verify(local.folder).problems
    assert f"{second} is not the file that was downloaded" in problem
    second.unlink()
    [problem] = verify(local.folder).problems
    assert f"{second} is missing" in problem


def test_only_one_process_downloads_a_data_set(config, local):
    with locked(local.lock, ""):
        with pytest.raises(AgenticError, match="another process is at work"):
            fetch(config)
        list(download(find_data_set("cartpole", "aps"), config))
    fetch(config)
    assert beside(local) == ["aps", "rnd"]


def test_a_root_that_is_a_file(config, local, server):
    config.root.write_text("")
    with pytest.raises(AgenticError, match="is a file; give a folder"):
        fetch(config)


def test_the_command_downloads_and_names_the_next_one(server, tmp_path, capsys):
    arguments = ["cartpole", "rnd", "--root", tmp_path / "my data", "--mirror", server.url]
    server.answers.append(Answer(status=503))
    assert run("data", "download", *arguments) == 0
    words = capsys.readouterr().out
    assert "the server answered 503" in words and "ETag and the CRC of every file" in words
    following = shlex.split(words.splitlines()[-1].removeprefix("next: agentic "))
    assert following[:2] == ["data", "convert"] and following[3] == "cartpole-rnd.h5"
    following[3] = tmp_path / following[3]
    assert run(*following) == 0
    capsys.readouterr()
    assert run("data", "download", *arguments) == 0
    assert "is complete already: 2 episodes" in capsys.readouterr().out.replace("\n", " ")
    assert len(server.requests) == 2


def test_an_interrupted_command_says_how_to_go_on(server, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    server.answers.append(Answer(sent=50_000, stalls=True))
    command = ["data", "download", "cartpole", "rnd", "--mirror", server.url]
    partial = LocalCopy(Path("data/exorl"), DATA_SET).partial
    environment = os.environ | {"PYTHONPATH": str(PACKAGE.parent)}
    with subprocess.Popen(
        [sys.executable, "-m", "agentic", *command],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
    ) as process:  # fmt: skip
        while partial.size() < 50_000 and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        words = process.communicate()[1]
    assert process.returncode == 130 and "Traceback" not in words
    assert shlex.join(["agentic", *command]) in words
    assert run(*command) == 0
    assert [part for _, part in server.requests] == [None, "bytes=50000-"]
    assert tree(tmp_path / "data/exorl/cartpole/rnd") == files()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["wlker", "rnd"], "did you mean 'walker'"),
        (["walker", "rnt"], "did you mean 'rnd'"),
        (["walker", "rnd", "--mirror", "dl.x.com"], "is not a web address"),
    ],
)
def test_mistakes_are_one_sentence(arguments, words, tmp_path, capsys):
    assert run("data", "download", *arguments, "--root", tmp_path) == 1
    error = capsys.readouterr().err
    assert words in error and "Traceback" not in error and error.count("\n") == 1


def test_the_list_tells_what_is_on_disk(config, local, server, capsys):
    def status(name: str) -> dict:
        assert run("data", "list", "--root", config.root, "--json") == 0
        records = json.loads(capsys.readouterr().out)
        assert len(records) == 54
        return next(record for record in records if record["data_set"] == name)

    assert status("walker/rnd")["archive_bytes"] == 2_585_461_986
    assert status("cartpole/rnd")["on_disk"]["kind"] == "absent"
    calls = download(DATA_SET, config)
    while local.partial.size() < SIZE // 2:
        next(calls)
    calls.close()
    disk = status("cartpole/rnd")["on_disk"]
    assert disk["kind"] == "partial" and disk["total_bytes"] == SIZE
    assert SIZE // 2 <= disk["bytes"] < SIZE
    for progress in download(DATA_SET, config):
        if progress.step == "unpacking":
            break
    assert status("cartpole/rnd")["on_disk"]["kind"] == "archive"
    fetch(config)
    record = status("cartpole/rnd")
    assert record["on_disk"] == {
        "kind": "complete", "episodes": 2, "bytes": sum(map(len, files().values())),
        "total_bytes": None,
    }  # fmt: skip
    assert record["folder"] == str(local.folder) and "cartpole_swingup" in record["tasks"]
    shutil.copytree(local.folder / "buffer", local.folder.parent / "aps")
    assert status("cartpole/aps")["on_disk"]["kind"] == "foreign"
    assert run("data", "list", "--root", config.root) == 0
    words = capsys.readouterr().out
    local.manifest_file.write_text("{")
    assert status("cartpole/rnd")["on_disk"]["kind"] == "damaged"
    assert "2 episodes" in words and "unverified" in words and "1810.12894" in words
