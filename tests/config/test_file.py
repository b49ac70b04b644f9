"""The configuration file: its place, its values, their precedence, keys, and messages about invalid files."""

from __future__ import annotations

import json
import os
import sys
import time
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmstream.config import file as config
from llmstream.config import keys
from llmstream.errors import UsageError
from llmstream.providers.registry import CURL, PROVIDERS, SDK
from llmstream.providers.resolve import resolve
from llmstream.providers.target import Target

from ..conftest import ROOT, environment
from ..support.invoking import invoke
from ..support.loopback import Provider, chat, head, messages, reply

SECRET = "sk-geheim"


@pytest.fixture
def configured(tmp_path):
    """Writes a configuration: configured(text, **variables) returns the environment in which it is used."""

    def configured(text: str, **variables: str) -> dict[str, str]:
        path = tmp_path / "config.toml"
        path.write_text(text)
        return environment(LLMSTREAM_CONFIG=str(path), **variables)

    return configured


@pytest.fixture
def key_file(tmp_path):
    """Writes a file with a key: key_file(data, mode) returns its path."""

    def key_file(data: bytes = SECRET.encode() + b"\n", mode: int = 0o600) -> str:
        path = tmp_path / "key"
        path.write_bytes(data)
        path.chmod(mode)
        return str(path)

    return key_file


def target(env: dict[str, str], name: str | None = None, api: str | None = None) -> Target:
    return resolve(name, api, env, config.read(env).catalogue)


def refusal(env: dict[str, str], name: str | None = None) -> str:
    """Returns the message about an invalid configuration, without the path."""
    with pytest.raises(UsageError) as caught:
        target(env, name)
    return str(caught.value).removeprefix(env["LLMSTREAM_CONFIG"])


# Where it is.


@pytest.mark.parametrize(
    ("variables", "path"),
    [
        ({"LLMSTREAM_CONFIG": "x/c.toml", "XDG_CONFIG_HOME": "/xdg"}, ("x/c.toml", True)),
        ({"LLMSTREAM_CONFIG": "", "XDG_CONFIG_HOME": "/xdg"}, ("/xdg/llmstream/config.toml", False)),
        ({"XDG_CONFIG_HOME": ""}, (os.path.expanduser("~/.config/llmstream/config.toml"), False)),
        ({"XDG_CONFIG_HOME": "relative"}, (os.path.expanduser("~/.config/llmstream/config.toml"), False)),
        ({}, (os.path.expanduser("~/.config/llmstream/config.toml"), False)),
    ],
)
def test_place(variables, path):
    assert config.path_of(variables) == path


def test_no_configuration_is_read_from_the_working_directory(invoke, tmp_path):
    for name in ("config.toml", "llmstream.toml", "llmstream/config.toml", ".config/llmstream/config.toml"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("wrong")
    for home in ("", ".", "relative"):
        env = environment(XDG_CONFIG_HOME=home, HOME="/nonexistent")
        done = invoke("gen", "--dry-run", "-m", "ollama/m", "Hi", env=env, cwd=tmp_path)
        assert (done.returncode, done.stderr) == (0, b"")


def test_a_missing_file_is_an_error_only_if_a_variable_names_it(invoke, tmp_path):
    assert config.read({"XDG_CONFIG_HOME": str(tmp_path)}) == config.Config()
    done = invoke("gen", "-m", "ollama/m", "Hi", env=environment(LLMSTREAM_CONFIG="/no/such"))
    message = b"llmstream gen: cannot read the configuration /no/such: No such file or directory\n"
    assert (done.returncode, done.stderr) == (2, message)


def test_without_a_file_nothing_is_opened_and_tomllib_is_not_loaded(tmp_path):
    import subprocess

    code = (
        "import sys; opened = []; sys.addaudithook(lambda e, a: opened.append(a[0]) if e == 'open' else None)\n"
        "from llmstream.config import file as config; opened.clear(); config.read({'XDG_CONFIG_HOME': sys.argv[1]})\n"
        "print(opened); sys.exit('tomllib' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, cwd=ROOT)
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr


# What it adds and changes.


def test_a_provider_that_the_configuration_adds(invoke, configured, key_file):
    with Provider([head(), *messages("Hello")]) as provider:
        env = configured(f"""
            [aliases]
            mine = "work/sonnet"
            [providers.work]
            base_url = "{provider.url}/"
            api = "messages"
            key_file = "{key_file()}"
            headers = {{ X-Team = "blue", anthropic-version = "2030-01-01", user-agent = "mine" }}
            [providers.work.defaults]
            max_tokens = 7
            stop = "X"
            option = {{ metadata = {{ user_id = "u" }} }}
            [providers.work.models."sonnet"]
            max-tokens = 9
            system = "Be brief."
        """)
        done = invoke("gen", "-m", "mine", "Hi", env=env)
    assert (done.stdout, done.stderr, done.returncode) == (b"Hello\n", b"", 0)
    [request] = provider.requests
    assert request.line == "POST /v1/messages HTTP/1.1"
    assert {k: request.headers.get(k) for k in ("x-api-key", "x-team", "anthropic-version", "user-agent")} == {
        "x-api-key": SECRET, "user-agent": "mine", "x-team": "blue", "anthropic-version": "2030-01-01",
    }  # fmt: skip
    assert request.json == {
        "model": "sonnet", "max_tokens": 9, "system": "Be brief.", "stop_sequences": ["X"], "stream": True,
        "metadata": {"user_id": "u"}, "messages": [{"role": "user", "content": "Hi"}],
    }  # fmt: skip


def test_a_built_in_provider_at_another_address_uses_the_generic_dialect(configured):
    env = configured('[providers.openai]\nbase_url = "https://llm.example/v1"', OPENAI_API_KEY="k")
    assert target(env, "openai/m")[:5] == ("openai", "m", "chat", "https://llm.example/v1/chat/completions", "k")
    assert target(env, "openai/m").row.field_names == {}
    env = configured('[providers.openai]\nbase_url = "https://llm.example/v1"\napi = "responses"')
    assert target(env, "openai/m")[:5] == ("openai", "m", "responses", "https://llm.example/v1/responses", "")


def test_the_address_of_azure_is_completed_as_from_the_environment(configured):
    env = configured('[providers.azure]\nbase_url = "https://x.openai.azure.com"', AZURE_OPENAI_API_KEY="k")
    assert target(env, "azure/m").url == "https://x.openai.azure.com/openai/v1/responses"
    assert target(env, "azure/m").headers() == ["api-key: k"]


def test_azure_at_another_address_without_a_key_uses_its_sdk(configured):
    text = '[providers.azure]\nbase_url = "https://x.openai.azure.com"\nheaders = { X-Team = "blue" }\n'
    found = target(configured(text, AZURE_OPENAI_AD_TOKEN="t"), "azure/m")
    assert (found.row.transport, found.url, found.key) == (SDK, "https://x.openai.azure.com/openai/v1", "t")
    assert found.headers() == ["X-Team: blue"]
    found = target(configured(text + 'key_cmd = "echo k"', AZURE_OPENAI_AD_TOKEN="t"), "azure/m")
    assert (found.row.transport, found.headers()) == (CURL, ["api-key: k", "X-Team: blue"])


def test_a_provider_through_an_sdk_takes_an_address_and_headers_but_no_key(configured):
    text = '[providers.bedrock]\nbase_url = "https://b.example"\nheaders = { X-Team = "blue" }\nmodel = "m"\n'
    found = target(configured(text), "bedrock")
    assert (found.row.transport, found.url, found.headers()) == (SDK, "https://b.example", ["X-Team: blue"])
    for key in ("key_file", "key_cmd", "key_env", "key_header", "api"):
        assert refusal(configured(f'{text}{key} = "chat"'), "bedrock").startswith(":5: providers.bedrock.")


def test_key_header(configured, key_file):
    env = configured(
        f'[providers.w]\nbase_url = "https://w.example"\nkey_header = "X-Key"\nkey_file = "{key_file()}"\nmodel = "m"'
    )
    assert target(env, "w").headers() == [f"X-Key: {SECRET}"]


def test_relative_paths_start_at_the_folder_of_the_configuration(configured, key_file, tmp_path):
    key_file()
    env = configured('model = "local/m.gguf"\naliases = { r = "replay:r.rec" }\n[providers.groq]\nkey_file = "key"')
    assert target(env)[:2] == ("local", str(tmp_path / "m.gguf"))
    assert target(env, "r")[:2] == ("replay", str(tmp_path / "r.rec"))
    assert target(env, "groq/m").key == SECRET


def test_aliases_lead_to_aliases_and_come_before_providers(configured):
    env = configured('[aliases]\na = "b"\nb = "ollama/m"\nopenai = "a"')
    assert [target(env, name)[:2] for name in ("a", "openai")] == [("ollama", "m")] * 2


def test_dry_run_shows_no_value_of_a_header(invoke, configured, key_file):
    env = configured(f'[providers.groq]\nkey_file = "{key_file()}"\nheaders = {{ X-Token = "geheim" }}')
    done = invoke("gen", "--dry-run", "-m", "groq/m", "Hi", env=env)
    assert b"Authorization: Bearer [key]\nX-Token: [hidden]\n" in done.stdout
    assert b"geheim" not in done.stdout


# Precedence, as a table: of all sources that speak, the first counts.

SUBSETS = list(product((False, True), repeat=4))


@pytest.mark.parametrize("speaks", SUBSETS)
def test_precedence_of_the_model(invoke, configured, tmp_path, speaks):
    option, file, variable, configuration = speaks
    prompt = tmp_path / "p.md"
    prompt.write_text('+++\nmodel = "openai/by-file"\n+++\nHi' if file else "Hi")
    env = configured('model = "openai/by-config"' if configuration else "", OPENAI_API_KEY="k")
    env |= {"LLMSTREAM_MODEL": "openai/by-variable"} if variable else {}
    args = ["-m", "openai/by-option"] if option else []
    done = invoke("gen", "--dry-run", "-f", str(prompt), *args, env=env)
    names = ("by-option", "by-file", "by-variable", "by-config")
    expected = next((name for name, is_set in zip(names, speaks, strict=True) if is_set), PROVIDERS["openai"].model)
    assert json.loads(done.stdout.partition(b"\n\n")[2])["model"] == expected


@pytest.mark.parametrize("speaks", SUBSETS)
def test_precedence_of_a_request_option(invoke, configured, tmp_path, speaks):
    option, file, by_model, by_provider = speaks
    prompt = tmp_path / "p.md"
    prompt.write_text("+++\noptions.temperature = 0.2\n+++\nHi" if file else "Hi")
    text = "[providers.lmstudio]\n" + ("models.m.temperature = 0.3\n" if by_model else "")
    env = configured(text + ("defaults = { temperature = 0.4 }\n" if by_provider else ""))
    args = ["-t", "0.1"] if option else []
    done = invoke("gen", "--dry-run", "-m", "lmstudio/m", "-f", str(prompt), *args, env=env)
    expected = next((value for value, is_set in zip((0.1, 0.2, 0.3, 0.4), speaks, strict=True) if is_set), None)
    assert json.loads(done.stdout.partition(b"\n\n")[2]).get("temperature") == expected


@pytest.mark.parametrize(("variable", "configuration"), [*product((False, True), repeat=2)])
def test_precedence_of_the_address(configured, variable, configuration):
    env = configured('[providers.groq]\nbase_url = "https://config.example"' if configuration else "", GROQ_API_KEY="k")
    env |= {"GROQ_BASE_URL": "https://variable.example"} if variable else {}
    host = "variable.example" if variable else "config.example" if configuration else "api.groq.com/openai/v1"
    assert target(env, "groq/m").url == f"https://{host}/chat/completions"


@pytest.mark.parametrize("source", ["key_file", "key_cmd", "key_env"])
@pytest.mark.parametrize("variable", [False, True])
def test_precedence_of_the_key(configured, key_file, source, variable):
    value = {"key_file": key_file(), "key_cmd": f"echo {SECRET}", "key_env": "MINE"}[source]
    more = {"GROQ_API_KEY": "by-variable"} if variable else {}
    env = configured(f'[providers.groq]\n{source} = "{value}"', MINE=SECRET, **more)
    # A key_env replaces the provider's own; a file and a command are used if no variable has the key.
    assert target(env, "groq/m").key == ("by-variable" if variable and source != "key_env" else SECRET)


def test_a_provider_with_a_key_in_the_configuration_is_the_default(configured, key_file):
    assert target(configured(f'[providers.mistral]\nkey_file = "{key_file()}"'))[0] == "mistral"
    assert target(configured('[providers.groq]\nkey_cmd = "echo x"'))[0] == "local"  # no model of its own


# Keys.


def test_a_key_is_sent_to_no_other_host(invoke, configured, key_file):
    text = f"""
        [providers.openai]
        key_file = "{key_file()}"
        headers = {{ X-Token = "{SECRET}" }}
    """
    with Provider([head(), *chat("Hello")]) as compatible_api:
        done = invoke("gen", "-m", "openai/m", "Hi", env=configured(text, OPENAI_BASE_URL=compatible_api.url))
    assert done.returncode == 0, done.stderr
    assert SECRET not in str(compatible_api.requests[0].headers)
    env = configured(text)
    assert SECRET in str(target(env, "openai/m").headers())
    assert all(SECRET not in str(target(env | {"MISTRAL_API_KEY": "k"}, name)) for name in ("mistral/m", "ollama/m"))


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o620, 0o610])
def test_a_key_file_that_others_may_open_is_refused(configured, key_file, mode):
    path = key_file(mode=mode)
    message = refusal(configured(f'[providers.groq]\nkey_file = "{path}"'), "groq/m")
    assert message == f":2: providers.groq.key_file: other users can read {path} (mode {mode:04o}): chmod 600 {path}"


BAD_KEYS = {
    b"": "is empty",
    b"\n": "is empty",
    b"geheim\ngeheim\n": "it contains a line end, a blank or a character that is not ASCII",
    b"geheim\n\n\x7f": "it contains a line end",
    b"geheim geheim": "a blank",
    "gehéim".encode(): "not ASCII",
    b"gehe\xffim": "not ASCII",
    b"gehe\0im": "a line end",
    b"geheim\r\nX-Evil: 1": "a line end",
}


SOURCES = {
    "key_file": "[providers.groq]\nkey_file = 'key'",
    "key_cmd": "[providers.groq]\nkey_cmd = 'cat \"$KEY_FILE\"'",
    "key_env": "[providers.groq]\nkey_env = 'MINE'",
    "own variable": "",
}
# No variable can hold a NUL, and a blank one is as good as none.
IN_VARIABLES = [data for data in BAD_KEYS if data.strip() and b"\0" not in data]


@pytest.mark.parametrize(
    ("source", "data"),
    [*product(("key_file", "key_cmd"), BAD_KEYS), *product(("key_env", "own variable"), IN_VARIABLES)],
)
def test_an_invalid_key_is_refused_and_not_shown(configured, key_file, monkeypatch, source, data):
    monkeypatch.setenv("KEY_FILE", key_file(data))
    variable = {"key_env": "MINE", "own variable": "GROQ_API_KEY"}.get(source)
    env = configured(SOURCES[source], **({variable: os.fsdecode(data)} if variable else {}))
    message = refusal(env, "groq/m")
    assert " is not a valid key: " in message
    assert BAD_KEYS[data] in message or data == b"\n"
    assert "geh" not in message


@pytest.mark.parametrize("data", [b"k", b"k\n", b"k\r\n", b"k\r", b"k\n\n", b" \tk \n", b"\xef\xbb\xbfk\r\n"])
@pytest.mark.parametrize("source", SOURCES)
def test_blanks_and_line_ends_around_a_key_are_removed(configured, key_file, monkeypatch, source, data):
    keys.cache.clear()
    monkeypatch.setenv("KEY_FILE", key_file(data))
    data = data.removeprefix(b"\xef\xbb\xbf")
    variable = {"key_env": "MINE", "own variable": "GROQ_API_KEY"}.get(source)
    env = configured(SOURCES[source], **({variable: os.fsdecode(data)} if variable else {}))
    assert target(env, "groq/m").key == "k"


KEYS_AS_NAMES = ["sk-ant-123", "sk-ant-123456789abcdef", "gsk_3fA9Zk2mQ8rT5vX1", "a b", "$MINE"]


@pytest.mark.parametrize("key", KEYS_AS_NAMES)
def test_a_key_in_place_of_its_variables_name_is_refused_and_not_shown(configured, key):
    for value in (f"'{key}'", f"['MINE', '{key}']"):
        env = configured(f"[providers.anthropic]\nkey_env = {value}")
        expected = ":2: providers.anthropic.key_env: is the name of a variable, not the key: use key_file or key_cmd"
        assert refusal(env, "anthropic/m") == expected
        for args in (["models"], ["gen", "-m", "anthropic/m", "Hi"], ["map", "-m", "anthropic/m"]):
            done = invoke(args, env)
            assert done.returncode == 2
            assert key.encode() not in done.stdout + done.stderr


@pytest.mark.parametrize("key", KEYS_AS_NAMES[1:3])
@pytest.mark.parametrize("source", ["key_file", "key_cmd"])
def test_a_key_in_place_of_a_file_or_a_command_is_refused_and_not_shown(configured, source, key):
    message = refusal(configured(f"[providers.groq]\n{source} = '{key}'"), "groq/m")
    assert ", not the key, and there is no such " in message
    assert key not in message


@pytest.mark.parametrize("key", KEYS_AS_NAMES)
@pytest.mark.parametrize("command", ["gen", "map"])
def test_a_key_as_the_value_of_key_env_is_refused_and_not_shown(command, key):
    done = invoke([command, "-m", "anthropic/m", "--key-env", key], environment(), b"Hi")
    assert done.returncode == 2
    assert b"--key-env is the name of a variable, not the key: " in done.stderr
    assert key.encode() not in done.stderr


def test_other_files_without_a_key(configured, tmp_path):
    os.mkfifo(tmp_path / "fifo", 0o600)
    for name, message in [
        ("none", f"cannot read {tmp_path}/none: No such file or directory"),
        ("fifo", f"{tmp_path}/fifo is not a regular file"),
        (".", f"cannot read {tmp_path}/.: Is a directory"),
    ]:
        assert refusal(configured(f'[providers.groq]\nkey_file = "{name}"'), "groq/m") == (
            f":2: providers.groq.key_file: {message}"
        )


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("exit 3", "failed with status 3"),
        (f"echo {SECRET}; echo one >&2; echo 'no such entry: {SECRET}' >&2; exit 1",
         "failed with status 1: no such entry: [key]"),
        ("kill -9 $$", "was killed by signal 9"),
        ("no-such-program-at-all 2> /dev/null", "failed with status 127"),
    ],
)  # fmt: skip
def test_a_key_command_that_fails_is_reported_in_one_line_without_the_key(invoke, configured, command, message):
    env = configured(f"[providers.groq]\nkey_cmd = {json.dumps(command)}")
    done = invoke("gen", "-m", "groq/m", "Hi", env=env)
    place = f"{env['LLMSTREAM_CONFIG']}:2: providers.groq.key_cmd"
    assert (done.returncode, done.stderr.decode()) == (2, f"llmstream gen: {place}: {message}\n")


def test_a_key_command_in_an_array_runs_without_a_shell(configured):
    env = configured(f'[providers.groq]\nkey_cmd = ["{sys.executable}", "-c", "print(\'$x\')"]')
    assert target(env, "groq/m").key == "$x"
    message = refusal(configured('[providers.groq]\nkey_cmd = ["/no/such"]'), "groq/m")
    assert message == ":2: providers.groq.key_cmd: cannot run /no/such: No such file or directory"


def test_a_key_command_does_not_read_the_prompt(invoke, configured):
    with Provider([head(), *chat("Hello")]) as provider:
        env = configured('[providers.w]\nbase_url = "' + provider.url + '"\nkey_cmd = "cat; echo key"')
        done = invoke("gen", "-m", "w/m", env=env, input=b"the prompt")
    assert done.returncode == 0, done.stderr
    [request] = provider.requests
    assert request.json["messages"][0]["content"] == "the prompt"
    assert request.headers["authorization"] == "Bearer key"


def test_a_key_command_that_hangs_is_killed(configured, monkeypatch):
    monkeypatch.setattr(keys, "KEY_CMD_TIMEOUT_S", 0.2)
    env = configured('[providers.groq]\nkey_cmd = "sleep 60 | cat"')  # cat holds the pipe when the shell is gone
    began = time.monotonic()
    assert "took longer than 0.2 s: does it wait for input?" in refusal(env, "groq/m")
    assert time.monotonic() - began < 10


def test_a_key_command_runs_only_for_its_provider(configured, tmp_path):
    env = configured(f"[providers.groq]\nkey_cmd = \"touch '{tmp_path}/ran'\"")
    target(env, "ollama/m")
    assert not (tmp_path / "ran").exists()


def test_a_configured_key_in_the_provider_s_message_is_hidden(invoke, configured):
    with Provider(reply("401 No", b'{"error": {"message": "wrong key geheim-9 given"}}')) as provider:
        env = configured(f'[providers.w]\nbase_url = "{provider.url}"\nkey_cmd = "echo geheim-9"')
        done = invoke("gen", "-m", "w/m", "Hi", env=env)
    assert done.stderr == b"llmstream gen: w says: wrong key [key] given (HTTP 401)\n"


# Errors name their place, before anything is sent.

W = '[providers.w]\nbase_url = "https://w.example"\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("\nmodel = \n", ":2:9: invalid TOML: Invalid value"),
        ("model = ", ":1: invalid TOML: Invalid value"),
        ("model = 'local'\n[aliases]\nx = [\n1,\n", ":3: invalid TOML: "),
        ("[[aliases.x]]\n[aliases]\ny = 1", ":1: aliases.x: must be a string, not a table"),
        ("[aliases]\nx = \"\"\"\nmodle = 1\n\"\"\"\n[providers.local]\n[x]", ":6: x: there is no such key"),
        ('model = "x"\n\n[aliases', ":3: invalid TOML: Expected ']' at the end of a table declaration"),
        ('model = "local"\nmodel = "local"', ":2:"),
        ("x = " + "[" * 3000, ": arrays or tables are nested too deeply"),
        ("# all\n\nmodle = 'local'", ":3: modle: there is no such key: did you mean model?"),
        ("\r\n# all\r\nmodle = 'local'\r\n", ":3: modle: there is no such key: did you mean model?"),
        ("[alias]", ":1: alias: there is no such key: did you mean aliases?"),
        ("model = 1", ":1: model: must be a string, not an integer"),
        ("model = ''", ":1: model: is empty: set a value, or leave the key out"),
        ("model = 'opnai/m'", ":1: model: unknown provider 'opnai': "),
        ("[aliases]\nx = 1979-05-27", ":2: aliases.x: must be a string, not a date or time"),
        ("[aliases]\nx = 'nobody'", ":2: aliases.x: cannot tell the provider of model 'nobody'"),
        ("[aliases]\na = 'b'\nb = 'a'", ":2: aliases.a: the alias 'a' refers to itself"),
        ("[aliases]\n'a b' = 'local'", ":2: aliases.a b: an alias must be one word"),
        ("aliases = []", ":1: aliases: must be a table, not an array"),
        ("[providers]\nx = 1", ":2: providers.x: must be a table, not an integer"),
        ("\n[providers.opnai]\n", ":2: providers.opnai: a new provider needs a base_url: did you mean openai?"),
        ("[providers.'a/b']", ":1: providers.a/b: a provider's name must consist of letters, digits, - and _"),
        ("[providers.replay]", ":1: providers.replay: a provider's name"),
        ("[providers.local]\nbase_url = 'http://x'", ":2: providers.local.base_url: the embedded model has no address"),
        *(
            (f'{W}{key} = "a\\u0000"', f":3: providers.w.{key}: has the character NUL: leave it out")
            for key in ("key_file", "key_cmd", "key_env", "key_header", "model", "api")
        ),
        (f'{W}key_cmd = ["a", "\\u0000"]', ":3: providers.w.key_cmd: has the character NUL: leave it out"),
        (f"{W}base_ulr = 'x'", ":3: providers.w.base_ulr: there is no such key: did you mean base_url?"),
        *((f"{W}{key} = 'x'", f":3: providers.w.{key}: there is no such key: use key_file or key_cmd")
          for key in ("key", "api_key", "apikey", "token")),
        (f"{W}api = 'chatt'", ":3: providers.w.api: must be one of chat, responses"),
        (f"{W}key_env = []", ":3: providers.w.key_env: must be a string, not an array"),
        (f"{W}key_file = 'x'\nkey_cmd = 'y'", ":4: providers.w.key_cmd: key_file and key_cmd exclude each other"),
        ("[providers.w]\nbase_url = 'w.example'", ":2: providers.w.base_url: is not a URL"),
        ("[providers.w]\nbase_url = 'https://w.example/v1?a=b'", ":2: providers.w.base_url: is not a base URL"),
        ("[providers.w]\nbase_url = 'https://ä'", ":2: providers.w.base_url: is not a URL"),
        (f"{W}[providers.w.headers]\nX-A = '''geheim\nX-B: 2'''", ":4: providers.w.headers.X-A: the value is blank"),
        (f"{W}[providers.w.headers]\n\nX-A = 'gehéim'", ":5: providers.w.headers.X-A: the value is blank"),
        (f"{W}headers = {{ 'X A' = '1' }}", ":3: providers.w.headers.X A: the name of a header"),
        (f"{W}headers = {{ Content-Length = '1' }}", ":3: providers.w.headers.Content-Length: llmstream itself sets"),
        (f"{W}key_header = 'a:b'", ":3: providers.w.key_header: the name of a header"),
        (f"{W}[providers.w.defaults]\ntemprature = 1",
         ":4: providers.w.defaults.temprature: there is no such key: did you mean temperature?"),
        (f"{W}defaults = {{ model = 'x' }}", ":3: providers.w.defaults.model: there is no such key"),
        (f"{W}[providers.w.models.m]\nusage = true", ":4: providers.w.models.m.usage: there is no such key"),
        (f"{W}[providers.w.defaults]\ntemperature = 'hot'", ":4: providers.w.defaults.temperature: must be a number"),
        (f"{W}[providers.w.defaults]\nmax_tokens = 0", ":4: providers.w.defaults.max_tokens: must be a whole number"),
        (f"{W}[providers.w.defaults]\nmax_tokens = 1.5", ":4: providers.w.defaults.max_tokens: must be a whole number"),
        (f"{W}[providers.w.defaults]\nmax_tokens = true", ":4: providers.w.defaults.max_tokens: must be a"),
        (f"{W}[providers.w.defaults]\nsystem = 1", ":4: providers.w.defaults.system: must be a string, not 1"),
        (f"{W}[providers.w.defaults]\nstop = [\n'a',\n1\n]", ":4: providers.w.defaults.stop: must be a string or"),
        (f"{W}[providers.w.defaults]\noption.x = 07:32:00", ":4: providers.w.defaults.option: must be JSON"),
        (f"{W}[providers.w.defaults]\nsystem = '@no/such'", ":4: providers.w.defaults.system: cannot read /"),
    ],
)  # fmt: skip
def test_an_error_names_its_line_and_key(invoke, configured, text, message):
    env = configured(text)
    done = invoke("gen", "-m", "w/m" if "providers.w" in text else "ollama/m", "Hi", env=env)
    assert done.stderr.decode().startswith(f"llmstream gen: {env['LLMSTREAM_CONFIG']}{message}")
    assert (done.returncode, done.stderr.count(b"\n")) == (2, 1)
    assert b"geh" not in done.stderr


def test_invalid_utf8_is_reported_with_its_position(invoke, tmp_path):
    path = tmp_path / "config.toml"
    path.write_bytes(b"\xef\xbb\xbf# a\n# \xff\n")
    done = invoke("gen", "-m", "ollama/m", "Hi", env=environment(LLMSTREAM_CONFIG=str(path)))
    assert (done.returncode, done.stderr.decode()) == (2, f"llmstream gen: {path}:2: invalid UTF-8\n")


def test_a_byte_order_mark_and_crlf_are_accepted(configured):
    assert target(configured('\ufeffmodel = "ollama/m"\r\n'))[:2] == ("ollama", "m")


@given(st.text(st.sampled_from("aé[]{}\"'=.,\n#1 -"), max_size=60) | st.text(max_size=60))
def test_any_text_is_read_or_refused_in_one_line(tmp_path_factory, text):
    path = tmp_path_factory.getbasetemp() / "any.toml"
    path.write_text(text, encoding="utf-8", errors="replace")
    try:
        config.read({"LLMSTREAM_CONFIG": str(path)})
    except UsageError as error:
        assert str(error).startswith(f"{path}:")


VALUES = st.recursive(
    st.sampled_from(["x", "", "local", "https://x", "chat", 1, 1.5, True, []]),
    lambda inner: st.dictionaries(st.sampled_from([*config.TOP, *config.PROVIDER, "openai", "w", "x"]), inner),
    max_leaves=20,
)


@given(st.dictionaries(st.sampled_from(config.TOP), VALUES))
def test_any_table_is_read_or_refused_with_its_place(tmp_path_factory, table):
    path = tmp_path_factory.getbasetemp() / "table.toml"
    path.write_text("".join(f"{key} = {_toml(value)}\n" for key, value in table.items()))
    try:
        config.read({"LLMSTREAM_CONFIG": str(path)})
    except UsageError as error:
        place, line, key = str(error).split(":")[:3]
        assert place == str(path)
        assert path.read_text().splitlines()[int(line) - 1].startswith(key.strip().partition(".")[0])


def _toml(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_toml(one)}" for key, one in value.items()) + "}"
    return json.dumps(value)


@pytest.mark.parametrize(("mode", "is_safe"), [(0o600, True), (0o644, True), (0o646, False), (0o666, False)])
def test_a_file_that_others_can_write_is_read_with_a_warning_but_its_commands_do_not_run(
    invoke, configured, tmp_path, mode, is_safe
):
    for command, status in ("", 0), (f"\nkey_cmd = 'touch {tmp_path}/ran; echo geheim123'", 2):
        env = configured('[providers.w]\nbase_url = "https://w.example/v1"' + command)
        os.chmod(env["LLMSTREAM_CONFIG"], mode)
        done = invoke("gen", "--dry-run", "-m", "w/m", "Hi", env=env)
        warning = f"other users can write {env['LLMSTREAM_CONFIG']} (mode {mode:04o}): chmod go-w"
        assert (done.returncode, warning in done.stderr.decode()) == (0 if is_safe else status, not is_safe)
        assert done.stderr.count(b"\n") == (not is_safe)
        assert (tmp_path / "ran").exists() == (is_safe and bool(command))


def test_a_file_of_another_user(configured, monkeypatch):
    path = configured('model = "ollama/m"')["LLMSTREAM_CONFIG"]
    os.chmod(path, 0o600)
    assert config.read({"LLMSTREAM_CONFIG": path}).warning == ""
    owner = os.stat(path).st_uid
    monkeypatch.setattr(os, "geteuid", lambda: owner + 12345)
    expected = "belongs to another user" if owner else ""
    assert expected in config.read({"LLMSTREAM_CONFIG": path}).warning
