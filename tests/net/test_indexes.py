"""The indexes that pip and uv are configured with: variables, files, what overrides what, and what is wrong."""

from __future__ import annotations

import os
import sys

import pytest

from llmstream.errors import UsageError
from llmstream.net import indexes
from llmstream.net.indexes import Source

DEFAULT_INDEX = indexes.public_index()[0].url


@pytest.fixture(autouse=True)
def home(monkeypatch, tmp_path):
    """A machine without any configuration; gives the user's folder of configurations."""
    for name in os.environ:
        if name.startswith(("PIP_", "UV_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_CONFIG_DIRS", str(tmp_path / "system"))
    monkeypatch.setattr("sys.prefix", str(tmp_path / "venv"))
    monkeypatch.setattr(indexes, "_pip_files", _without_etc(indexes._pip_files))
    monkeypatch.setattr(indexes, "_uv_files", _without_etc(indexes._uv_files))
    return tmp_path


def _without_etc(files):
    return lambda: [path for path in files() if not path.startswith(("/etc/", "/Library/"))]


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def found():
    return [source.url for source in indexes.sources()]


def test_without_a_configuration_the_public_index():
    assert indexes.sources() == [Source(DEFAULT_INDEX)]


def test_without_a_configuration_and_pip_no_index(monkeypatch):
    monkeypatch.setitem(sys.modules, "pip._internal.models.index", None)
    assert indexes.sources() == []


@pytest.mark.parametrize(
    ("variables", "urls"),
    [
        ({"PIP_INDEX_URL": "https://a.test/simple"}, ["https://a.test/simple"]),
        ({"PIP_INDEX_URL": "  https://a.test/simple/ "}, ["https://a.test/simple/"]),
        ({"PIP_INDEX_URL": ""}, [DEFAULT_INDEX]),
        ({"PIP_EXTRA_INDEX_URL": "https://a.test/s\n https://b.test/s"}, ["https://a.test/s", "https://b.test/s", ...]),
        ({"PIP_FIND_LINKS": "/w https://a.test/page.html"}, ["file:///w", "https://a.test/page.html", ...]),
        ({"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "/w"}, ["file:///w"]),
        ({"PIP_NO_INDEX": "true", "PIP_INDEX_URL": "https://a.test/s"}, []),
        ({"PIP_NO_INDEX": "0"}, [DEFAULT_INDEX]),
        ({"PIP_NO_INDEX": "1", "UV_INDEX": "https://a.test/s"}, ["https://a.test/s"]),
        ({"UV_INDEX_URL": "https://a.test/s"}, ["https://a.test/s"]),
        ({"UV_DEFAULT_INDEX": "https://a.test/s"}, ["https://a.test/s"]),
        ({"UV_DEFAULT_INDEX": "work=https://a.test/s?x=1"}, ["https://a.test/s?x=1"]),
        ({"UV_DEFAULT_INDEX": "https://a.test/s", "UV_INDEX_URL": "https://b.test/s"}, ["https://a.test/s"]),
        ({"UV_INDEX": "one=https://a.test/s https://b.test/s"}, ["https://a.test/s", "https://b.test/s", ...]),
        ({"UV_EXTRA_INDEX_URL": "https://a.test/s"}, ["https://a.test/s", ...]),
        ({"UV_FIND_LINKS": "/v,/w"}, ["file:///v", "file:///w", ...]),
        ({"PIP_INDEX_URL": "https://a.test/s", "UV_DEFAULT_INDEX": "https://a.test/s"}, ["https://a.test/s"]),
        ({"PIP_EXTRA_INDEX_URL": "https://a.test/s file:///s"}, ["file:///s", "https://a.test/s", ...]),
        ({"PIP_INDEX_URL": "file:///my%20index/simple"}, ["file:///my%20index/simple"]),
        ({"PIP_INDEX_URL": "/my index/simple"}, ["file:///my%20index/simple"]),
    ],
)
def test_variables(monkeypatch, variables, urls):
    """`...` stands for the public index."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert found() == [DEFAULT_INDEX if url is ... else url for url in urls]


def test_a_later_file_of_pip_overrides_an_earlier_one_and_a_variable_all(monkeypatch, home):
    write(home / "system/pip/pip.conf", "[global]\nindex-url = https://system.test/s\nfind-links = /w\n  /v\n")
    assert found() == ["file:///w", "file:///v", "https://system.test/s"]
    write(home / ".pip/pip.conf", "[global]\nindex_url: https://old.test/s\n")
    assert found()[-1] == "https://old.test/s"
    write(home / "config/pip/pip.conf", "[global]\nindex-url = https://user.test/s\n")
    assert found()[-1] == "https://user.test/s"
    write(home / "venv/pip.conf", "[global]\nindex-url = https://no.test/s\n[install]\nindex-url = https://venv.test/s")
    assert found()[-1] == "https://venv.test/s"
    chosen = write(home / "chosen.conf", "[global]\nextra-index-url = https://chosen.test/s\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(chosen))
    assert found() == ["file:///w", "file:///v", "https://chosen.test/s", "https://venv.test/s"]
    monkeypatch.setenv("PIP_INDEX_URL", "https://variable.test/s")
    assert found()[-1] == "https://variable.test/s"
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    assert found() == ["https://variable.test/s"]


UV_TOML = """
no-build = true
[[index]]
name = "work-index"
url = "https://work.test/s"
[[index]]
name = "torch"
url = "https://torch.test/s"
explicit = true
[[index]]
name = "main"
url = "https://main.test/s"
default = true
[[index]]
name = "wheels"
url = "wheels"
format = "flat"
[pip]
extra-index-url = ["https://pip.test/s"]
"""


def test_the_files_of_uv(monkeypatch, home):
    path = write(home / "config/uv/uv.toml", UV_TOML)
    wheels = (path.parent / "wheels").as_uri()
    monkeypatch.setenv("UV_INDEX_WORK_INDEX_USERNAME", "anna")
    monkeypatch.setenv("UV_INDEX_WORK_INDEX_PASSWORD", "pass-1")
    assert indexes.sources() == [
        Source(wheels, False),
        Source("https://work.test/s", True, "anna", "pass-1"),
        Source("https://pip.test/s"),
        Source("https://main.test/s"),
    ]
    monkeypatch.setenv("UV_NO_CONFIG", "1")
    assert found() == [DEFAULT_INDEX]
    monkeypatch.delenv("UV_NO_CONFIG")
    chosen = write(home / "uv.toml", 'index-url = "https://chosen.test/s"\nfind-links = ["/w"]')
    monkeypatch.setenv("UV_CONFIG_FILE", str(chosen))
    assert found() == ["file:///w", "https://chosen.test/s"]
    write(chosen, "no-index = true\n")
    assert found() == []


def test_credentials_are_decoded_and_kept_out_of_the_url(monkeypatch):
    monkeypatch.setenv("PIP_INDEX_URL", "https://anna:p%40ss%2F1@a.test:8443/simple")
    assert indexes.sources() == [Source("https://a.test:8443/simple", True, "anna", "p@ss/1")]


@pytest.mark.parametrize(
    "location", ["ftp://anna:pass-1@a.test/s", "https://anna:pass-1@[a/s", "https://a:pass-1@b:x/s"]
)
@pytest.mark.parametrize("name", ["PIP_INDEX_URL", "PIP_FIND_LINKS", "UV_INDEX", "UV_DEFAULT_INDEX", "UV_FIND_LINKS"])
def test_what_is_not_a_url_is_named_and_not_quoted(monkeypatch, name, location):
    monkeypatch.setenv(name, location)
    with pytest.raises(UsageError, match=f"^{name} is not a URL: it must be ") as raised:
        indexes.sources()
    assert "pass-1" not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "text", "place"),
    [
        ("pip/pip.conf", "index-url = https://anna:pass-1@a.test/s\n", ":1$"),
        ("pip/pip.conf", "[global]\nanna pass-1\n", ":2$"),
        ("pip/pip.conf", "[global]\na=1\na=2\n", ":3$"),
        ("uv/uv.toml", "a = 1\nindex-url = https://anna:pass-1@a.test/s\n", ", line 2$"),
    ],
)
def test_a_malformed_file_is_named_with_its_line(home, name, text, place):
    write(home / "config" / name, text)
    with pytest.raises(UsageError, match=f"^invalid configuration of .*{name}{place}") as raised:
        indexes.sources()
    assert "pass-1" not in str(raised.value)


def test_files_that_cannot_be_read_are_left_out(home):
    (home / "config/pip/pip.conf").mkdir(parents=True)
    (home / "config/uv/uv.toml").mkdir(parents=True)
    assert found() == [DEFAULT_INDEX]


def test_a_file_that_is_not_utf_8(home):
    write(home / "config/pip/pip.conf", "").write_bytes(b"[global]\nindex-url = https://\xff\n")
    with pytest.raises(UsageError, match="is not UTF-8"):
        indexes.sources()
    write(home / "config/pip/pip.conf", "")
    write(home / "config/uv/uv.toml", "").write_bytes(b'a = "\xff"\n')
    with pytest.raises(UsageError, match="invalid configuration of uv"):
        indexes.sources()
