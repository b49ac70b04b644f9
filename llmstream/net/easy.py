"""A request as a handle of libcurl's: the request itself, which proxy it goes through, and whom to trust."""

from __future__ import annotations

import os

import pycurl

from .. import __version__
from ..core.json_codec import to_json
from ..errors import UsageError
from ..providers.resolve import shown
from .transfer import HttpRequest

LOOPBACK = "localhost,127.0.0.0/8,::1"  # through no proxy
UPLOAD = 16384  # bytes of a buffer that libcurl keeps as long as the stream runs; its own default is four times that
FOREVER = 2**31 - 1  # milliseconds; 0 would be libcurl's default
CA_FILES = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Ubuntu, Arch, Alpine
    "/etc/pki/tls/certs/ca-bundle.crt",  # Fedora, RHEL
    "/etc/ssl/ca-bundle.pem",  # openSUSE
    "/etc/ssl/cert.pem",  # macOS, BSD, Alpine
)
OURS = (
    "Accept: text/event-stream, application/json",
    "Accept-Encoding: identity",  # compression holds back what streaming is for
    f"User-Agent: llmstream/{__version__}",
)


def prepare(easy: pycurl.Curl, ask: HttpRequest, connect_timeout: float | None) -> None:
    """Sets the request; a connect_timeout of None is no limit. Raises UsageError for what is no URL."""
    given = {line.partition(":")[0].lower() for line in ask.headers}
    headers = [*ask.headers, *(line for line in OURS if line.partition(":")[0].lower() not in given)]
    if ask.body is not None:
        body = to_json(ask.body).encode("utf-8", "replace")
        easy.setopt(pycurl.POSTFIELDS, body)
        easy.setopt(pycurl.UPLOAD_BUFFERSIZE, UPLOAD)
        headers += ["Content-Type: application/json", "Expect:"]  # no round trip before a large prompt
    easy.setopt(pycurl.HTTPHEADER, headers)
    easy.setopt(pycurl.CUSTOMREQUEST, ask.method)
    try:
        easy.setopt(pycurl.URL, ask.url)
    except UnicodeEncodeError:
        raise UsageError(f"{shown(ask.url)} is not a URL: it is not ASCII") from None
    easy.setopt(pycurl.PROTOCOLS, pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS)
    easy.setopt(pycurl.CONNECTTIMEOUT_MS, min(round((connect_timeout or 0) * 1000), FOREVER) or FOREVER)
    easy.setopt(pycurl.NOSIGNAL, 1)
    easy.setopt(pycurl.NOPROXY, _no_proxy())
    if ask.url.startswith("https:"):
        _trust(easy)


def _no_proxy() -> str:
    """Loopback, and what the variable excepts, which libcurl reads only where it is told nothing."""
    theirs = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    return theirs if theirs == "*" else f"{LOOPBACK},{theirs}"


def _trust(easy: pycurl.Curl) -> None:
    """CA certificates as curl finds them: its variables, the system's, else certifi's.

    The wheel's built-in path is that of the distribution that it was built on.
    """
    file = os.environ.get("CURL_CA_BUNDLE") or os.environ.get("SSL_CERT_FILE")
    directory = os.environ.get("SSL_CERT_DIR")
    if not file and not directory:
        file = next((path for path in CA_FILES if os.path.exists(path)), None)
        if file is None:
            import certifi

            file = certifi.where()
        elif directory := _hashed(file):
            easy.unsetopt(pycurl.CAINFO)  # the wheel has looked for a bundle, too
            file = None
    if file:
        easy.setopt(pycurl.CAINFO, file)
    if directory:
        easy.setopt(pycurl.CAPATH, directory)


def _hashed(bundle: str) -> str | None:
    """The bundle's directory, where it has the same certificates by their hashes, which OpenSSL reads one by one.

    Reading a whole bundle takes 5 to 15 ms. One that is newer than the directory was changed by hand.
    """
    directory = os.path.dirname(bundle)
    try:
        by_hand = os.stat(bundle).st_mtime > os.stat(directory).st_mtime
        hashed = any(name.endswith(".0") for name in os.listdir(directory))
    except OSError:
        return None
    return directory if hashed and not by_hand else None
