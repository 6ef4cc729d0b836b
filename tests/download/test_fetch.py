"""The transfer: however badly a server behaves, the same bytes arrive, or a sentence says why."""

import hashlib
import resource
import ssl
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from support.exorl_archive import multipart_etag
from support.file_server import Answer, serving

from agentic import AgenticError
from agentic.download import fetch as http
from agentic.download.catalogue import find_data_set
from agentic.download.fetch import TransferConfig, transfer
from agentic.download.manifest import PART, digest, kind_of
from agentic.download.unpack import Landing, Source

CONTENT = np.random.default_rng(1).bytes(100_000)
OTHER = np.random.default_rng(2).bytes(90_000)
ETAG = f'"{hashlib.md5(CONTENT).hexdigest()}"'
CONFIG = TransferConfig(tries=4, timeout=20.0, block=7_000)


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def server():
    with serving(CONTENT, ETAG) as server:
        yield server


@pytest.fixture
def landing(tmp_path: Path) -> Landing:
    landing = Landing(tmp_path, find_data_set("walker", "rnd"))
    landing.partial.parent.mkdir()
    return landing


def enough_room(size, here):
    return 10**9 if size is None else size


def fetch(server, landing, waits=None, config=CONFIG, room=enough_room) -> list:
    """Run one transfer; return what it yielded."""
    sleep = [].append if waits is None else waits.append
    return list(transfer(f"{server.url}/file", landing, room, config, sleep))


def asked(server) -> list[int]:
    """Return from which byte on each request asked."""
    return [int(part[6:-1]) if part else 0 for _, part in server.requests]


BAD_DAYS = {
    "a good day": [],
    "drops": [Answer(sent=30_000), Answer(sent=30_000)],
    "resets": [Answer(sent=30_000, reset=True), Answer(sent=20_000, reset=True)],
    "drops at once": [Answer(sent=0), Answer(sent=0)],
    "drops before the last byte": [Answer(sent=99_999)],
    "is busy": [Answer(status=500), Answer(sent=10_000), Answer(status=503), Answer(status=429)],
    "sends no parts": [Answer(sent=50_000, parts=False), Answer(parts=False)],
    "sends no parts once": [Answer(sent=50_000), Answer(sent=20_000, parts=False)],
    "keeps the length secret": [Answer(sent=50_000, chunked=True), Answer(chunked=True)],
    "has no ETag": [Answer(sent=50_000, headers={"ETag": None}), Answer(headers={"ETag": None})],
    "has a weak ETag": [Answer(sent=9_000, headers={"ETag": 'W/"1"'})] * 2,
    "changes the file": [Answer(sent=50_000, body=OTHER, headers={"ETag": '"old"'})],
    "changes it behind its back": [
        Answer(sent=50_000, body=OTHER, headers={"ETag": '"old"'}),
        Answer(checks=False),
    ],
    "cuts the file": [Answer(sent=95_000, body=CONTENT + OTHER), Answer(parts=False)],
    "redirects": [Answer(status=302, headers={"Location": "/elsewhere"})],
    "says nothing of the part": [Answer(sent=10_000), Answer(headers={"Content-Range": None})],
    "sends another part": [
        Answer(sent=10_000),
        Answer(
            body=CONTENT[:10_000] + CONTENT[20_000:],
            headers={"Content-Range": "bytes 20000-99999/100000"},
        ),
    ],
}


@pytest.mark.parametrize("answers", BAD_DAYS.values(), ids=BAD_DAYS)
def test_the_same_bytes_arrive(answers, server, landing):
    server.answers.extend(answers)
    received = fetch(server, landing)
    assert landing.partial.read_bytes() == CONTENT
    assert received[-1].done == 100_000
    assert landing.source().size == 100_000


@pytest.mark.parametrize("answers", BAD_DAYS.values(), ids=BAD_DAYS)
def test_the_same_bytes_arrive_in_calls_that_end_at_every_point(answers, server, landing):
    """A call that is closed after each single block, again and again."""
    server.answers.extend(answers)
    for _ in range(60):
        calls = transfer(f"{server.url}/file", landing, enough_room, CONFIG, lambda _: None)
        before = landing.received()
        ended = True
        for received in calls:
            if received.done > before:
                ended = False
                break
        calls.close()
        if ended:
            break
    assert landing.partial.read_bytes() == CONTENT


def test_what_has_arrived_is_not_asked_for_again(server, landing):
    server.answers.extend([Answer(sent=30_000), Answer(sent=25_000)])
    fetch(server, landing)
    assert asked(server) == [0, 30_000, 55_000]
    fetch(server, landing)
    assert len(server.requests) == 3


def test_a_part_need_not_repeat_the_etag(server, landing):
    server.answers.extend([Answer(sent=30_000), Answer(sent=25_000, headers={"ETag": None})])
    server.always = Answer(headers={"ETag": None})
    fetch(server, landing)
    assert asked(server) == [0, 30_000, 55_000]
    assert landing.partial.read_bytes() == CONTENT


def test_the_end_of_a_file_of_unknown_size_is_recognised(server, landing):
    landing.partial.write_bytes(CONTENT)
    landing.write_source(Source(f"{server.url}/file", None, ETAG))
    fetch(server, landing)
    assert asked(server) == [100_000]
    assert landing.source() == Source(f"{server.url}/file", 100_000, ETAG)


def test_another_mirror_goes_on_with_the_same_file(server, landing):
    server.answers.append(Answer(sent=30_000))
    with pytest.raises(AgenticError, match="30 kB are kept"):
        fetch(server, landing, config=TransferConfig(tries=1))
    with serving(CONTENT, ETAG) as mirror:
        fetch(mirror, landing)
        assert asked(mirror) == [30_000]
    with serving(OTHER, '"other"') as mirror:
        landing.partial.write_bytes(CONTENT[:50_000])
        fetch(mirror, landing)
    assert landing.partial.read_bytes() == OTHER


def test_without_etags_another_mirror_begins_anew(server, landing):
    server.etag = None
    server.answers.append(Answer(sent=30_000))
    with pytest.raises(AgenticError):
        fetch(server, landing, config=TransferConfig(tries=1))
    with serving(CONTENT[::-1], None) as mirror:
        fetch(mirror, landing)
    assert landing.partial.read_bytes() == CONTENT[::-1]


def test_a_beginning_of_unknown_origin_is_not_trusted(server, landing):
    landing.partial.write_bytes(b"x" * 50_000)
    fetch(server, landing)
    assert landing.partial.read_bytes() == CONTENT
    landing.source_file.write_text("{")
    fetch(server, landing)
    landing.partial.write_bytes(CONTENT + b"x")
    fetch(server, landing)
    assert landing.partial.read_bytes() == CONTENT and asked(server) == [0, 0, 0]


def test_waits_double_and_end_where_nothing_comes(server, landing):
    server.always, waits = Answer(status=502), []
    config = TransferConfig(tries=6, first_wait=2.0, longest_wait=9.0)
    with pytest.raises(AgenticError, match=r"6 tries .*502 Bad Gateway.*run the same command"):
        fetch(server, landing, waits, config)
    assert waits == [2.0, 4.0, 8.0, 9.0, 9.0]


def test_every_new_byte_gives_new_patience(server, landing):
    # Far more drops than tries, each after some progress.
    server.always, waits = Answer(sent=5_000), []
    received = fetch(server, landing, waits)
    assert landing.partial.read_bytes() == CONTENT
    assert waits == [1.0] * 19
    notes = [event.note for event in received if event.note]
    assert len(notes) == 19 and "ended after 5 kB of 100 kB" in notes[0]


def test_patience_ends_where_each_try_only_repeats(server, landing):
    server.always = Answer(sent=50_000, parts=False)
    with pytest.raises(AgenticError, match="5 tries"):
        fetch(server, landing, config=TransferConfig(tries=5))
    assert len(server.requests) == 5
    assert landing.partial.read_bytes() == CONTENT[:50_000]


def test_the_server_may_ask_for_patience(server, landing):
    busy = Answer(status=503, headers={"Retry-After": "17"})
    server.answers.extend([busy, Answer(status=503, headers={"Retry-After": "tomorrow"})])
    waits = []
    fetch(server, landing, waits)
    assert waits == [17.0, 2.0]


REFUSALS = {
    "not there": (Answer(status=404), "not there .*404.*--mirror"),
    "forbidden": (Answer(status=403), "not there .*403"),
    "login": (Answer(status=401), "asks for a login"),
    "teapot": (Answer(status=418), "cannot be fetched .*418"),
    "page": (Answer(headers={"Content-Type": "text/html"}), "answers with a web page.*login"),
    "redirect to a file": (
        Answer(status=302, headers={"Location": "file:///etc/passwd"}),
        "cannot be fetched .*not allowed",
    ),
    "redirect to ftp": (
        Answer(status=301, headers={"Location": "ftp://127.0.0.1/x"}),
        "redirects to ftp:.*only https",
    ),
    "redirect in circles": (
        Answer(status=302, headers={"Location": "/exorl/file"}),
        "cannot be fetched .*redirect",
    ),
    "another size": (Answer(headers={"Content-Length": "120000"}), "keeps changing .*120000.*1000"),
    "another size without parts": (
        Answer(headers={"Content-Length": "120000"}, parts=False),
        "4 tries .*ended after 100 kB of 120 kB",
    ),
}


@pytest.mark.parametrize(("answer", "words"), REFUSALS.values(), ids=REFUSALS)
def test_refusals_say_what_to_do(answer, words, server, landing):
    server.always = answer
    with pytest.raises(AgenticError, match=words):
        fetch(server, landing)


@pytest.mark.parametrize("name", ["not there", "page", "redirect to ftp"])
def test_a_refusal_costs_nothing_that_has_arrived(name, server, landing):
    server.answers.extend([Answer(sent=30_000), REFUSALS[name][0]])
    with pytest.raises(AgenticError):
        fetch(server, landing)
    assert landing.received() == 30_000
    fetch(server, landing)
    assert asked(server)[-1] == 30_000


def test_a_file_that_never_ends_is_refused(server, landing):
    server.always = Answer(chunked=True)
    with pytest.raises(AgenticError, match="does not end after 30 kB"):
        fetch(server, landing, room=lambda size, here: 30_000)


def test_room_is_asked_for_before_the_first_byte(server, landing):
    def room(size, here):
        raise AgenticError(f"{size} {here}")

    with pytest.raises(AgenticError, match="100000 0"):
        fetch(server, landing, room=room)
    assert not landing.partial.exists() and not landing.source_file.exists()
    server.answers.append(Answer(sent=30_000))
    with pytest.raises(AgenticError):
        fetch(server, landing, config=TransferConfig(tries=1))
    with pytest.raises(AgenticError, match="100000 30000"):
        fetch(server, landing, room=room)
    assert landing.received() == 30_000


def test_a_full_disk_keeps_what_has_arrived(server, landing):
    """A limit on the size of files stands in for a full disk: writes fail in the same way."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, before[1]))
        with pytest.raises(AgenticError, match=r"could not be written .*is kept.*same command"):
            fetch(server, landing)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    kept = landing.received()
    assert 40_000 < kept <= 50_000
    fetch(server, landing)
    assert landing.partial.read_bytes() == CONTENT and asked(server) == [0, kept]


def test_an_empty_file_arrives_too(landing):
    with serving(b"", ETAG) as server:
        fetch(server, landing)
        landing.partial.unlink()
        fetch(server, landing)
    assert landing.partial.read_bytes() == b""


def test_a_server_that_is_not_there(landing):
    with serving(b"") as server:
        pass
    with pytest.raises(AgenticError, match=r"127\.0\.0\.1 cannot be reached \(Connection refused"):
        fetch(server, landing)


def test_an_untrusted_certificate_is_no_reason_to_wait(landing, monkeypatch):
    def refuse(self, request):
        error = ssl.SSLCertVerificationError()
        error.verify_message = "self-signed certificate"
        raise urllib.error.URLError(error)

    monkeypatch.setattr(urllib.request.HTTPSHandler, "https_open", refuse)
    waits = []
    with pytest.raises(AgenticError, match=r"shows a certificate.*self-signed.*SSL_CERT_FILE"):
        list(transfer("https://a.b/c", landing, enough_room, CONFIG, waits.append))
    assert waits == []


def test_https_is_not_left_for_http():
    request = urllib.request.Request("https://a.b/c")
    with pytest.raises(AgenticError, match="only https"):
        http._Redirects().redirect_request(request, None, 302, "", {}, "http://a.b/c")


def test_a_proxy_is_used(server, landing, monkeypatch):
    monkeypatch.setenv("http_proxy", server.url)
    list(transfer("http://data.example/file", landing, enough_room, CONFIG))
    assert server.requests == [("http://data.example/file", None)]
    assert landing.partial.read_bytes() == CONTENT


@pytest.mark.parametrize("size", [0, 5, PART, 2 * PART + 5])
def test_digests_are_those_of_the_whole_file(size, tmp_path):
    path, content = tmp_path / "file", np.random.default_rng(size).bytes(size)
    path.write_bytes(content)
    oracles = {
        None: None,
        "md5": hashlib.md5(content).hexdigest(),
        "multipart": multipart_etag(content).strip('"'),
    }
    for kind, etag in oracles.items():
        reading, done = digest(path, kind), [0]
        with pytest.raises(StopIteration) as end:
            while True:
                done.append(next(reading))
        assert done == sorted(set(done)) and done[-1] == size
        assert end.value.value == (hashlib.sha256(content).hexdigest(), etag)


def test_only_etags_that_speak_of_the_content_are_believed():
    md5 = "0" * 32
    assert kind_of(f'"{md5}"', 1) == "md5"
    assert kind_of(f'"{md5}-2"', PART + 1) == "multipart"
    for etag in (None, "", f'W/"{md5}"', '"62a8f3d1-9a1b2c3d"', f'"{md5}-3"', f'"{md5}-0"'):
        assert kind_of(etag, PART + 1) is None


def test_one_file_is_one_size_with_one_etag_or_address():
    one = Source("a", 5, '"e"')
    assert one.same_file(Source("b", 5, '"e"'))
    assert one.same_file(Source("a", None, '"e"')) and Source("a", None, '"e"').same_file(one)
    assert not one.same_file(Source("a", 6, '"e"')) and not one.same_file(Source("a", 5, '"f"'))
    assert Source("a", 5, None).same_file(Source("a", 5, None))
    assert not Source("a", 5, None).same_file(Source("b", 5, None))
