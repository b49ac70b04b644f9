"""Proxies, certificates and addresses that cannot be used: status 2, the variable's name, and no secret."""

from __future__ import annotations

import asyncio
import os
import ssl

import pytest
import trustme

import llmstream
from llmstream.errors import Error, UsageError
from llmstream.net.fetch import Fetcher
from llmstream.net.redirects import Redirects

from ..conftest import at, environment
from ..support.clouds import entra
from ..support.limits import WAIT_S
from ..support.loopback import Provider, head, reply

CA_VARIABLES = ("CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR")
FAR = "http://llm.invalid"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(8)

malformed_proxies = pytest.mark.parametrize(
    "proxy",
    [
        "http://anna:hush#hush@127.0.0.1:9",
        "http://anna:hush/hush@127.0.0.1:9",
        "http://anna:hush?hush@127.0.0.1:9",
        "http://anna:hush@hush@127.0.0.1:9",
        "http://anna:hush hush@127.0.0.1:9",
        "http://anna:hush\nhush@127.0.0.1:9",
        "http://anna:hush': hush#@127.0.0.1:9",
        "http://anna:hush@127.0.0.1:99999",
        "http://anna:hush@",
        "http://anna:hush@[::1",
        "anna:hush#hush@127.0.0.1:9",
        "gopher://anna:hush@127.0.0.1:9",
    ],
)


@malformed_proxies
def test_a_malformed_proxy_is_named_and_not_shown(invoke, proxy):
    done = invoke("gen", "-m", "openai/m", "Hi", env=at(FAR, http_proxy=proxy))
    assert done.returncode == 2
    assert done.stderr.startswith(b"llmstream gen: http_proxy is not a proxy's URL (")
    assert b"hush" not in done.stderr
    assert b"anna" not in done.stderr


@pytest.mark.parametrize("name", ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"])
def test_the_variable_that_counts_is_named(invoke, name):
    others = {"http_proxy": "http://127.0.0.1:9"}
    done = invoke("gen", "-m", "openai/m", "Hi", env=at("https://llm.invalid", **others, **{name: "http://:hush@"}))
    assert (done.returncode, done.stderr.split()[2].decode()) == (2, name)


@malformed_proxies
def test_map_writes_no_password_into_its_records(invoke, proxy):
    done = invoke("map", "-q", "-m", "openai/m", input=b"Hi\n", env=at(FAR, http_proxy=proxy))
    assert b"http_proxy is not a proxy's URL" in done.stdout
    assert b"hush" not in done.stdout + done.stderr


@malformed_proxies
def test_clients_of_the_library_and_of_serve_see_no_password(monkeypatch, proxy):
    for name, value in at(FAR, http_proxy=proxy).items():
        monkeypatch.setenv(name, value)

    async def ask() -> str:
        return await llmstream.astream("Hi", "openai/m").read()

    with pytest.raises(UsageError) as caught:
        asyncio.run(asyncio.wait_for(ask(), WAIT_S))
    assert "hush" not in str(caught.value)


@pytest.mark.clouds
@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("https_proxy", "http://anna:hush-hush#x@127.0.0.1:9"),
        ("all_proxy", "gopher://anna:hush-hush@127.0.0.1:9"),
        ("SSL_CERT_FILE", "/no/such/file"),
    ],
)
def test_an_sdk_names_the_variable_too(invoke, variable, value):
    done = invoke("gen", "-m", "azure/m", "Hi", env=_without_ca(entra("https://llm.invalid")) | {variable: value})
    assert (done.returncode, b"hush" in done.stderr) == (2, False)
    assert done.stderr.decode().rstrip().endswith(f"look at {variable}")


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("proxy", ["127.0.0.1:9", "proxy.invalid:9"])
def test_a_proxy_that_is_not_there_is_named(invoke, scheme, proxy):
    env = environment(
        OPENAI_BASE_URL=f"{scheme}://api.example/v1", **{f"{scheme}_proxy": f"http://user:secret@{proxy}"}
    )
    done = invoke("gen", "-n", "-m", "openai/m", "--retries", "0", "Hi", env=env)
    assert (done.returncode, done.stderr.count(b"\n")) == (4, 1)
    assert f": is the proxy {proxy} in {scheme}_proxy right".encode() in done.stderr
    assert b"secret" not in done.stderr


def test_a_proxy_that_refuses_a_tunnel_is_named(invoke):
    with Provider(lambda request: reply("403 Forbidden", b"no", "text/plain")) as provider:
        host = provider.url.partition("://")[2]
        env = environment(OPENAI_BASE_URL="https://api.example/v1", https_proxy=f"http://user:secret@{host}")
        done = invoke("gen", "-n", "-m", "openai/m", "--retries", "0", "Hi", env=env)
    assert (done.returncode, done.stderr.count(b"\n")) == (4, 1)
    assert f": does the proxy {host} in https_proxy allow connections to this server?".encode() in done.stderr
    assert b"secret" not in done.stderr


def test_a_tunnel_that_wants_a_password_is_a_refusal(invoke):
    with Provider(reply("407 Who are you", b"")) as proxy:
        done = invoke("gen", "-m", "openai/m", "Hi", env=at("https://llm.invalid", https_proxy=proxy.url))
    assert (done.returncode, len(proxy.requests)) == (3, 1)
    assert b"the proxy requires a user name and a password (HTTP 407): https_proxy=http://NAME" in done.stderr


# Certificates.


def _without_ca(env: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in env.items() if name not in CA_VARIABLES}


@pytest.mark.parametrize("variable", CA_VARIABLES)
@pytest.mark.parametrize("path", ["/no/such/path", "/no/such/pâth"])
def test_missing_certificates_are_named(invoke, variable, path):
    env = _without_ca(at("https://llm.invalid")) | {variable: path}
    done = invoke("gen", "-m", "openai/m", "Hi", env=env)
    assert done.returncode == 2
    assert done.stderr.startswith(
        f"llmstream gen: cannot read the CA certificates that {variable} names: {path}: ".encode()
    )


@pytest.mark.parametrize("variable", CA_VARIABLES[:2])
def test_a_file_without_certificates_is_named(invoke, tmp_path, variable):
    (tmp_path / "ca.pem").write_text("no certificate")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(tls)
    with Provider([head()], tls=tls) as provider:
        env = _without_ca(at(provider.url)) | {variable: str(tmp_path / "ca.pem")}
        done = invoke("gen", "-m", "openai/m", "Hi", env=env)
    assert done.returncode == 2
    assert done.stderr == f"llmstream gen: {variable} must name a file of CA certificates in PEM format\n".encode()


def test_one_directory_of_several_is_enough(monkeypatch, tmp_path):
    from llmstream.net import easy

    monkeypatch.setenv("SSL_CERT_DIR", os.pathsep.join(["/no/such", str(tmp_path)]))
    easy.check_ca("SSL_CERT_DIR")


def test_a_no_proxy_that_is_not_ascii_is_no_bug(invoke):
    with Provider(reply("401 No", b"{}")) as provider:
        done = invoke("gen", "-m", "openai/m", "Hi", env=at(provider.url, no_proxy="bücher.example"))
    assert done.returncode == 3


# Base URLs.


@pytest.mark.parametrize(
    "url",
    [
        "http://anna:hush/hush@127.0.0.1:9",
        "http://anna:hush#hush@127.0.0.1:9",
        "http://anna:hush?hush@127.0.0.1:9",
        "http://anna:hush@hush@127.0.0.1:9",
        "http://anna:hush@127.0.0.1:65536",
        "http://anna:hush@127.0.0.1:port",
        "http://anna:hush@[::1",
        "http://anna:hush@",
        "http://anna:hush@:80",
        "http://anna:hush@a^b",
    ],
)
@pytest.mark.parametrize("argument", [False, True])
def test_a_malformed_base_url_is_named_and_not_shown(monkeypatch, url, argument):
    for name, value in at(url).items():
        monkeypatch.setenv(name, value)
    more = {"base_url": url, "api_key": "k"} if argument else {}
    with pytest.raises(UsageError) as caught:
        llmstream.stream("Hi", "openai/m", **more)
    assert str(caught.value).startswith("base_url is not" if argument else "OPENAI_BASE_URL is not")
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["http://[::1]:9", "http://[fe80::1%25lo]:9/v1", "http://a_b.example:/x/@y", "https://u:p%40@h-1.example"]
)
def test_unusual_base_urls_are_right(monkeypatch, url):
    for name, value in environment().items():
        monkeypatch.setenv(name, value)
    llmstream.stream("Hi", "openai/m", base_url=url, api_key="k")


# Attachments and redirects.


@pytest.mark.parametrize(
    "query", ["X-Amz-Signature=hush", "sig=hush", "token=hush", "key=hush", "x=1&Signature=hush", "#hush"]
)
@pytest.mark.parametrize("status", ["404 Not Found", "503 Busy", "302 Found"])
def test_an_attachment_s_signature_and_password_are_not_shown(invoke, query, status):
    moved = f"Location: http://anna:hush@127.0.0.1:99999/?{query}"
    with Provider(lambda request: reply(status, b"", "text/plain", moved)) as provider:
        url = provider.url.replace("//", "//anna:hush@") + f"/a.png?{query}"
        done = invoke("gen", "-m", "openai/m", "-a", url, "Hi", env=at(provider.url))
    assert done.returncode == (4 if status.startswith("5") else 2)
    assert b"hush" not in done.stderr
    assert f"cannot fetch {provider.url}/a.png: ".encode() in done.stderr
    assert done.stderr.count(b"\n") == 1


@pytest.mark.parametrize(
    "url", ["http://anna:hush@h:99999/a", "http://anna:hush/x@h", "http://anna:hush@", "HTTPS://[::1", "http://é/"]
)
def test_an_attachment_at_a_malformed_url(invoke, url):
    done = invoke("gen", "-m", "openai/m", "-a", url, "Hi", env=at(FAR))
    assert (done.returncode, done.stderr.count(b"\n"), b"hush" in done.stderr) == (2, 1, False)


MALFORMED_LOCATIONS = [
    "http://[", "http://[::1", "http://h:99999/", "http://h:port/", "//", "///", "http://", "http:///x", "ftp://h/x",
    "javascript:x", "file:///etc/passwd", "http://a b/", "http://a^b/", "http://%zz/", "://", ":80", "http://h:0/",
]  # fmt: skip


@pytest.mark.parametrize("location", [*MALFORMED_LOCATIONS, "http://h\u00e9/", "x" * 5000])
@pytest.mark.parametrize("status", ["301 Moved", "307 Moved"])
def test_a_redirect_to_a_malformed_address_is_one_line(invoke, location, status):
    moved = reply(status, b"", "text/plain", f"Location: {location}")
    with Provider(lambda request: moved) as provider:
        done = invoke("gen", "--retries", "0", "-m", "openai/m", "Hi", env=at(provider.url))
    assert (done.returncode, done.stderr.count(b"\n")) == (3, 1)
    assert b"redirects to" in done.stderr
    assert len(done.stderr) < 1000


@pytest.mark.parametrize("location", MALFORMED_LOCATIONS)
def test_an_attachment_that_redirects_to_a_malformed_address(location):
    with Provider(lambda request: reply("302 Found", b"", "text/plain", f"Location: {location}")) as provider:
        fetcher = Fetcher()
        with pytest.raises(Error) as caught:
            fetcher.file(f"{provider.url}/a", 1000)
        fetcher.close()
    assert isinstance(caught.value, UsageError)


def test_redirects_keep_to_http():
    redirects = Redirects("http://h/x", same_origin=False)
    assert [redirects.follow(location) for location in MALFORMED_LOCATIONS[:4]] == [False] * 4
    assert redirects.url == "http://h/x"
    assert redirects.follow("//other/y")
    assert redirects.url == "http://other/y"


def test_headers_with_keys_are_hidden_in_what_a_server_quotes(invoke, tmp_path):
    quoted = reply("401 No", b'{"error": {"message": "wrong: hush-hush-1 and hush-hush-2"}}')
    with Provider(quoted) as provider:
        path, headers = tmp_path / "config.toml", '{"X-Api-Token" = "hush-hush-1", Authorization = "Basic hush-hush-2"}'
        path.write_text(f'[providers.w]\nbase_url = "{provider.url}"\nheaders = {headers}')
        done = invoke("gen", "-m", "w/m", "Hi", env=environment(LLMSTREAM_CONFIG=str(path)))
    assert done.stderr == b"llmstream gen: w says: wrong: [key] and [key] (HTTP 401)\n"
