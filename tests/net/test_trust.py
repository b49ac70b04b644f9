"""Which certificates are trusted: a real TLS server, and stand-ins for the system's bundle and directory."""

from __future__ import annotations

import os
import shutil
import ssl
import subprocess
import sys

import pytest
import trustme

from ..conftest import at
from ..support.loopback import Provider, chat, head

GEN = """
import sys
from llmstream.net import easy
easy.CA_FILES = (sys.argv[1],)
from llmstream.cli import run
sys.exit(run(["gen", "-m", "openai/m", "Hi"]))
"""


@pytest.fixture(scope="module")
def ours() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def other() -> trustme.CA:
    return trustme.CA(organization_name="Another")


@pytest.fixture
def answer(tmp_path, ours):
    """answer(): the status and stderr of a generation over TLS, the system's bundle being tmp_path/ca.crt."""

    def answer(**variables: str) -> tuple[int, bytes]:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        ours.issue_cert("127.0.0.1").configure_cert(tls)
        with Provider([head(), *chat("Hello")], tls=tls) as provider:
            command = [sys.executable, "-c", GEN, tmp_path / "ca.crt"]
            env = {k: v for k, v in at(provider.url).items() if k not in ("SSL_CERT_FILE", "SSL_CERT_DIR")}
            env.pop("CURL_CA_BUNDLE", None)
            done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, env=env | variables)
        assert done.stdout == (b"" if done.returncode else b"Hello\n")
        return done.returncode, done.stderr

    return answer


def bundle(folder, *authorities, age: float = 0) -> None:
    """Writes ca.crt, `age` seconds older than its directory."""
    path = folder / "ca.crt"
    path.write_bytes(b"".join(ca.cert_pem.bytes() for ca in authorities))
    changed = folder.stat().st_mtime - age
    os.utime(path, (changed, changed))


def by_hash(folder, ca) -> None:
    """Adds a certificate to the directory as c_rehash names it."""
    if not shutil.which("openssl"):
        pytest.skip("openssl is not installed: apt install openssl")
    ca.cert_pem.write_to_path(folder / "ca.pem")
    command = ["openssl", "x509", "-hash", "-noout", "-in", folder / "ca.pem"]
    name = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    (folder / "ca.pem").rename(folder / f"{name}.0")


def test_a_bundle_alone(tmp_path, answer, ours):
    bundle(tmp_path, ours)
    assert answer() == (0, b"")


def test_certificates_by_hash_are_read_instead_of_the_bundle(tmp_path, answer, ours, other):
    by_hash(tmp_path, ours)
    bundle(tmp_path, other, age=1)
    assert answer() == (0, b"")


def test_a_bundle_that_was_changed_by_hand_is_read(tmp_path, answer, ours, other):
    by_hash(tmp_path, other)
    bundle(tmp_path, ours, age=-1)
    assert answer() == (0, b"")


@pytest.mark.parametrize("age", [1, -1])
def test_an_unknown_authority(tmp_path, answer, other, age):
    by_hash(tmp_path, other)
    bundle(tmp_path, other, age=age)
    status, stderr = answer()
    assert status == 4
    assert b": SSL_CERT_FILE names the CA certificates to trust" in stderr


def test_the_variable_comes_first(tmp_path, answer, ours, other):
    bundle(tmp_path, other)
    ours.cert_pem.write_to_path(tmp_path / "mine.pem")
    assert answer(SSL_CERT_FILE=str(tmp_path / "mine.pem")) == (0, b"")
