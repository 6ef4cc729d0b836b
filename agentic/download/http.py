"""One HTTP request for a file from some byte on, and what its answer or failure means.

`requests` sends it, through the proxies that http_proxy, https_proxy and no_proxy name.
"""

import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from http.client import IncompleteRead
from itertools import pairwise
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import ConnectTimeoutError, HTTPError, InvalidHeader
from urllib3.util import Retry

from agentic.download.manifest import Source
from agentic.errors import AgenticError

_RANGE = re.compile(r"bytes (?:(?P<first>\d+)-\d+|\*)/(?P<size>\d+|\*)")


class TryAgain(Exception):
    """A failure that may pass.

    Attributes:
        wait: seconds that the server asks for, or 0.
        unreached: why no server was reached, or None where one was.
    """

    def __init__(self, reason: str, wait: float = 0.0, unreached: Exception | None = None):
        super().__init__(reason)
        self.wait, self.unreached = wait, unreached


class FileChanged(Exception):
    """The server has another file than the one that the beginning came from."""


@dataclass(frozen=True)
class Answer:
    """An open answer: the bytes of `source` from `first` on."""

    source: Source
    first: int
    response: requests.Response

    def read(self, most: int) -> bytes:
        """Return the next bytes as they arrive, none at the end; raise TryAgain if it breaks."""
        if self.response.status_code == 416:  # its body is not the file's
            return b""
        try:
            # `iter_content` would wait for whole blocks, and lose the last one where it breaks.
            return self.response.raw.read1(most, decode_content=False)
        except (HTTPError, OSError) as error:
            raise TryAgain(f"the connection broke ({_reason(error)})") from error


class _SystemCertificates(HTTPAdapter):
    """Trusts what the system and SSL_CERT_FILE trust, besides what `requests` brings along."""

    def init_poolmanager(self, *arguments, **options):
        context = ssl.create_default_context()
        super().init_poolmanager(*arguments, ssl_context=context, **options)

    def proxy_manager_for(self, proxy, **options):
        context = ssl.create_default_context()
        return super().proxy_manager_for(proxy, ssl_context=context, **options)


def open_session() -> requests.Session:
    """Return what `ask` sends its requests with."""
    session = requests.Session()
    session.headers.update({"User-Agent": "agentic", "Accept-Encoding": "identity"})
    session.mount("https://", _SystemCertificates())
    return session


@contextmanager
def ask(
    session: requests.Session,
    url: str,
    known: Source | None,
    first: int,
    retries: Retry,
    timeout: tuple[float, float],
) -> Iterator[Answer]:
    """Ask for the bytes of `url` from `first` on, where `known` is the file they must belong to.

    Args:
        session: from `open_session`.
        url: http or https.
        known: None where `first` is 0.
        first: bytes that are here already.
        retries: its `status_forcelist` names the answers that another try may change.
        timeout: seconds to wait for a connection, and for the next byte.

    Returns:
        The answer, which is closed with the block. Its `first` is 0 where the server does not send
        parts of a file, or has another file now and sends that.

    Raises:
        TryAgain: the failure may pass.
        FileChanged: the server has another file now and sends none of it.
        AgenticError: another try would not help.
    """
    headers = {"Range": f"bytes={first}-"} if first else {}
    if first and known.etag is not None and not known.etag.startswith("W/"):
        headers["If-Range"] = known.etag
    try:
        response = session.get(url, headers=headers, timeout=timeout, stream=True)
    except (ValueError, requests.TooManyRedirects) as error:
        # It is not an address that can be asked, or redirects to one.
        raise AgenticError(f"{url} cannot be fetched ({error}); look at --mirror.") from error
    except requests.RequestException as error:
        raise _unreachable(urlsplit(url).hostname, error) from error
    with response:
        if response.status_code == 416 and first:
            yield _past_the_end(response, known, first)
        else:
            _check(url, response, retries)
            yield _understood(url, response, headers.get("If-Range"))


def _unreachable(host: str, error: requests.RequestException) -> Exception:
    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return AgenticError(
                f"{host} shows a certificate that is not trusted here ({cause.verify_message}); "
                "if your proxy signs its own, set SSL_CERT_FILE to its certificates."
            )
    unreached = next((each for each in causes if isinstance(each, ConnectTimeoutError)), None)
    return TryAgain(f"{host} cannot be reached ({_reason(error)})", unreached=unreached)


def _check(url: str, response: requests.Response, retries: Retry) -> None:
    """Raise TryAgain or AgenticError unless the response brings a file, or a part of one."""
    status, said = response.status_code, f"{response.status_code} {response.reason}"
    if status in retries.status_forcelist:
        try:
            wait = retries.get_retry_after(response.raw) or 0.0
        except InvalidHeader:
            wait = 0.0
        raise TryAgain(f"the server answered {said}", wait)
    if status in (403, 404, 410):
        raise AgenticError(
            f"{url} is not there ({said}); look at --mirror: it is the part before DOMAIN/ALGO.zip."
        )
    if status in (401, 407):
        raise AgenticError(f"{url} asks for a login ({said}); try another --mirror or proxy.")
    if status not in (200, 206):
        raise AgenticError(f"{url} cannot be fetched ({said}); try later, or another --mirror.")
    schemes = [urlsplit(each.url).scheme for each in (*response.history, response)]
    if ("https", "http") in pairwise(schemes):
        raise AgenticError(
            f"{url} redirects from https to {response.url}, which anyone on the way could change; "
            "try another --mirror."
        )
    if response.headers.get("Content-Type", "").split(";")[0].strip().lower() == "text/html":
        raise AgenticError(
            f"{url} answers with a web page where an archive should be; open it in a browser: "
            "a proxy may ask for a login, or --mirror is wrong."
        )


def _understood(url: str, response: requests.Response, confirmed: str | None) -> Answer:
    first, size, etag = 0, response.headers.get("Content-Length"), response.headers.get("ETag")
    if response.status_code == 206:
        match = _RANGE.fullmatch(response.headers.get("Content-Range", ""))
        if match is None or match["first"] is None:
            raise TryAgain("the server sent a part of the file without saying which")
        # A part is only sent where If-Range holds, so the ETag need not be repeated.
        first, size, etag = int(match["first"]), match["size"], etag or confirmed
    size = int(size) if size and size.isdecimal() else None
    return Answer(Source(url, size, etag), first, response)


def _past_the_end(response: requests.Response, known: Source, first: int) -> Answer:
    """Return an answer without bytes if the file ends where it was asked for."""
    match = _RANGE.fullmatch(response.headers.get("Content-Range", ""))
    size = match["size"] if match else "*"
    if known.size is not None or size != str(first):
        raise FileChanged(f"it was announced with {known.size} bytes and has {size}")
    return Answer(replace(known, size=first), first, response)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and those that it came from, outermost first: libraries wrap them."""
    while error is not None:
        yield error
        inner = (value for value in error.args if isinstance(value, BaseException))
        error = next(inner, None) or error.__cause__ or error.__context__


def _reason(error: BaseException) -> str:
    """Return why a connection failed, in the words of the system where it has some."""
    for cause in _causes(error):
        if isinstance(cause, TimeoutError):
            return "nothing came for too long"
        if isinstance(cause, IncompleteRead):
            return "it ended too early"
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
    return str(cause) or type(cause).__name__
