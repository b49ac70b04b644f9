"""Options of `map`, fields of its records, its providers, and bad usage."""

from __future__ import annotations

import json
import os
import sys

import pytest

from llmstream.core.stop import edge
from llmstream.providers.registry import PROVIDERS

from ..conftest import at, environment
from ..support import needs
from ..support.clouds import TOKEN, entra
from ..support.loopback import CLOSE, DONE, Provider, chat, chat_end, chat_text, head, reply
from ..support.mapping import echo, records_of, run_map, texts_of

# Prompt files.

PROMPT_FILE = """\
#!/usr/bin/env -S llmstream gen -f
+++
system = "Be brief."
[options]
max_tokens = 7
[vars]
to = "French"
+++
Into {{to}}, \\{{to}}, {}:

"""


@pytest.mark.parametrize(
    ("body", "args", "stdin", "prompts"),
    [
        ("", [], "a\nb", ["Into French, {{to}}, {}:\n\na", "Into French, {{to}}, {}:\n\nb"]),
        ("<{{stdin}}>", ["-v", "to=Czech"], "{{to}}", ["Into Czech, {{to}}, {}:\n\n<{{to}}>"]),
        ("<{{args}}>", [], "a", ["Into French, {{to}}, {}:\n\n<a>"]),
        (
            "{{n}} {{prompt}}",
            ["--jsonl", "-v", "to=Czech"],
            '{"prompt": "a", "n": [1.50], "to": "German"}\n{"prompt": "b", "n": "2", "to": null}',
            ["Into German, {{to}}, {}:\n\n[1.50] a", "Into Czech, {{to}}, {}:\n\n2 b"],
        ),
        (
            "{{n}}",
            ["--jsonl"],
            '{"n": 1, "prompt": "a"}\n{"n": 2}',
            ["Into French, {{to}}, {}:\n\n1\n\na", "Into French, {{to}}, {}:\n\n2"],
        ),
    ],
)
def test_a_prompt_file_is_the_template(invoke, tmp_path, body, args, stdin, prompts):
    path = tmp_path / "p.md"
    path.write_text(PROMPT_FILE + body + "\n")
    done, requests = run_map(invoke, "-q", "-f", str(path), *args, input=stdin.encode())
    assert (done.returncode, done.stderr) == (0, b"")
    assert texts_of(done.stdout) == prompts
    assert requests[0].json["messages"][0]["content"] == "Be brief."
    assert requests[0].json["max_tokens"] == 7


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["-f", "p"], "p:2: {{town}} has no value: read objects with --jsonl, or set it with -v"),
        (["-f", "p", "-v", "towm=1"], "p has no {{towm}}: did you mean town?"),
        (["-f", "p", "{}"], "p is the template: leave {} out"),
        (["-f", "-"], "stdin has the prompts, so -f cannot read it: name a file"),
        (["-v", "n=1"], "-v sets the variables of a prompt file: name one with -f"),
    ],
)
def test_a_prompt_file_that_cannot_be_the_template(invoke, tmp_path, args, message):
    (tmp_path / "p").write_text("\nOf {{town}}:")
    done = invoke("map", "-m", "openai/m", *args, input=b"a", cwd=tmp_path, url="http://127.0.0.1:9")
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.decode().splitlines()[0] == f"llmstream map: {message}"


def test_a_record_without_the_field_of_a_prompt_file_fails_alone(invoke, tmp_path):
    (tmp_path / "p").write_text("{{town}}")
    records = b'{"towns": 1}\n{"town": "Basel"}'
    with Provider(echo) as provider:
        done = invoke(
            "map", "-q", "-m", "openai/m", "--jsonl", "-f", "p", input=records, url=provider.url, cwd=tmp_path
        )
    wrong, right = records_of(done.stdout)
    message = "line 1: p:1: {{town}} has no value: use its field towns, or set it with var"
    assert (done.returncode, wrong["error"]["message"], right["text"]) == (2, message, "Basel")


# Files.


@pytest.mark.parametrize(
    ("args", "prompts"),
    [
        ([], ["One\r\ntwo\n", "\ufffd"]),
        (["{name}: <{}>"], ["a: <One\r\ntwo\n>", "b\ufffd\n: <\ufffd>"]),
        (["Sum up {name}."], ["Sum up a.\n\nOne\r\ntwo\n", "Sum up b\ufffd\n.\n\n\ufffd"]),
        (["-f", "file"], ["a: One\r\ntwo", "b\ufffd\n: \ufffd"]),
        (["-f", "short"], ["Sum up.\n\nOne\r\ntwo\n", "Sum up.\n\n\ufffd"]),
    ],
)
def test_files_are_prompts(invoke, tmp_path, args, prompts):
    (tmp_path / "a").write_bytes(b"\xef\xbb\xbfOne\r\ntwo\n\r\n")
    (tmp_path / os.fsdecode(b"b\xff\n")).write_bytes(b"\xff")
    (tmp_path / "file").write_text("{{name}}: {{stdin}}")
    (tmp_path / "short").write_text("Sum up.")
    with Provider(echo) as provider:
        names = b"a\0\0b\xff\n\0"
        command = ("map", "-q", "-0", "--files", "--input", "-m", "openai/m", *args)
        done = invoke(*command, input=names, url=provider.url, cwd=tmp_path)
    assert texts_of(done.stdout) == prompts
    first, second = records_of(done.stdout)
    assert (first["id"], first["line"], first["input"]) == ("a", 1, "a")
    assert (second["id"], second["line"], second["index"]) == ("b\ufffd\n", 3, 1)
    note = b"llmstream map: 1 prompt is not valid UTF-8: invalid bytes are replaced by U+FFFD\n"
    assert (done.returncode, done.stderr) == (0, note)


def test_a_file_that_cannot_be_read_is_the_error_of_its_record(invoke, tmp_path):
    (tmp_path / "good").write_text("Good.")
    (tmp_path / "empty").write_text("\n")
    os.mkfifo(tmp_path / "fifo")  # which would hold up all prompts
    names = b"missing\nempty\n.\n/dev/zero\na\0b\nfifo\ngood"
    with Provider(echo) as provider:
        command = ("map", "-q", "--files", "-m", "openai/m")
        done = invoke(*command, input=names, url=provider.url, cwd=tmp_path)
        named = invoke(*command, "What is in {name}?", input=b"empty\n", url=provider.url, cwd=tmp_path)
    assert records_of(named.stdout)[0]["error"]["message"] == "line 1: empty is empty"
    *wrong, right = records_of(done.stdout)
    assert [record["error"]["message"] for record in wrong] == [
        "line 1: cannot read missing: No such file or directory",
        "line 2: empty is empty",
        "line 3: cannot read .: Is a directory",
        "line 4: /dev/zero is not a regular file",
        r"line 5: cannot read 'a\x00b': this cannot be a file's name",
        "line 6: fifo is not a regular file",
    ]
    assert (done.returncode, right["id"], right["text"]) == (2, "good", "Good.")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--jsonl"], "--jsonl reads an object a line: leave --files out"),
        (["{lang} {}"], "a file has no field lang: {} is its content, and {name} is its name"),
    ],
)
def test_files_go_without_fields_of_objects(invoke, args, message):
    done, _ = run_map(invoke, "--files", *args, input=b"a")
    assert (done.returncode, done.stderr.decode().splitlines()[0]) == (2, f"llmstream map: {message}")


# Statistics.


def test_each_run_appends_its_statistics(invoke, tmp_path):
    def script(request):
        return reply("400 No", b"{}") if request.prompt == "no" else echo(request)

    args = ["-q", "--stats-file", str(tmp_path / "stats"), "--journal", str(tmp_path / "journal")]
    with Provider(script) as provider:
        for prompts in (b"a\nno", b"a\nb"):
            invoke("map", "-m", "openai/m", *args, input=prompts, url=provider.url)
    first, second = records_of((tmp_path / "stats").read_bytes())
    counts = ("done", "earlier", "failed", "unfinished", "input_tokens", "output_tokens", "retries", "status")
    assert [first[name] for name in counts] == [1, 0, 1, 0, 3, 2, 0, 3]
    assert [second[name] for name in counts] == [1, 1, 0, 0, 3, 2, 0, 0]
    assert 0 <= first["ttft"] <= first["ttft_p99"] <= first["seconds"]
    assert first["time"] < second["time"]


def test_statistics_do_not_go_into_the_journal(invoke, tmp_path):
    path = str(tmp_path / "file")
    done, requests = run_map(invoke, "--stats-file", path, "--journal", path, input=b"a")
    message = f"llmstream map: --journal and --stats-file name the same file: {path}\n"
    assert (done.returncode, done.stderr.decode(), requests) == (2, message, [])


@pytest.mark.parametrize(("path", "status", "prompts"), [("/no/such", 2, 0), ("/dev/full", 5, 1)])
def test_statistics_that_cannot_be_written(invoke, path, status, prompts):
    done, requests = run_map(invoke, "-q", "--stats-file", path, input=b"a")
    assert (done.returncode, len(requests), len(records_of(done.stdout))) == (status, prompts, prompts)
    assert done.stderr.startswith(b"llmstream map: cannot write " + path.encode())


# Lines of JSON.


@pytest.mark.parametrize(
    ("option", "answer", "end"),
    [
        (
            ["--json"],
            ' {"a": [1.50, 1E400, -0], "b": "\\u00e9"}\n',
            '"data":{"a":[1.50,1E400,-0],"b":"é"},"finish":"stop"',
        ),
        (
            ["--schema", "a int"],
            '{"a": 12345678901234567890123}',
            '"data":{"a":12345678901234567890123},"finish":"stop"',
        ),
        (["--json"], "Sure: {}", '"data":null,"finish":"stop"'),
        (["--json"], '{"a": NaN}', '"data":null,"finish":"stop"'),
        (["--json"], "[" * 100_000, '"data":null,"finish":"stop"'),
        (["--json"], "[" * 251 + "]" * 251, '"data":null,"finish":"stop"'),
        (["--json"], "[" * 250 + "]" * 250, '"data":' + "[" * 250 + "]" * 250 + ',"finish":"stop"'),
        ([], '{"a": 1}', '"finish":"stop"'),
    ],
    ids=["json", "schema", "prose", "NaN", "open", "deep", "deepest", "text"],
)
def test_data_is_the_value_of_an_answer_in_json(invoke, tmp_path, option, answer, end):
    with Provider(lambda request: [head(), *chat(answer)]) as provider:
        for command in (["map", "-q", "--journal", str(tmp_path / "j")],) * 2 + (["gen", "--line", "Hi"],):
            done = invoke(*command, *option, "-m", "openai/m", input=b"Hi", url=provider.url)
            assert (done.returncode, done.stderr) == (0, b"")
            text = json.dumps(answer, ensure_ascii=False)
            assert done.stdout.decode().partition('"text":')[2].startswith(f"{text},{end},")


def test_a_record_that_has_failed_has_no_data_but_of_its_text(invoke):
    def script(request):
        return reply("400 No", b"{}") if request.prompt == "no" else [head(), chat_text('{"a": 1'), CLOSE]

    done, _ = run_map(invoke, "-q", "--json", "--retries=0", input=b"no\ncut", script=script)
    refused, cut = records_of(done.stdout)
    assert "data" not in refused
    assert (cut["data"], cut["error"]["status"]) == (None, 5)


def test_fields_of_a_record_override_the_options(invoke):
    row = {
        "prompt": "p",
        "id": "x1",
        "system": "row",
        "model": "openai/other",
        "max_tokens": 7,
        "temperature": 0.25,
        "seed": 3,
        "stop": "S",
        "options": {"user": "u", "top_p": 0.5},
        "schema": "name, age int",
    }
    args = ["--jsonl", "-s", "all", "--max-tokens", "1", "-t", "1", "-o", "n=1", "-o", 'user="all"']
    done, (first, second) = run_map(invoke, *args, input=json.dumps(row).encode() + b'\n{"prompt": "q", "id": 2}\n')
    by_prompt = {request.prompt: request.json for request in (first, second)}
    plain, body = by_prompt["q"], by_prompt["p"]
    assert [record["id"] for record in records_of(done.stdout)] == ["x1", 2]
    assert body.pop("response_format")["json_schema"]["schema"]["required"] == ["name", "age"]
    assert body == {
        "model": "other",
        "messages": [{"role": "system", "content": "row"}, {"role": "user", "content": "p"}],
        "max_tokens": 7,
        "temperature": 0.25,
        "seed": 3,
        "stop": ["S"],
        "n": 1,
        "user": "u",
        "top_p": 0.5,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    assert plain == {
        "model": "m",
        "messages": [{"role": "system", "content": "all"}, {"role": "user", "content": "q"}],
        "max_tokens": 1,
        "temperature": 1.0,
        "n": 1,
        "user": "all",
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def test_a_record_may_have_messages(invoke):
    talk = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}]
    rows = [{"messages": talk}, {"messages": talk[:2], "prompt": "d"}, {"prompt": "e", "json": True, "effort": "low"}]
    done, requests = run_map(invoke, "-q", "--jsonl", input="\n".join(map(json.dumps, rows)).encode())
    assert texts_of(done.stdout) == ["c", "d", "e"]
    bodies = {request.prompt: request.json for request in requests}
    assert bodies["c"]["messages"] == talk
    assert bodies["d"]["messages"] == [*talk[:2], {"role": "user", "content": "d"}]
    assert bodies["e"]["response_format"] == {"type": "json_object"}
    assert bodies["e"]["reasoning_effort"] == "low"


def test_an_invalid_record_fails_alone(invoke):
    stdin = b'{"prompt": "a"}\nnonsense\n\n{"prompt": 1, "id": "x"}\n{"prompt": "b", "model": "no/m"}\n{"id": 9}\n'
    done, requests = run_map(invoke, "-q", "--jsonl", input=stdin)
    records = records_of(done.stdout)
    assert [record.get("text") for record in records] == ["a", None, None, None, None]
    assert [record.get("id") for record in records] == [None, None, "x", None, 9]
    messages = [record["error"]["message"] for record in records[1:]]
    assert messages[0] == "line 2: invalid JSON: a value is missing at character 1"
    assert messages[1] == "line 4: prompt must be a string, not 1"
    assert messages[2].startswith("unknown provider 'no'")
    assert messages[3].startswith("line 6: there is no field prompt: ")
    assert {record["error"]["status"] for record in records[1:]} == {2}
    assert (done.returncode, len(requests)) == (2, 1)


def test_key_cmd_runs_once_for_all_records(invoke, tmp_path):
    printed = tmp_path / "printed"
    rows = [{"prompt": "a", "system": str(n)} for n in range(5)] + [{"prompt": "b", "model": "work/b"}] * 5
    with Provider(echo) as provider:
        config = tmp_path / "config.toml"
        config.write_text(
            f'model = "work/m"\n[providers.work]\nbase_url = "{provider.url}"\n'
            f"key_cmd = \"echo x >> '{printed}'; echo key\"\ndefaults = {{ max_tokens = 7 }}\n"
        )
        stdin = "\n".join(map(json.dumps, rows)).encode()
        done = invoke("map", "-q", "--jsonl", input=stdin, env=environment(LLMSTREAM_CONFIG=str(config)))
        assert {request.headers["authorization"] for request in provider.requests} == {"Bearer key"}
        assert {request.json["max_tokens"] for request in provider.requests} == {7}
        assert sorted(request.json["model"] for request in provider.requests) == ["b"] * 5 + ["m"] * 5
    assert texts_of(done.stdout) == ["a"] * 5 + ["b"] * 5
    assert printed.read_text() == "x\n"


# Options in requests.


@pytest.mark.parametrize(
    ("args", "body"),
    [
        (["--json"], {"response_format": {"type": "json_object"}}),
        (["--effort", "low"], {"reasoning_effort": "low"}),
        (["--stop", "X", "--seed", "1"], {"stop": ["X"], "seed": 1}),
        (["-o", "top_p=0.5"], {"top_p": 0.5}),
    ],
)
def test_options_are_in_every_request(invoke, args, body):
    _, requests = run_map(invoke, *args, input=b"a\nb\n")
    assert [request.prompt for request in requests] == ["a", "b"]
    assert all(request.json.items() >= body.items() for request in requests)


def test_a_schema_and_an_attachment_are_in_every_request(invoke, tmp_path):
    (tmp_path / "note.txt").write_text("a note")
    _, requests = run_map(invoke, "--schema", "name", "-a", str(tmp_path / "note.txt"), input=b"a\nb\n")
    assert len(requests) == 2
    for request in requests:
        assert request.json["response_format"]["json_schema"]["schema"]["required"] == ["name"]
        assert "a note" in json.dumps(request.json["messages"])


def test_files_and_urls_are_read_once(invoke, tmp_path):
    talk, tools = tmp_path / "talk.json", tmp_path / "tools.json"
    talk.write_text('[{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]')
    tools.write_text('[{"name": "f"}]')
    rows = [{"prompt": str(n), "max_tokens": n} for n in range(1, 6)]
    opened = []

    def count(event: str, args: tuple) -> None:
        if event == "open" and args[0] in (str(talk), str(tools)):
            opened.append(args[0])

    sys.addaudithook(count)
    with Provider(reply("200 OK", b"a note", "text/plain")) as files:
        args = ["--jsonl", "-a", f"{files.url}/note.txt", "--messages", str(talk), "--tools", str(tools)]
        input = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
        done, requests = run_map(invoke, *args, input=input)
        assert [record["finish"] for record in records_of(done.stdout)] == ["stop"] * 5
        assert all("a note" in json.dumps(request.json["messages"]) for request in requests)
        assert len(files.requests) == 1
    assert sorted(opened) == [str(talk), str(tools)]


def test_a_record_cannot_open_a_file_or_tell_whether_it_exists(invoke, tmp_path):
    for name in ("there.gguf", "there"):
        (tmp_path / name).touch()
    names = [
        f"{scheme}{tmp_path}/{name}" for scheme in ("", "replay:", "local/") for name in ("there.gguf", "none.gguf")
    ]
    for name in names:
        done, requests = run_map(invoke, "--jsonl", input=json.dumps({"prompt": "a", "model": name}).encode())
        assert not requests
        (record,) = records_of(done.stdout)
        message = "line 1: a record cannot name a model that is a file: give it with -m"
        assert record["error"] == {"status": 2, "message": message.replace("-m", "model")}


def test_a_pattern_is_compiled_once(invoke, monkeypatch):
    edge.edge.cache_clear()
    done, requests = run_map(invoke, "--until-regex", "[b-z]+!", input=b"ab!c\n" * 20)
    assert len(requests) == 20
    assert texts_of(done.stdout) == ["ab!"] * 20
    assert edge.edge.cache_info().misses == 1


def test_tool_calls_are_in_the_record(invoke):
    call = {"index": 0, "id": "t1", "function": {"name": "f", "arguments": '{"a"'}}
    more = {"index": 0, "function": {"arguments": ": 1}"}}
    pieces = [
        b"data: " + json.dumps({"choices": [{"index": 0, "delta": {"tool_calls": [c]}}]}).encode() + b"\n\n"
        for c in (call, more)
    ]
    with Provider([head(), *pieces, chat_end("tool_calls"), DONE]) as provider:
        done = invoke("map", "-m", "openai/m", input=b"a\n", url=provider.url)
    (record,) = records_of(done.stdout)
    assert record["tool_calls"] == [{"id": "t1", "name": "f", "arguments": '{"a": 1}'}]
    assert record["finish"] == "tool_calls"


# Providers.


def test_many_providers_and_dialects_in_one_run(invoke):
    models = ["openai/m", "anthropic/m", "lmstudio/m"]
    rows = [{"prompt": model, "model": model} for model in models] * 3
    with Provider(echo) as provider:
        env = at(provider.url, LMSTUDIO_BASE_URL=f"{provider.url}/v1")
        done = invoke("map", "-q", "--jsonl", input="\n".join(map(json.dumps, rows)).encode(), env=env)
        paths = {request.line.split()[1] for request in provider.requests}
    assert texts_of(done.stdout) == models * 3
    assert paths == {"/v1/chat/completions", "/v1/messages"}
    done, (request,) = run_map(invoke, "-q", "--api", "responses", input=b"a")
    assert (texts_of(done.stdout), request.line) == (["a"], "POST /v1/responses HTTP/1.1")


def test_a_recording_plays_for_each_prompt(invoke, tmp_path):
    record = str(tmp_path / "a.rec")
    with Provider([head(), *chat("Hel", "lo")]) as provider:
        invoke("gen", "-m", "openai/m", "--record", record, "Hi", url=provider.url)
    done = invoke("map", "-q", "-m", f"replay:{record}", input=b"a\nb\nc\n")
    assert texts_of(done.stdout) == ["Hello"] * 3
    assert done.returncode == 0


def test_a_cloud_through_its_sdk(run):
    with Provider([head(), *chat("Hello")]) as provider:
        done = run("map", "-q", "-m", "azure/m", "--api", "chat", input=b"a\nb\nc\n", env=entra(provider.url))
        assert [request.headers["authorization"] for request in provider.requests] == [f"Bearer {TOKEN}"] * 3
    assert texts_of(done.stdout) == ["Hello"] * 3
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.model
@needs.package("xllamacpp", "local")
def test_the_embedded_model_answers_many(run):
    prompts = b"Name three rivers.\nName a colour.\nName a town.\n"
    done = run("map", "-m", "local", "-j", "3", "--max-tokens", "5", "-t", "0", input=prompts)
    records = records_of(done.stdout)
    assert [(record["index"], record["usage"]["output_tokens"]) for record in records] == [(0, 5), (1, 5), (2, 5)]
    assert all(record["text"] for record in records)
    assert done.returncode == 0, done.stderr


# Bad usage.


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["{name}"], "a line has no field name: --jsonl reads objects, and {} is the line"),
        (["--jsonl", "-0"], "--jsonl reads an object a line: leave -0 out"),
        (["--events", "--journal", "j"], "--journal and --events exclude each other"),
        (["-j", "0"], "--jobs must be a whole number of at least 1, not 0"),
        (["--rpm", "0"], '--rpm must be a number above 0, not "0"'),
        (["--rpm", "nan"], '--rpm must be a number above 0, not "nan"'),
        (["--tpm", "inf"], '--tpm must be a number above 0, not "inf"'),
        (["--window", "x"], "--window must be a whole number of at least 1"),
        (["--journal", "/"], "cannot write /: Is a directory"),
        (["--journal", "/dev/null"], "the journal /dev/null is not a regular file: name a regular file"),
        (["--messages", "-"], "stdin has the prompts, so no option can read it: name a file"),
        (["-m", "opnai/m"], "unknown provider 'opnai'"),
        (["-m", "groq/m"], "no key for groq: set GROQ_API_KEY"),
        (["--until-regex", "("], "'(' is not a valid regular expression: missing )"),
        (["--schema", "{"], "the schema is not JSON"),
        (["--tools", "/no/such"], "cannot read /no/such"),
        (["a", "b"], "got unexpected extra argument (b)"),
        (["--jbos", "2"], "no such option '--jbos'"),
    ],
)
def test_bad_usage_is_one_clear_line_and_status_2(invoke, tmp_path, args, message):
    with Provider(echo) as provider:
        done = invoke("map", "-m", "openai/m", *args, input=b"a\n", url=provider.url, cwd=tmp_path)
        assert provider.requests == []
    assert (done.returncode, done.stdout) == (2, b"")
    assert message in done.stderr.decode()
    assert done.stderr.count(b"\n") == 1


OTHER_BATCHES = [name for name, row in PROVIDERS.items() if not row.batches]


@pytest.mark.parametrize("provider", OTHER_BATCHES)
def test_a_provider_whose_batches_are_not_openai_s_is_refused_before_anything_is_sent(invoke, tmp_path, provider):
    key = {PROVIDERS[provider].key_env[0]: "k"}
    args = ("map", "-m", f"{provider}/m", "--batch", "--journal", str(tmp_path / "journal"))
    with Provider([CLOSE]) as server:
        env = environment(**key, **{PROVIDERS[provider].url_env: server.url})
        done = invoke(*args, input=b"Hi\n", env=env)
        assert (done.returncode, done.stdout, server.requests) == (2, b"", [])
    others = "openai, anthropic, azure or groq"
    message = f"llmstream map: {provider} does not have the batches of OpenAI: name a model of {others}\n"
    assert done.stderr.decode() == message
