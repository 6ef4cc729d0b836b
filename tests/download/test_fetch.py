"""The transfer: however badly a server behaves, the same bytes arrive, or a sentence says why."""

import hashlib
import resource
from pathlib import Path

import numpy as np
import pytest
from support.file_server import Answer, serving

from agentic import AgenticError
from agentic.download.fetch import RETRIES, FetchConfig, fetch
from agentic.download.local_copy import PartialFile
from agentic.download.manifest import Source

CONTENT = np.random.default_rng(1).bytes(100_000)
OTHER = np.random.default_rng(2).bytes(90_000)
ETAG = f'"{hashlib.md5(CONTENT).hexdigest()}"'
CONFIG = FetchConfig(RETRIES.new(total=3), timeout=(20.0, 20.0), block=7_000)
ONCE = FetchConfig(RETRIES.new(total=0))
# Its own key is in it, and it is for 127.0.0.1 alone.
CERTIFICATE = Path(__file__).parents[1] / "support" / "localhost.pem"


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def server():
    with serving(CONTENT, ETAG) as server:
        yield server


@pytest.fixture
def partial(tmp_path: Path) -> PartialFile:
    return PartialFile(tmp_path / "rnd.zip.partial")


def enough_room(size, here):
    return 10**9 if size is None else size


def bring(server, partial, waits=None, config=CONFIG, room=enough_room) -> list:
    """Fetch a file; return what was yielded."""
    sleep = [].append if waits is None else waits.append
    return list(fetch(f"{server.url}/file", partial, room, config, sleep))


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
def test_the_same_bytes_arrive(answers, server, partial):
    server.answers.extend(answers)
    received = bring(server, partial)
    assert partial.path.read_bytes() == CONTENT
    assert received[-1].done == 100_000
    assert partial.source().size == 100_000


@pytest.mark.parametrize("answers", BAD_DAYS.values(), ids=BAD_DAYS)
def test_the_same_bytes_arrive_in_calls_that_end_at_every_point(answers, server, partial):
    """A call that is closed after each single block, again and again."""
    server.answers.extend(answers)
    for _ in range(60):
        calls = fetch(f"{server.url}/file", partial, enough_room, CONFIG, lambda _: None)
        before = partial.size()
        ended = True
        for received in calls:
            if received.done > before:
                ended = False
                break
        calls.close()
        if ended:
            break
    assert partial.path.read_bytes() == CONTENT


def test_what_has_arrived_is_not_asked_for_again(server, partial):
    server.answers.extend([Answer(sent=30_000), Answer(sent=25_000)])
    bring(server, partial)
    assert asked(server) == [0, 30_000, 55_000]
    bring(server, partial)
    assert len(server.requests) == 3


def test_a_part_need_not_repeat_the_etag(server, partial):
    server.answers.extend([Answer(sent=30_000), Answer(sent=25_000, headers={"ETag": None})])
    server.always = Answer(headers={"ETag": None})
    bring(server, partial)
    assert asked(server) == [0, 30_000, 55_000]
    assert partial.path.read_bytes() == CONTENT


def test_the_end_of_a_file_of_unknown_size_is_recognised(server, partial):
    partial.path.write_bytes(CONTENT)
    partial.write_source(Source(f"{server.url}/file", None, ETAG))
    bring(server, partial)
    assert asked(server) == [100_000]
    assert partial.source() == Source(f"{server.url}/file", 100_000, ETAG)


def test_another_mirror_goes_on_with_the_same_file(server, partial):
    server.answers.append(Answer(sent=30_000))
    with pytest.raises(AgenticError, match="30 kB are kept"):
        bring(server, partial, config=ONCE)
    with serving(CONTENT, ETAG) as mirror:
        bring(mirror, partial)
        assert asked(mirror) == [30_000]
    with serving(OTHER, '"other"') as mirror:
        partial.path.write_bytes(CONTENT[:50_000])
        bring(mirror, partial)
    assert partial.path.read_bytes() == OTHER


def test_without_etags_another_mirror_begins_anew(server, partial):
    server.etag = None
    server.answers.append(Answer(sent=30_000))
    with pytest.raises(AgenticError):
        bring(server, partial, config=ONCE)
    with serving(CONTENT[::-1], None) as mirror:
        bring(mirror, partial)
    assert partial.path.read_bytes() == CONTENT[::-1]


def test_a_beginning_of_unknown_origin_is_not_trusted(server, partial):
    partial.path.write_bytes(b"x" * 50_000)
    bring(server, partial)
    assert partial.path.read_bytes() == CONTENT
    partial.source_file.write_text("{")
    bring(server, partial)
    partial.path.write_bytes(CONTENT + b"x")
    bring(server, partial)
    assert partial.path.read_bytes() == CONTENT and asked(server) == [0, 0, 0]


def test_waits_double_and_end_where_nothing_comes(server, partial):
    server.always, waits = Answer(status=502), []
    config = FetchConfig(RETRIES.new(total=5, backoff_factor=2.0, backoff_max=9.0))
    with pytest.raises(AgenticError, match=r"6 tries .*502 Bad Gateway.*run the same command"):
        bring(server, partial, waits, config)
    # The second try comes at once.
    assert waits == [4.0, 8.0, 9.0, 9.0] and len(server.requests) == 6


def test_every_new_byte_gives_new_patience(server, partial):
    # Far more drops than tries, each after some progress.
    server.always, waits = Answer(sent=5_000), []
    received = bring(server, partial, waits)
    assert partial.path.read_bytes() == CONTENT
    assert waits == []
    notes = [event.note for event in received if event.note]
    assert len(notes) == 19 and "ended too early" in notes[0]


def test_patience_ends_where_each_try_only_repeats(server, partial):
    server.always = Answer(sent=50_000, parts=False)
    with pytest.raises(AgenticError, match="4 tries"):
        bring(server, partial, config=FetchConfig(RETRIES.new(total=3)))
    assert len(server.requests) == 4
    assert partial.path.read_bytes() == CONTENT[:50_000]


def test_the_server_may_ask_for_patience(server, partial):
    busy = Answer(status=503, headers={"Retry-After": "17"})
    server.answers.extend([busy, Answer(status=503, headers={"Retry-After": "tomorrow"})])
    waits = []
    bring(server, partial, waits)
    assert waits == [17.0, 2.0]


REFUSALS = {
    "not there": (Answer(status=404), "not there .*404.*--mirror"),
    "forbidden": (Answer(status=403), "not there .*403"),
    "login": (Answer(status=401), "asks for a login"),
    "teapot": (Answer(status=418), "cannot be fetched .*418"),
    "page": (Answer(headers={"Content-Type": "text/html"}), "answers with a web page.*login"),
    "redirect to a file": (
        Answer(status=302, headers={"Location": "file:///etc/passwd"}),
        "cannot be fetched .*file:///etc/passwd",
    ),
    "redirect to ftp": (
        Answer(status=301, headers={"Location": "ftp://127.0.0.1/x"}),
        "cannot be fetched .*ftp:",
    ),
    "redirect in circles": (
        Answer(status=302, headers={"Location": "/exorl/file"}),
        "cannot be fetched .*redirect",
    ),
    "another size": (Answer(headers={"Content-Length": "120000"}), "keeps changing .*120000.*1000"),
    "another size without parts": (
        Answer(headers={"Content-Length": "120000"}, parts=False),
        "tries .*ended too early",
    ),
}


@pytest.mark.parametrize(("answer", "words"), REFUSALS.values(), ids=REFUSALS)
def test_refusals_say_what_to_do(answer, words, server, partial):
    server.always = answer
    with pytest.raises(AgenticError, match=words):
        bring(server, partial)


@pytest.mark.parametrize("name", ["not there", "page", "redirect to ftp"])
def test_a_refusal_costs_nothing_that_has_arrived(name, server, partial):
    server.answers.extend([Answer(sent=30_000), REFUSALS[name][0]])
    with pytest.raises(AgenticError):
        bring(server, partial)
    assert partial.size() == 30_000
    bring(server, partial)
    assert asked(server)[-1] == 30_000


def test_a_file_that_never_ends_is_refused(server, partial):
    server.always = Answer(chunked=True)
    with pytest.raises(AgenticError, match="does not end after 30 kB"):
        bring(server, partial, room=lambda size, here: 30_000)


def test_room_is_asked_for_before_the_first_byte(server, partial):
    def room(size, here):
        raise AgenticError(f"{size} {here}")

    with pytest.raises(AgenticError, match="100000 0"):
        bring(server, partial, room=room)
    assert not partial.path.exists() and not partial.source_file.exists()
    server.answers.append(Answer(sent=30_000))
    with pytest.raises(AgenticError):
        bring(server, partial, config=ONCE)
    with pytest.raises(AgenticError, match="100000 30000"):
        bring(server, partial, room=room)
    assert partial.size() == 30_000


def test_a_full_disk_keeps_what_has_arrived(server, partial):
    """A limit on the size of files stands in for a full disk: writes fail in the same way."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, before[1]))
        with pytest.raises(AgenticError, match=r"could not be written .*is kept.*same command"):
            bring(server, partial)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    kept = partial.size()
    assert 40_000 < kept <= 50_000
    bring(server, partial)
    assert partial.path.read_bytes() == CONTENT and asked(server) == [0, kept]


def test_an_empty_file_arrives_too(partial):
    with serving(b"", ETAG) as server:
        bring(server, partial)
        partial.path.unlink()
        bring(server, partial)
    assert partial.path.read_bytes() == b""


def test_a_server_that_refuses_is_not_asked_for_minutes(partial):
    with serving(b"") as server:
        pass
    waits = []
    with pytest.raises(AgenticError, match=r"4 tries \(127\.0\.0\.1 cannot .*Connection refused"):
        bring(server, partial, waits, FetchConfig())
    assert len(waits) == 2 and sum(waits) < 10


def test_a_server_that_goes_away_meanwhile_is_waited_for(server, partial):
    server.answers.append(Answer(sent=30_000))
    waits = []

    def go_away(seconds: float) -> None:
        waits.append(seconds)
        server.socket.close()

    received = fetch(f"{server.url}/file", partial, enough_room, FetchConfig(), go_away)
    server.always = Answer(status=503)
    with pytest.raises(AgenticError, match=r"10 tries .*refused.*30 kB are kept"):
        list(received)
    assert sum(waits) > 120


def test_silence_ends_a_try(server, partial):
    server.answers.append(Answer(sent=30_000, stalls=True))
    received = bring(server, partial, config=FetchConfig(timeout=(5.0, 0.2)))
    assert any("nothing came for too long" in event.note for event in received)
    assert asked(server) == [0, 30_000] and partial.path.read_bytes() == CONTENT


def test_what_arrives_slowly_is_kept_byte_by_byte(server, partial):
    server.answers.append(Answer(sent=5, stalls=True))
    for received in fetch(f"{server.url}/file", partial, enough_room, CONFIG):
        if received.done == 5:  # of a block of 7,000
            break
    assert partial.size() == 5


def test_certificates(partial, monkeypatch):
    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    with serving(CONTENT, ETAG, CERTIFICATE) as server:
        waits = []
        with pytest.raises(AgenticError, match=r"shows a certificate.*self-signed.*SSL_CERT_FILE"):
            bring(server, partial, waits)
        assert waits == [] and not partial.path.exists()
        for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"):
            with monkeypatch.context() as environment:
                environment.setenv(name, str(CERTIFICATE))
                partial.remove()
                bring(server, partial)
            assert partial.path.read_bytes() == CONTENT


def test_https_is_not_left_for_http(server, partial, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    with serving(CONTENT, ETAG, CERTIFICATE) as secure:
        secure.always = Answer(status=302, headers={"Location": f"{server.url}/file"})
        with pytest.raises(AgenticError, match="redirects from https to http:"):
            bring(secure, partial)
        assert not partial.path.exists()
        # The other way round is fine.
        server.always = Answer(status=302, headers={"Location": f"{secure.url}/file"})
        secure.always = Answer()
        bring(server, partial)
    assert partial.path.read_bytes() == CONTENT


def test_a_proxy_is_used_unless_the_host_is_excepted(server, partial, monkeypatch):
    monkeypatch.setenv("http_proxy", server.url)
    url = "http://data.example/file"
    list(fetch(url, partial, enough_room, CONFIG))
    assert server.requests == [(url, None)] and partial.path.read_bytes() == CONTENT
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    partial.remove()
    bring(server, partial)
    assert partial.path.read_bytes() == CONTENT


def test_only_etags_that_look_like_digests_are_compared():
    def digest(etag: str | None) -> tuple[str, str] | None:
        return Source("a", 5, etag).announced_digest()

    assert digest(f'"{"0a" * 16}"') == ("md5", "0a" * 16)
    assert digest(f'"{"0A" * 32}"') == ("sha256", "0a" * 32)
    for etag in (None, "", f'W/"{"0" * 32}"', '"62a8f3d1-9a1b2c3d"', f'"{"0" * 32}-3"'):
        assert digest(etag) is None


def test_one_file_is_one_size_with_one_etag_or_address():
    one = Source("a", 5, '"e"')
    assert one.same_file(Source("b", 5, '"e"'))
    assert one.same_file(Source("a", None, '"e"')) and Source("a", None, '"e"').same_file(one)
    assert not one.same_file(Source("a", 6, '"e"')) and not one.same_file(Source("a", 5, '"f"'))
    assert Source("a", 5, None).same_file(Source("a", 5, None))
    assert not Source("a", 5, None).same_file(Source("b", 5, None))
