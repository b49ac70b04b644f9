"""Prepares libcurl handles: the request, the proxy, and the certificates to trust."""

from __future__ import annotations

import os

import pycurl

from .. import __version__
from ..core.json_codec import to_json
from ..core.text import encode
from ..errors import UsageError
from ..providers.resolve import field_name, shown
from .transfer import HttpRequest

LOOPBACK = "localhost,127.0.0.0/8,::1"  # never through a proxy
UPLOAD_BUFFER_BYTES = 16384  # libcurl keeps the buffer as long as the stream runs; its default is four times that
MAX_TIMEOUT_MS = 2**31 - 1  # for no limit: 0 would be libcurl's default
CA_FILES = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Ubuntu, Arch, Alpine
    "/etc/pki/tls/certs/ca-bundle.crt",  # Fedora, RHEL
    "/etc/ssl/ca-bundle.pem",  # openSUSE
    "/etc/ssl/cert.pem",  # macOS, BSD, Alpine
)
DEFAULT_HEADERS = (
    "Accept: text/event-stream, application/json",
    "Accept-Encoding: identity",  # compression holds back what streaming is for
    f"User-Agent: llmstream/{__version__}",
)


def prepare(easy: pycurl.Curl, request: HttpRequest, connect_timeout: float | None) -> None:
    """Sets the request on a handle; a connect_timeout of None is no limit. Raises UsageError for a bad URL."""
    names = {field_name(line) for line in request.headers}
    headers = [*request.headers, *(line for line in DEFAULT_HEADERS if field_name(line) not in names)]
    if request.body is not None:
        body = encode(to_json(request.body))
        easy.setopt(pycurl.POSTFIELDS, body)
        easy.setopt(pycurl.UPLOAD_BUFFERSIZE, UPLOAD_BUFFER_BYTES)
        headers += ["Content-Type: application/json", "Expect:"]  # no round trip before a large prompt
    easy.setopt(pycurl.HTTPHEADER, headers)
    easy.setopt(pycurl.CUSTOMREQUEST, request.method)
    try:
        easy.setopt(pycurl.URL, request.url)
    except UnicodeEncodeError:
        raise UsageError(f"{shown(request.url)} is not a URL: it is not ASCII") from None
    easy.setopt(pycurl.PROTOCOLS, pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS)
    easy.setopt(pycurl.CONNECTTIMEOUT_MS, min(round((connect_timeout or 0) * 1000), MAX_TIMEOUT_MS) or MAX_TIMEOUT_MS)
    easy.setopt(pycurl.NOSIGNAL, 1)
    no_proxy = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""  # which libcurl would read by itself
    easy.setopt(pycurl.NOPROXY, no_proxy if no_proxy == "*" else f"{LOOPBACK},{no_proxy}")
    if request.url.startswith("https:"):
        _trust(easy)


def _trust(easy: pycurl.Curl) -> None:
    """Sets the CA certificates: those of curl's variables, the system's, else certifi's.

    The path built into pycurl's wheel is that of the distribution that the wheel was built on.
    """
    file = os.environ.get("CURL_CA_BUNDLE") or os.environ.get("SSL_CERT_FILE")
    directory = os.environ.get("SSL_CERT_DIR")
    if not file and not directory:
        file = next((path for path in CA_FILES if os.path.exists(path)), None)
        if file is None:
            import certifi

            file = certifi.where()
        elif directory := _hashed_directory(file):
            easy.unsetopt(pycurl.CAINFO)  # which pycurl's wheel may have set
            file = None
    if file:
        easy.setopt(pycurl.CAINFO, file)
    if directory:
        easy.setopt(pycurl.CAPATH, directory)


def _hashed_directory(bundle: str) -> str | None:
    """Returns the bundle's directory, where it has the same certificates by their hashes; OpenSSL reads few of these.

    Reading a whole bundle takes 5 to 15 ms. A bundle that is newer than its directory was changed by hand.
    """
    directory = os.path.dirname(bundle)
    try:
        changed_by_hand = os.stat(bundle).st_mtime > os.stat(directory).st_mtime
        hashed = any(name.endswith(".0") for name in os.listdir(directory))
    except OSError:
        return None
    return directory if hashed and not changed_by_hand else None
