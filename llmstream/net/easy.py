"""Prepares libcurl handles: the request, the proxy, and the certificates to trust."""

from __future__ import annotations

import os
import re
from typing import BinaryIO

import pycurl

from .. import __version__
from ..core.json_codec import to_json
from ..core.provider_errors import PROXY_REFUSES
from ..core.secrets import show_url
from ..core.text import encode
from ..errors import Error, Refused, UsageError
from ..providers.target import field_name
from .transfer import HttpRequest

LOOPBACK = "localhost,127.0.0.0/8,::1"  # never through a proxy
UPLOAD_BUFFER_BYTES = 16384  # libcurl keeps the buffer as long as the stream runs; its default is four times that
HINTS = {  # by libcurl error
    pycurl.E_COULDNT_CONNECT: "is the server running?",
    pycurl.E_COULDNT_RESOLVE_HOST: "is the address right, and the network up?",
    pycurl.E_SSL_CONNECT_ERROR: "does the server speak TLS at this port, or is it http://?",
    pycurl.E_GOT_NOTHING: "does the server speak TLS at this port: https://?",
}
SENTENCES = {  # what libcurl's errors mean for a user, whose own texts follow
    pycurl.E_COULDNT_CONNECT: "cannot connect to",
    pycurl.E_COULDNT_RESOLVE_HOST: "cannot find the host",
    pycurl.E_COULDNT_RESOLVE_PROXY: "cannot find the proxy",
    pycurl.E_OPERATION_TIMEDOUT: "no connection in time",
    pycurl.E_PARTIAL_FILE: "the server closed the connection",
    pycurl.E_GOT_NOTHING: "the server closed the connection without an answer",
    pycurl.E_RECV_ERROR: "the connection broke",
    pycurl.E_SEND_ERROR: "the connection broke",
    pycurl.E_HTTP2: "the connection broke",
    92: "the server aborted the answer",  # CURLE_HTTP2_STREAM, which pycurl does not name
    pycurl.E_SSL_CONNECT_ERROR: "no TLS connection",
    pycurl.E_PEER_FAILED_VERIFICATION: "the server's certificate is not trusted",
    pycurl.E_UNSUPPORTED_PROTOCOL: "the server does not speak HTTP",
}
SAYS_NO_MORE = {  # libcurl's texts that say no more than the sentence with the host
    pycurl.E_COULDNT_CONNECT: r"(?!.* over proxy ).*Could(n't| not) connect to server",
    pycurl.E_COULDNT_RESOLVE_HOST: r"Could not resolve host: .*",
}
TUNNEL_FAILED = "CONNECT tunnel failed"  # how libcurl's message begins where a proxy refuses to reach an https server
MAX_TIMEOUT_MS = 2**31 - 1  # for no limit: 0 would be libcurl's default
CA_FILES = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Ubuntu, Arch, Alpine
    "/etc/pki/tls/certs/ca-bundle.crt",  # Fedora, RHEL
    "/etc/ssl/ca-bundle.pem",  # openSUSE
    "/etc/ssl/cert.pem",  # macOS, BSD, Alpine
)
CA_FILE_VARIABLES = ("CURL_CA_BUNDLE", "SSL_CERT_FILE")
DEFAULT_HEADERS = (
    "Accept: text/event-stream, application/json",
    "Accept-Encoding: identity",  # compression holds back what streaming is for
    f"User-Agent: llmstream/{__version__}",
)


def prepare(easy: pycurl.Curl, request: HttpRequest, connect_timeout: float | None) -> None:
    """Sets the request on a handle; a connect_timeout of None is no limit.

    Raises UsageError for a bad URL, and for variables that cannot be used.
    """
    names = {field_name(line) for line in request.headers}
    headers = [*request.headers, *(line for line in DEFAULT_HEADERS if field_name(line) not in names)]
    if request.upload:
        _upload(easy, request.upload)
    elif request.body is not None:
        easy.setopt(pycurl.POSTFIELDS, encode(to_json(request.body)))
        headers.append("Content-Type: application/json")
    if request.upload or request.body is not None:
        easy.setopt(pycurl.UPLOAD_BUFFERSIZE, UPLOAD_BUFFER_BYTES)
        headers.append("Expect:")  # no round trip before a large prompt
    easy.setopt(pycurl.HTTPHEADER, headers)
    easy.setopt(pycurl.CUSTOMREQUEST, request.method)
    easy.setopt(pycurl.FRESH_CONNECT, int(request.once))
    try:
        easy.setopt(pycurl.URL, request.url)
    except UnicodeEncodeError:
        raise UsageError(f"{show_url(request.url)} is not a URL: it is not ASCII") from None
    easy.setopt(pycurl.PROTOCOLS, pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS)
    easy.setopt(pycurl.CONNECTTIMEOUT_MS, min(round((connect_timeout or 0) * 1000), MAX_TIMEOUT_MS) or MAX_TIMEOUT_MS)
    easy.setopt(pycurl.NOSIGNAL, 1)
    no_proxy = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""  # which libcurl would read by itself
    easy.setopt(pycurl.NOPROXY, os.fsencode(no_proxy if no_proxy == "*" else f"{LOOPBACK},{no_proxy}"))
    if _is_https(request.url):
        _trust(easy)
        if request.cert[0]:
            _identify(easy, *request.cert)


def _upload(easy: pycurl.Curl, file: BinaryIO) -> None:
    """Makes a file the body of a POST. libcurl goes back to its beginning where it sends the request again."""

    def seek(offset: int, origin: int) -> int:
        file.seek(offset, origin)
        return int(pycurl.SEEKFUNC_OK)

    easy.setopt(pycurl.POST, 1)
    easy.setopt(pycurl.POSTFIELDSIZE_LARGE, file.seek(0, os.SEEK_END))
    file.seek(0)
    easy.setopt(pycurl.READFUNCTION, file.read)
    easy.setopt(pycurl.SEEKFUNCTION, seek)


def _is_https(url: str) -> bool:
    return url[:6].lower() == "https:"


def proxy_variable(url: str) -> str:
    """Returns the name of the environment variable that libcurl takes the proxy for a URL from, "" for none."""
    names = ("https_proxy", "HTTPS_PROXY") if _is_https(url) else ("http_proxy",)
    return next((name for name in (*names, "all_proxy", "ALL_PROXY") if os.environ.get(name)), "")


def _proxy(url: str) -> str:
    """Returns how messages name the proxy for a URL: its host, without credentials, and its variable."""
    variable = proxy_variable(url)
    address = os.environ.get(variable, "")
    host = (address.partition("://")[2] or address).rpartition("@")[2]
    return f"the proxy {host.partition('/')[0]} in {variable}"


def ca_variable() -> str:
    """Returns the name of the environment variable that names the CA certificates, "" for none."""
    return next((name for name in (*CA_FILE_VARIABLES, "SSL_CERT_DIR") if os.environ.get(name)), "")


def check_ca(variable: str) -> None:
    """Raises UsageError where the file or the directories that the variable names cannot be read."""
    path = os.environ[variable]
    if variable not in CA_FILE_VARIABLES:
        reason = "" if any(map(os.path.isdir, path.split(os.pathsep))) else "no such directory"
    else:
        try:
            with open(path, "rb"):
                reason = ""
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
    if reason:
        raise UsageError(f"cannot read the CA certificates that {variable} names: {path}: {reason}")


def explain(code: int, message: str, url: str) -> str:
    """Returns what is wrong after a libcurl error, a sentence with libcurl's own text, and what to look at."""
    sentence, hint = SENTENCES.get(code, "the connection failed"), _hint(code, message, url)
    if code in SAYS_NO_MORE and re.fullmatch(SAYS_NO_MORE[code], message):
        from urllib.parse import urlsplit

        sentence = f"{sentence} {urlsplit(url).netloc.rpartition('@')[2]}"
    else:
        sentence = f"{sentence.removesuffix(' to')} (curl: {(message or f'error {code}').rstrip('.')})"
    return f"{sentence}: {hint}" if hint else sentence


def _hint(code: int, message: str, url: str) -> str:
    """Returns what to look at after a libcurl error, "" for nothing."""
    if code == pycurl.E_COULDNT_RESOLVE_PROXY:
        return f"is {_proxy(url)} right?"
    if code == pycurl.E_COULDNT_CONNECT and " over proxy " in message:
        return f"is {_proxy(url)} right, and running?"
    if message.startswith(TUNNEL_FAILED):
        return f"does {_proxy(url)} allow connections to this server?"
    if code == pycurl.E_PEER_FAILED_VERIFICATION:
        return f"{ca_variable() or 'SSL_CERT_FILE'} names the CA certificates to trust"
    if "certificate required" in message:
        return "the server demands a client certificate: set the provider's cert in the configuration"
    return HINTS.get(code, "")


def configuration_error(code: int, message: str, url: str) -> Error | None:
    """Returns the error for a libcurl error that is one of the configuration, without the secrets in it; else None."""
    if message.startswith("Unsupported proxy"):  # the message quotes the proxy's URL, and then says what is wrong
        problem = message.rpartition("': ")[2] if "': " in message else "its scheme is not supported"
        return UsageError(
            f"{proxy_variable(url)} is not a proxy's URL ({problem}): it must be http://HOST:PORT or "
            "http://NAME:PASSWORD@HOST:PORT, the password with %23 for #, %2F for /, %3F for ? and %40 for @"
        )
    if message.startswith(f"{TUNNEL_FAILED}, response 407"):
        return Refused(PROXY_REFUSES.format(proxy_variable(url)))
    if code == pycurl.E_SSL_CACERT_BADFILE:
        return UsageError(f"{ca_variable() or 'SSL_CERT_FILE'} must name a file of CA certificates in PEM format")
    if code == pycurl.E_SSL_CERTPROBLEM or "private key" in message.lower():
        problem = "the client certificate cannot be used"
        return UsageError(
            f"{problem}: cert and cert_key must be a certificate and its key in PEM, without a passphrase"
        )
    if code == pycurl.E_URL_MALFORMAT:
        return UsageError(message)
    return None


def _identify(easy: pycurl.Curl, cert: str, key: str) -> None:
    """Sets the client certificate, and its key where that is in another file. Raises UsageError."""
    for name, path in (("cert", cert), ("cert_key", key or cert)):
        try:
            with open(path, "rb"):
                pass
        except OSError as error:
            raise UsageError(f"cannot read the {name} {path}: {error.strerror}") from None
    easy.setopt(pycurl.SSLCERT, os.fsencode(cert))
    easy.setopt(pycurl.SSLKEY, os.fsencode(key or cert))
    easy.setopt(pycurl.KEYPASSWD, "")  # else OpenSSL would ask for a passphrase on the terminal


def _trust(easy: pycurl.Curl) -> None:
    """Sets the CA certificates: those of curl's variables, the system's, else certifi's.

    The path built into pycurl's wheel is that of the distribution that the wheel was built on.
    """
    variable, directory = ca_variable(), os.environ.get("SSL_CERT_DIR")
    file = None
    if variable:
        check_ca(variable)
        file = os.environ[variable] if variable in CA_FILE_VARIABLES else None
    else:
        file = next((path for path in CA_FILES if os.path.exists(path)), None)
        if file is None:
            import certifi

            file = certifi.where()
        elif directory := _hashed_directory(file):
            easy.unsetopt(pycurl.CAINFO)  # which pycurl's wheel may have set
            file = None
    if file:
        easy.setopt(pycurl.CAINFO, os.fsencode(file))
    if directory:
        easy.setopt(pycurl.CAPATH, os.fsencode(directory))


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
