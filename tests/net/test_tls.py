"""TLS: what is trusted is served, and what is not is one clear line."""

from __future__ import annotations

import ssl

import pytest
import trustme

from ..conftest import at
from ..support.loopback import Provider, chat, head

CA_VARIABLES = ("CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR")


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def serving(authority: trustme.CA, *names: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(context)
    return context


def environment(url: str, **more: str) -> dict[str, str]:
    return {k: v for k, v in at(url).items() if k not in CA_VARIABLES} | more


@pytest.mark.parametrize("variable", CA_VARIABLES[:2])
def test_trusted(run, authority, tmp_path, variable):
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    with Provider([head(), *chat("Hello")], tls=serving(authority, "127.0.0.1")) as provider:
        done = run("gen", "-m", "openai/m", "Hi", env=environment(provider.url, **{variable: str(tmp_path / "ca.pem")}))
    assert (done.stdout, done.stderr, done.returncode) == (b"Hello\n", b"", 0)


def test_untrusted(run, authority):
    with Provider([head(), *chat("Hello")], tls=serving(authority, "127.0.0.1")) as provider:
        done = run("gen", "-m", "openai/m", "Hi", env=environment(provider.url))
        assert provider.requests == []
    assert done.returncode == 4
    assert b"certificate" in done.stderr
    assert done.stderr.endswith(b": SSL_CERT_FILE names the CA certificates to trust\n")


def test_wrong_host(run, authority, tmp_path):
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    with Provider([head(), *chat("Hello")], tls=serving(authority, "127.0.0.2")) as provider:
        done = run("gen", "-m", "openai/m", "Hi", env=environment(provider.url, SSL_CERT_FILE=str(tmp_path / "ca.pem")))
        assert provider.requests == []
    assert done.returncode == 4


def test_http_to_a_tls_port(run, authority):
    with Provider([head()], tls=serving(authority, "127.0.0.1")) as provider:
        done = run("gen", "--retries=0", "-m", "openai/m", "Hi", env=at(provider.url.replace("https", "http")))
    assert done.returncode == 4
    assert done.stderr.count(b"\n") == 1
