"""One HTTP request for a file from some byte on, and what its answer or failure means.

Proxies (http_proxy, https_proxy, no_proxy) and certificates (SSL_CERT_FILE) as the standard library
reads them; redirects to http and https alone, and never from https back to http.
"""

import http.client
import io
import re
import ssl
import urllib.error
import urllib.request
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from agentic.dataset.landing import Source
from agentic.errors import AgenticError

# Answers that another try may change: a server that is busy, restarting, or behind a bad gateway.
PASSING = {408, 425, 429, 500, 502, 503, 504}
_RANGE = re.compile(r"bytes (?:(?P<first>\d+)-\d+|\*)/(?P<size>\d+|\*)")


class TryAgain(Exception):
    """A failure that may pass; `wait` is the number of seconds the server asks for."""

    def __init__(self, reason: str, wait: float = 0.0):
        super().__init__(reason)
        self.wait = wait


class FileChanged(Exception):
    """What the server has is not what the beginning came from."""


@dataclass
class Answer:
    """An open answer: the bytes of `source` from `first` on."""

    source: Source
    first: int
    body: io.BufferedIOBase

    def read(self, most: int) -> bytes:
        """Return the next bytes as they arrive, none at the end; raise TryAgain if it breaks."""
        try:
            return self.body.read1(most)
        except (http.client.HTTPException, OSError) as error:
            raise TryAgain(f"the connection broke ({_reason(error)})") from error


def ask(url: str, known: Source | None, first: int, timeout: float) -> Answer:
    """Ask for the bytes of `url` from `first` on, where `known` is the file they must belong to.

    Returns:
        The answer. Its `first` is 0 where the server does not send parts of a file, or has another
        file now and sends that.

    Raises:
        TryAgain: the failure may pass.
        FileChanged: the server has another file now and sends none of it.
        AgenticError: another try would not help.
    """
    headers = {"User-Agent": "agentic", "Accept-Encoding": "identity"}
    if first:
        headers["Range"] = f"bytes={first}-"
        if known.etag is not None and not known.etag.startswith("W/"):
            headers["If-Range"] = known.etag
    try:
        body = _opener().open(urllib.request.Request(url, headers=headers), timeout=timeout)
    except urllib.error.HTTPError as error:
        with error:
            if error.code == 416 and first:
                return _past_the_end(error, known, first)
            raise _refusal(url, error) from None
    except urllib.error.URLError as error:
        raise _unreachable(url, error.reason) from error
    except http.client.InvalidURL as error:
        raise AgenticError(f"{url} is no web address ({error}); look at --mirror.") from None
    except (http.client.HTTPException, OSError) as error:
        raise TryAgain(f"the connection broke ({_reason(error)})") from error
    try:
        return _understood(url, body, headers.get("If-Range"))
    except BaseException:
        body.close()
        raise


def _understood(url: str, body: http.client.HTTPResponse, confirmed: str | None) -> Answer:
    kind = body.headers.get_content_type()
    if kind == "text/html":
        raise AgenticError(
            f"{url} answers with a web page where an archive should be; open it in a browser: "
            "a proxy may ask for a login, or --mirror is wrong."
        )
    first, size, etag = 0, body.headers.get("Content-Length"), body.headers.get("ETag")
    if body.status == 206:
        match = _RANGE.fullmatch(body.headers.get("Content-Range", ""))
        if match is None or match["first"] is None:
            raise TryAgain("the server sent a part of the file without saying which")
        # A part is only sent where If-Range holds, so the ETag need not be repeated.
        first, size, etag = int(match["first"]), match["size"], etag or confirmed
    return Answer(Source(url, int(size) if size and size.isdecimal() else None, etag), first, body)


def _past_the_end(error: urllib.error.HTTPError, known: Source, first: int) -> Answer:
    match = _RANGE.fullmatch(error.headers.get("Content-Range", ""))
    size = match["size"] if match else "*"
    if known.size is None and size == str(first):
        return Answer(replace(known, size=first), first, io.BytesIO())
    raise FileChanged(f"it was announced with {known.size} bytes and has {size}")


def _refusal(url: str, error: urllib.error.HTTPError) -> Exception:
    said = f"{error.code} {error.reason}"
    if error.code in PASSING:
        wait = error.headers.get("Retry-After") or ""
        return TryAgain(f"the server answered {said}", float(wait) if wait.isdecimal() else 0.0)
    if error.code in (403, 404, 410):
        return AgenticError(
            f"{url} is not there ({said}); look at --mirror: it is the part before DOMAIN/ALGO.zip."
        )
    if error.code in (401, 407):
        return AgenticError(f"{url} asks for a login ({said}); try another --mirror or proxy.")
    return AgenticError(f"{url} cannot be fetched ({said}); try later, or another --mirror.")


def _unreachable(url: str, reason: object) -> Exception:
    if isinstance(reason, ssl.SSLCertVerificationError):
        return AgenticError(
            f"{urlsplit(url).hostname} shows a certificate that is not trusted here "
            f"({reason.verify_message}); if your proxy signs its own, set SSL_CERT_FILE to its "
            "certificates."
        )
    return TryAgain(f"{urlsplit(url).hostname} cannot be reached ({_reason(reason)})")


def _reason(error: object) -> str:
    if isinstance(error, TimeoutError):
        return "nothing came for too long"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


class _Redirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, request, file, code, message, headers, target):
        scheme = urlsplit(target).scheme
        if scheme != "https" and (scheme != "http" or request.full_url.startswith("https:")):
            raise AgenticError(
                f"{request.full_url} redirects to {target}; only https is followed, and http "
                "from http; try another --mirror."
            )
        return super().redirect_request(request, file, code, message, headers, target)


def _opener() -> urllib.request.OpenerDirector:
    # Built by hand: the standard one also opens file:, ftp: and data: addresses.
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler,
        urllib.request.HTTPHandler,
        urllib.request.HTTPSHandler,
        urllib.request.HTTPDefaultErrorHandler,
        urllib.request.HTTPErrorProcessor,
        _Redirects,
    ):
        opener.add_handler(handler())
    return opener
