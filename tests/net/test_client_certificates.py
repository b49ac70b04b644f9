"""Client certificates of the configuration, before a server that demands one."""

from __future__ import annotations

import ssl

import pytest
import trustme

from ..conftest import environment
from ..support.loopback import Provider, chat, head

CA_VARIABLES = ("CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR")


@pytest.fixture
def world(tmp_path):
    """world(run, **keys) asks a server that demands a certificate, with these keys in the configuration."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    mine = authority.issue_cert("me@example.com")
    mine.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "both.pem"))
    mine.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    mine.cert_chain_pems[0].write_to_path(str(tmp_path / "cert.pem"))
    trustme.CA().issue_cert("me@example.com").private_key_pem.write_to_path(str(tmp_path / "other.pem"))
    (tmp_path / "text.pem").write_text("no certificate")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    authority.configure_trust(tls)
    tls.verify_mode = ssl.CERT_REQUIRED
    with Provider(lambda request: [head(), *chat("Hello")], tls=tls) as provider:

        def world(run, *args: str, **keys: str):
            lines = ["[providers.work]", f'base_url = "{provider.url}/v1"']
            lines += [f'{name} = "{value}"' for name, value in keys.items()]
            (tmp_path / "config.toml").write_text("\n".join(lines) + "\n")
            env = {name: value for name, value in environment().items() if name not in CA_VARIABLES}
            env |= {"LLMSTREAM_CONFIG": str(tmp_path / "config.toml"), "SSL_CERT_FILE": str(tmp_path / "ca.pem")}
            done = run("gen", "--retries=0", *args, "-m", "work/m", "Hi", env=env)
            return done.stdout, done.returncode, done.stderr.decode()

        world.provider, world.folder = provider, tmp_path
        yield world


@pytest.mark.parametrize("keys", [{"cert": "both.pem"}, {"cert": "cert.pem", "cert_key": "key.pem"}])
def test_a_certificate_is_shown(run, world, keys):
    assert world(run, **keys) == (b"Hello\n", 0, "")


def test_without_a_certificate(run, world):
    out, status, stderr = world(run)
    assert (out, status, stderr.count("\n")) == (b"", 4, 1)
    assert world.provider.requests == []


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"cert": "no.pem"}, "cannot read the cert {folder}/no.pem: No such file or directory"),
        (
            {"cert": "cert.pem", "cert_key": "no.pem"},
            "cannot read the cert_key {folder}/no.pem: No such file or directory",
        ),
        ({"cert": "text.pem"}, "the client certificate cannot be used: cert and cert_key must be"),
        ({"cert": "cert.pem"}, "the client certificate cannot be used: cert and cert_key must be"),
        (
            {"cert": "cert.pem", "cert_key": "other.pem"},
            "the client certificate cannot be used: cert and cert_key must be",
        ),
        ({"cert_key": "key.pem"}, "{folder}/config.toml:3: providers.work.cert_key: needs a cert: add it"),
    ],
)
def test_a_wrong_certificate_is_an_error_of_the_configuration(run, world, keys, message):
    out, status, stderr = world(run, **keys)
    assert (out, status) == (b"", 2)
    assert stderr.startswith(f"llmstream gen: {message.format(folder=world.folder)}")
    assert stderr.count("\n") == 1
    assert world.provider.requests == []


def test_another_address_does_not_get_it(run, world):
    url = f"{world.provider.url}/v2"
    _, status, _ = world(run, "--base-url", url, cert="both.pem")
    assert status == 4
