"""Unpacking: hostile and damaged archives leave nothing behind, good ones lose nothing."""

import io
import resource
import shutil
import stat
import warnings
import zipfile
from pathlib import Path

import pytest
from support.exorl_archive import WHEN, archive_bytes, files, packed, tree

from agentic import AgenticError
from agentic.download.unpack import Damaged, Limits, read_members, unpack

EPISODE = next(iter(files()))
LIMITS = Limits()


def members(*added: tuple[str | zipfile.ZipInfo, bytes]) -> bytes:
    """Return a zip with one episode and these members, named as they are."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive, warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Duplicate name")
        archive.writestr(zipfile.ZipInfo(EPISODE, WHEN), files()[EPISODE])
        for name, data in added:
            info = name
            if isinstance(name, str):
                info = zipfile.ZipInfo("x", WHEN)
                info.filename = name  # the constructor would tidy it
            archive.writestr(info, data, zipfile.ZIP_DEFLATED)
    return stream.getvalue()


def special(name: str, kind: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, WHEN)
    info.create_system = 3
    info.external_attr = (kind | 0o777) << 16
    return info


def overlapping() -> bytes:
    """Return a zip whose table of contents names the same bytes fifty times."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(EPISODE, files()[EPISODE])
        first = archive.filelist[0]
        for index in range(1, 50):
            copy = zipfile.ZipInfo(f"buffer/episode_{index:06d}_1000.npz", WHEN)
            copy.header_offset, copy.CRC = first.header_offset, first.CRC
            copy.file_size, copy.compress_size = first.file_size, first.compress_size
            archive.filelist.append(copy)
    return stream.getvalue()


def bzipped() -> bytes:
    """Return a zip with an episode packed in another way."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr(EPISODE, files()[EPISODE])
    return stream.getvalue()


def encrypted() -> bytes:
    """Return a zip whose episode says that it is encrypted."""
    content = bytearray(members())
    content[6] |= 1  # in front of the member
    content[content.rindex(b"PK\x01\x02") + 8] |= 1  # in the table of contents
    return bytes(content)


HOSTILE = {
    "absolute": (members(("/tmp/evil", b"x")), "absolute path"),
    "drive": (members(("C:/evil", b"x")), "absolute path"),
    "parent": (members(("../evil", b"x")), r"'\.\.' part"),
    "parent inside": (members(("buffer/../../evil", b"x")), r"'\.\.' part"),
    "parent as a folder": (members(("buffer/../", b"")), r"'\.\.' part"),
    "here": (members(("./evil", b"x")), "part in its path"),
    "empty part": (members(("buffer//evil", b"x")), "part in its path"),
    "backslash": (members(("..\\evil", b"x")), "backslash"),
    "control character": (members(("buffer/a\nb", b"x")), "control character"),
    "zero": (members(("buffer/evil\0.npz", b"x")), "control character"),
    "long": (members(("buffer/" + "x" * 256, b"x")), "too long"),
    "deep": (members(("buffer/" * 9 + "x", b"x")), "too long"),
    "link": (members((special("buffer/evil", stat.S_IFLNK), b"/etc/passwd")), "link"),
    "device": (members((special("buffer/evil", stat.S_IFCHR), b"")), "device"),
    "pipe": (members((special("buffer/evil", stat.S_IFIFO), b"")), "device"),
    "folder with content": (members(("buffer/evil/", b"x")), "folder and a"),
    "folder as a file": (members((special("buffer/evil", stat.S_IFDIR), b"x")), "folder and a"),
    "bomb": (members(("buffer/bomb.npz", bytes(30 * 2**20))), "bomb"),
    "packed by bzip2": (bzipped(), "packed by method 12"),
    "many small bombs": (
        members(*((f"video/{i}", bytes(2**20)) for i in range(12))), "would unpack to .*bomb",
    ),
    "overlapping": (overlapping(), "overlap"),
    "same name": (members((EPISODE, b"x")), "two members"),
    "same name in capitals": (members((EPISODE.upper(), b"x")), "two members"),
    "in a file": (members((f"{EPISODE}/evil", b"x")), "in a member that is a file"),
    "our manifest": (members(("Manifest.json", b"{}")), "kept for"),
    "no episode": (packed({"video/0.mp4": b"x"}), "no episode"),
    "encrypted": (encrypted(), "cannot be unpacked .*encrypted"),
}  # fmt: skip


@pytest.fixture
def unpacked(tmp_path: Path):
    """Return a function that unpacks these bytes and returns the folder."""

    def run(content: bytes, limits: Limits = LIMITS) -> Path:
        path, folder = tmp_path / "rnd.zip", tmp_path / "inner" / "rnd"
        path.write_bytes(content)
        for _ in unpack(path, folder, limits):
            pass
        return folder

    return run


@pytest.mark.parametrize(("content", "words"), HOSTILE.values(), ids=HOSTILE)
def test_hostile_archives_are_refused(content, words, unpacked, tmp_path):
    with pytest.raises(AgenticError, match=words) as refusal:
        unpacked(content)
    assert "--mirror" in str(refusal.value)
    # Nothing was written; what is encrypted is noticed when it is opened.
    written = tree(tmp_path)
    assert written.pop("rnd.zip") == content
    assert not any(written.values())
    assert not Path("/tmp/evil").exists()


def test_good_archives_lose_nothing(unpacked, tmp_path):
    folder = unpacked(archive_bytes())
    assert tree(folder) == files()
    listed = {member.name: member.size for member in read_members(tmp_path / "rnd.zip", LIMITS)}
    assert listed == {name: len(content) for name, content in files().items()}


def test_limits_are_limits(unpacked, tmp_path):
    count = len(files()) + 1  # with the folder
    with pytest.raises(AgenticError, match=f"{count} members, more than {count - 1}"):
        unpacked(archive_bytes(), Limits(members=count - 1))
    largest = max(map(len, files().values()))
    with pytest.raises(AgenticError, match="bomb"):
        unpacked(archive_bytes(), Limits(member_bytes=largest - 1))
    assert unpacked(archive_bytes(), Limits(members=count, member_bytes=largest)).exists()


@pytest.mark.parametrize("lie", [-1, 1, 1000])
def test_a_size_that_lies_is_found_while_unpacking(lie, unpacked):
    content = bytearray(members())
    where = content.rindex(b"PK\x01\x02") + 24  # the size in the table of contents
    size = int.from_bytes(content[where : where + 4], "little")
    content[where : where + 4] = (size + lie).to_bytes(4, "little")
    with pytest.raises(Damaged):
        unpacked(bytes(content))


def test_a_changed_byte_is_found_or_harmless(tmp_path):
    good, path = archive_bytes(), tmp_path / "rnd.zip"
    contents_at = good.index(b"PK\x01\x02")
    places = [*range(0, contents_at, 2999), *range(contents_at, len(good), 3)]
    found = 0
    for place in places:
        path.write_bytes(good[:place] + bytes([good[place] ^ 0x55]) + good[place + 1 :])
        folder = tmp_path / str(place)
        try:
            for _ in unpack(path, folder, LIMITS):
                pass
        except (Damaged, AgenticError):
            found += 1
        else:
            # Dates, attributes and the like; whatever became of the name of a member without bytes.
            kept = {name: content for name, content in tree(folder).items() if content}
            assert kept == {name: content for name, content in files().items() if content}, place
        shutil.rmtree(folder, ignore_errors=True)
    assert found > len(places) // 2


def test_the_members_of_large_archives_are_counted_too(tmp_path):
    # More members than 16 bits count: the number stands in another record.
    content = {EPISODE: b"x"} | {f"video/{i}": b"" for i in range(0xFFFF)}
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, data in content.items():
            archive.writestr(zipfile.ZipInfo(name, WHEN), data)
    (tmp_path / "rnd.zip").write_bytes(stream.getvalue())
    assert len(read_members(tmp_path / "rnd.zip", LIMITS)) == 0xFFFF + 1
    damaged = bytearray(stream.getvalue())
    damaged[damaged.rindex(b"PK\6\6") + 32] += 1
    (tmp_path / "rnd.zip").write_bytes(damaged)
    with pytest.raises(Damaged, match="65536 of 65537 members"):
        read_members(tmp_path / "rnd.zip", LIMITS)


@pytest.mark.parametrize("kept", [0, 1, 100, 20_000, -1, -200])
def test_a_cut_archive_is_found(kept, unpacked):
    with pytest.raises(Damaged):
        unpacked(archive_bytes()[:kept])


def test_a_page_is_no_archive(unpacked):
    with pytest.raises(Damaged, match="not a zip"):
        unpacked(b"<html>please log in</html>" * 100)


def test_a_full_disk_is_said(unpacked):
    """A limit on the size of files stands in for a full disk: writes fail in the same way."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    content = archive_bytes()
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(content), before[1]))
        limited = packed({EPISODE: b"x" * 2 * len(content)})
        with pytest.raises(AgenticError, match=r"could not be written .*archive is kept.*same"):
            unpacked(limited)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
