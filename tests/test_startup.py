"""A command imports only what it uses: modules are compared, not clocks (tests/bench has the clocks)."""

from __future__ import annotations

import subprocess
import sys

import pytest

from llmstream.commands import COMMANDS

from .conftest import ROOT, at, environment
from .support.loopback import DIALECTS, Provider, head
from .support.modules import existing

HEAVY = {
    *("openai", "anthropic", "pydantic", "httpx", "httpx2", "httpcore", "httpcore2", "anyio", "xllamacpp", "certifi"),
    *("boto3", "botocore", "google", "google.auth", "azure", "azure.identity", "genai_prices", "threading"),
    *("requests", "urllib3", "rich", "numpy", "jinja2", "yaml", "regex"),
    *("asyncio", "concurrent.futures", "multiprocessing", "ssl", "http.client", "urllib.request", "urllib.parse"),
    *("importlib.metadata", "importlib.resources", "dataclasses", "pathlib", "logging", "email", "difflib"),
    *("subprocess", "tempfile", "zipfile", "socket", "sqlite3", "xml", "pprint", "unittest"),
}


# As in __main__.main, which ends the process.
RUN = """
import signal
from llmstream import __main__
from llmstream.cli import run
assert run(sys.argv[1:]) == 0
signal.setitimer(signal.ITIMER_VIRTUAL, 0)  # the clock of a command with a user's pattern
"""
LOADED = "print(*{*sys.modules} - {'pycurl.async_multi'}, file=sys.stderr)"  # an empty module, see llmstream.cli


def imported(code: str, *args: str, env: dict[str, str] | None = None, input: str = "") -> set[str]:
    """Runs code in a new interpreter; returns the modules that are loaded at its end."""
    command = [sys.executable, "-c", f"import sys\n{code}\n{LOADED}", *args]
    done = subprocess.run(command, input=input, capture_output=True, text=True, env=env or environment())
    assert done.returncode == 0, done.stderr
    return set(done.stderr.split())


def llmstream(*args: str, env: dict[str, str] | None = None, input: str = "") -> set[str]:
    """Returns the modules that a run of llmstream loads beyond those of click."""
    return imported(RUN, *args, env=env, input=input) - imported("import click")


def test_version_loads_no_command():
    modules = llmstream("--version")
    assert not modules & HEAVY
    assert {name for name in modules if name.startswith("llmstream.commands.")} == existing("commands.parameters")


OF_CLICK = {"click", "inspect", "gettext", "uuid", "datetime", "threading", "difflib"}


@pytest.mark.parametrize(
    "args", [["until", "--lines", "1"], ["code"], ["json-objects"], ["fields", "a"], ["text"], ["pretty"]]
)
def test_filters_load_neither_click_nor_what_it_loads(args):
    text = '{"a": 1}\n' if args[0] in ("json-objects", "fields") else "```\na\n```\n"
    if args[0] == "text":
        text = 'data: {"choices": [{"delta": {"content": "a"}, "finish_reason": "stop"}]}\n\n'
    assert not imported(RUN, *args, input=text) & OF_CLICK


@pytest.mark.parametrize("command", [name for name in COMMANDS if name != "man"])  # which runs another program
def test_help_loads_neither_the_network_nor_another_command(command):
    modules = llmstream(command, "--help")
    assert not modules & HEAVY
    assert not [name for name in modules if name.startswith(("pycurl", *existing("net", "serve")))]
    own = (
        command.replace("-", "_"),
        "options",
        "request_command",
        "stop_options",
        "stats_file",
        "tool_options",
        "parameters",
        "data",
        "drawing",
    )
    allowed = existing(*(f"commands.{name}" for name in own))
    assert {name for name in modules if name.startswith("llmstream.commands.")} <= allowed


def test_pretty_loads_its_extra_only_to_draw():
    extra = {"rich", "pygments", "markdown_it"}
    modules = llmstream("pretty", "--color", "auto", input="*a*\n")  # in a pipe
    assert not modules & (HEAVY | extra | {"pycurl"} | existing("core.pretty", "core.markdown"))
    modules = llmstream("pretty", "--color", "always", input="*a*\n")
    assert extra | existing("core.pretty.display") <= modules
    assert not [name for name in modules if name.startswith(("pycurl", *existing("net", "dialects", "request")))]


FEATURES = existing("request.conversation", "request.tools", "request.attachments", "core.schema", "providers.prefill")


@pytest.mark.parametrize("api", DIALECTS)
def test_gen_loads_only_the_network_and_its_dialect(api):
    provider_name = "anthropic" if api == "messages" else "openai"
    with Provider([head(), *DIALECTS[api]("Hello")]) as provider:
        modules = imported(RUN, "gen", "-m", f"{provider_name}/m", "--api", api, "Hi", env=at(provider.url))
    assert not modules & (HEAVY | OF_CLICK) - {"datetime"}  # which pycurl loads
    dialects = {name.rpartition(".")[2] for name in modules if name.startswith("llmstream.dialects.")}
    dialects = {name.removesuffix("_output") for name in dialects}
    assert dialects - {"openai"} == {api}  # what chat and responses have in common
    assert not modules & (FEATURES | existing("net.embedded"))


def test_map_loads_the_modules_of_gen_and_of_batch():
    with Provider([head(), *DIALECTS["chat"]("Hello")]) as provider:
        env = at(provider.url, LLMSTREAM_MODEL="openai/m")
        modules = llmstream("map", "--quiet", env=env, input="Hi\n")
        assert len(provider.requests) == 1
    assert not (modules & HEAVY) - imported("import pycurl")
    assert existing("batch.run") <= modules
    assert not modules & ({"tqdm", "hashlib"} | existing("batch.journal", "core.schema", "net.aio"))


def test_readers_of_configurations_and_prompt_files_are_loaded_only_for_them(tmp_path):
    defaults, toml = existing("request.layers"), existing("config.toml") | {"tomllib"}
    readers = toml | defaults | existing("config.keys", "request.prompt_file")
    modules = llmstream("gen", "--dry-run", "Hi", env=environment(LLMSTREAM_MODEL="ollama/m"))
    assert not modules & readers
    path = tmp_path / "config.toml"
    text = 'model = "ollama/m"\n[providers.work]\nbase_url = "https://w.example"\nkey_cmd = "echo k"\n'
    for more, read in [("", set()), ("defaults = { seed = 1 }", defaults)]:
        path.write_text(text + more)
        modules = llmstream("gen", "--dry-run", "Hi", env=environment(LLMSTREAM_CONFIG=str(path)))
        assert readers & modules == toml | read
        assert not modules & HEAVY


def test_features_of_a_request_load_their_own_modules_only():
    with Provider([head(), *DIALECTS["chat"]("Hello")]) as provider:
        env = at(provider.url, LLMSTREAM_MODEL="openai/m")
        modules = llmstream("gen", "--schema", "name", "--attach", str(ROOT / "LICENSE"), "Hi", env=env)
    assert modules & FEATURES == existing("core.schema", "request.attachments")
    assert not (modules & HEAVY) - imported("import pycurl")


def test_a_stream_with_configured_defaults_loads_no_click(tmp_path):
    path = tmp_path / "config.toml"
    with Provider([head(), *DIALECTS["chat"]("Hello")]) as provider:
        path.write_text(f'[providers.w]\nbase_url = "{provider.url}"\n[providers.w.defaults]\ntemperature = 0\n')
        code = "import llmstream; assert llmstream.stream('Hi', 'w/m').read() == 'Hello'"
        modules = imported(code, env=environment(LLMSTREAM_CONFIG=str(path)))
        assert provider.requests[0].json["temperature"] == 0
    assert "llmstream.request.layers" in modules
    assert not [name for name in modules if name.partition(".")[0] in ("click", "openai", "anthropic")]
    assert not [name for name in modules if name.startswith(("llmstream.commands", "llmstream.cli", "llmstream.serve"))]


FORWARD_REFERENCES = """
from typing import ForwardRef
for name, module in list(sys.modules.items()):
    for kind in vars(module).values() if name.startswith("llmstream.") else ():
        if isinstance(kind, type) and issubclass(kind, tuple) and kind.__module__ == name:
            fields = kind.__annotations__.values()
            print(f"{name}.{kind.__name__}", sum(isinstance(field, ForwardRef) for field in fields), file=sys.stderr)
"""


def test_annotations_of_named_tuples_are_not_text():
    """typing compiles each annotation that is text: the first took 1 ms. Such modules have no __future__ import."""
    command = [sys.executable, "-c", f"import sys\n{RUN}\n{FORWARD_REFERENCES}", "gen", "-m", "openai/m", "Hi"]
    with Provider([head(), *DIALECTS["chat"]("Hello")]) as provider:
        done = subprocess.run(command, capture_output=True, text=True, env=at(provider.url))
    counts = dict(line.split() for line in done.stderr.splitlines())
    assert "llmstream.core.request.Request" in counts
    assert {name: count for name, count in counts.items() if int(count)} == {}
