"""`llmstream man`: where it finds the pages, and what it prints without a viewer or a page."""

from __future__ import annotations

import re
import shutil

import pytest

from ..conftest import ROOT, environment
from ..support import needs


@needs.program("man", "mandoc", debian="man-db")
def test_man_writes_plain_text_into_a_pipe(invoke):
    done = invoke("man", "gen", env=environment(MAN_KEEP_FORMATTING="1", MANPAGER="less", PAGER="less"))
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"--first-token-timeout" in done.stdout
    assert not re.search(rb"[\x08\x1b]", done.stdout)


@pytest.mark.parametrize("topic", ["nope", "../llmstream", "/etc/passwd"])
def test_a_topic_without_a_page_is_an_error(invoke, topic):
    done = invoke("man", topic)
    message = f"llmstream man: no manual page for {topic!r}: llmstream --help lists the commands\n"
    assert (done.stdout, done.stderr.decode(), done.returncode) == (b"", message, 2)


@pytest.mark.parametrize(("topic", "page"), [("llmstream", "llmstream.1"), ("llmstream-gen", "llmstream-gen.1")])
def test_the_names_that_man_uses_find_the_pages(invoke, topic, page):
    done = invoke("man", topic, env=environment(PATH=""))
    assert f"install one, read {ROOT / 'man' / 'man1' / page},".encode() in done.stderr


def test_a_viewer_gets_no_keys(invoke, tmp_path):
    viewer = tmp_path / "bin" / "man"
    viewer.parent.mkdir()
    viewer.write_text("#!/bin/sh\n/usr/bin/env\n")
    viewer.chmod(0o755)
    config = tmp_path / "config.toml"
    config.write_text('[providers.own]\nbase_url = "https://h.example"\nkey_env = "OWN_LOGIN"\n')
    secrets = ["OPENAI_API_KEY", "AZURE_OPENAI_AD_TOKEN", "AWS_SECRET_ACCESS_KEY", "LLMSTREAM_SERVE_TOKEN", "OWN_LOGIN"]
    env = environment(
        PATH=str(viewer.parent), LESSKEYIN="x", LLMSTREAM_CONFIG=str(config), **dict.fromkeys(secrets, "s")
    )
    names = {line.partition("=")[0] for line in invoke("man", env=env).stdout.decode().splitlines()}
    assert names.isdisjoint(secrets)
    assert {"PATH", "LESSKEYIN", "LLMSTREAM_CONFIG"} <= names
    config.write_text("nonsense")
    names = {line.partition("=")[0] for line in invoke("man", env=env).stdout.decode().splitlines()}
    assert names.isdisjoint(secrets[:-1]) and "PATH" in names


def test_man_without_a_viewer(invoke):
    done = invoke("man", "gen", env=environment(PATH=""))
    path = ROOT / "man" / "man1" / "llmstream-gen.1"
    message = f"llmstream man: neither man nor mandoc is installed: install one, read {path}, or use --help\n"
    assert (done.stdout, done.stderr.decode(), done.returncode) == (b"", message, 2)


@pytest.mark.parametrize("layout", ["llmstream/man", "man"])  # of the wheel, of the checkout
def test_man_finds_the_pages_in_both_layouts(run, layout, tmp_path):
    shutil.copytree(ROOT / "llmstream", tmp_path / "llmstream", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "man", tmp_path / layout)
    done = run("man", env=environment(PYTHONPATH=str(tmp_path), PATH=""), cwd=tmp_path)
    assert f"install one, read {tmp_path / layout / 'man1' / 'llmstream.1'},".encode() in done.stderr


@pytest.mark.parametrize("topic", ["pipelines", "llmstream-python"])
def test_pages_that_belong_to_no_command_are_found(invoke, topic):
    done = invoke("man", topic, env=environment(PATH=""))
    page = f"llmstream-{topic.removeprefix('llmstream-')}.7"
    assert f"install one, read {ROOT / 'man' / 'man7' / page},".encode() in done.stderr
