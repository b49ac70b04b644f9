"""`--resume-cut`: what comes after a cut is the rest, the whole rest, and nothing of it twice."""

from __future__ import annotations

import pytest

from ..conftest import environment
from ..support.loopback import HOLD, RESET, Provider, chat, chat_text, frame, head, messages, reply

AGAIN = ["--resume-cut", "--max-retry-wait", "0.01"]
TEXTS = ["Hello, ", "wör", "ld", "\n\nAnd ", "more."]
SAID = "".join(TEXTS)


def background(*texts: str, first: int = 0) -> list[bytes]:
    """A numbered background response, or its rest; the created event is number 0."""
    events = [{"type": "response.created", "response": {"id": "resp_1", "model": "m"}}]
    events += [{"type": "response.output_text.delta", "delta": text} for text in TEXTS]
    events += [
        {"type": "response.completed", "response": {"id": "resp_1", "usage": {"input_tokens": 3, "output_tokens": 9}}}
    ]
    return [frame(event | {"sequence_number": number}) for number, event in enumerate(events)][first:]


@pytest.mark.parametrize("ending", [[], [RESET], [b'data: {"type": "resp']])
@pytest.mark.parametrize("seen", range(2, len(TEXTS) + 2))
def test_a_background_response_goes_on_after_the_last_event_seen(invoke, seen, ending):
    broken, rest = [head(), *background()[:seen], *ending], [head(), *background(first=seen)]
    with Provider(broken, rest) as provider:
        env = environment(AZURE_OPENAI_ENDPOINT=provider.url, AZURE_OPENAI_API_KEY="k")
        done = invoke("gen", "-m", "azure/m", *AGAIN, "Hi", env=env)
        first, second = provider.requests
    assert (done.stdout.decode(), done.returncode) == (SAID + "\n", 0)
    assert b": requesting the rest now\n" in done.stderr
    assert first.json["background"] is first.json["store"] is True
    assert second.line == f"GET /openai/v1/responses/resp_1?stream=true&starting_after={seen - 1} HTTP/1.1"
    assert second.headers["api-key"] == "k"


def test_a_background_response_replayed_too_early_repeats_nothing(invoke):
    with Provider([head(), *background()[:4]], [head(), *background(first=1)]) as provider:
        env = environment(AZURE_OPENAI_ENDPOINT=provider.url, AZURE_OPENAI_API_KEY="k")
        assert invoke("gen", "-m", "azure/m", *AGAIN, "Hi", env=env).stdout.decode() == SAID + "\n"


def test_a_background_response_is_cancelled_when_we_leave(invoke):
    with Provider([head(), *background()[:4], HOLD], reply("200 OK", b"{}")) as provider:
        env = environment(AZURE_OPENAI_ENDPOINT=provider.url, AZURE_OPENAI_API_KEY="k")
        done = invoke("gen", "-m", "azure/m", *AGAIN, "--stall-timeout=0.1", "--retries=0", "Hi", env=env)
        lines = [request.line for request in provider.requests]
    assert done.returncode == 5
    assert lines[1:] == ["POST /openai/v1/responses/resp_1/cancel HTTP/1.1"]


@pytest.mark.parametrize(
    ("model", "variable", "message", "more"),
    [
        ("groq/m", "GROQ_BASE_URL", {}, {}),
        ("mistral/m", "MISTRAL_BASE_URL", {"prefix": True}, {}),
        ("vllm/m", "VLLM_BASE_URL", {}, {"continue_final_message": True, "add_generation_prompt": False}),
    ],
)
def test_a_prefilled_message_goes_on(invoke, model, variable, message, more):
    with Provider([head(), *map(chat_text, TEXTS[:3])], [head(), *chat(*TEXTS[3:])]) as provider:
        key = {"GROQ_API_KEY": "k", "MISTRAL_API_KEY": "k"}
        done = invoke("gen", "-m", model, *AGAIN, "Hi", env=environment(**{variable: provider.url}, **key))
        first, second = provider.requests
    assert (done.stdout.decode(), done.returncode) == (SAID + "\n", 0), done.stderr
    partial = {"role": "assistant", "content": "".join(TEXTS[:3]), **message}
    assert second.json == first.json | {"messages": [*first.json["messages"], partial]} | more


MISTRAL = ["gen", "-m", "mistral/m", *AGAIN, "Hi"]


def mistral(url: str) -> dict[str, str]:
    return environment(MISTRAL_BASE_URL=url, MISTRAL_API_KEY="sk-mistral")


@pytest.mark.parametrize("rest", [[SAID], [*TEXTS], ["Hello, wörld" + TEXTS[3], *TEXTS[4:]], [*TEXTS[3:]]])
def test_what_mistral_says_again_is_left_out(invoke, rest):
    with Provider([head(), *map(chat_text, TEXTS[:3])], [head(), *chat(*rest)]) as provider:
        assert invoke(*MISTRAL, env=mistral(provider.url)).stdout.decode() == SAID + "\n"


def test_what_was_held_at_the_seam_is_not_lost(invoke):
    with Provider([head(), chat_text("Hello")], [head(), chat_text("Hel")]) as provider:
        done = invoke(*MISTRAL, "--retries=1", env=mistral(provider.url))
    assert (done.stdout, done.returncode) == (b"HelloHel", 5)
    assert b"after 8 characters" in done.stderr


def test_what_the_rest_holds_until_its_end_is_not_lost(invoke):
    with Provider([head(), chat_text("1 ")], [head(), *chat("<")]) as provider:
        env = environment(GROQ_BASE_URL=provider.url, GROQ_API_KEY="k")
        assert invoke("gen", "-m", "groq/m", *AGAIN, "Hi", env=env).stdout == b"1 <\n"


def test_words_that_come_twice_stay(invoke):
    with Provider([head(), chat_text("ha")], [head(), *chat("ha", "!")]) as provider:
        assert (
            invoke(
                "gen", "-m", "groq/m", *AGAIN, "Hi", env=environment(GROQ_BASE_URL=provider.url, GROQ_API_KEY="k")
            ).stdout
            == b"haha!\n"
        )


def test_a_busy_server_is_asked_for_the_rest_again(invoke):
    busy = reply("503 Busy", b"{}", "application/json", "Retry-After: 0")
    with Provider([head(), chat_text("Hello, ")], busy, busy, [head(), *chat("you")]) as provider:
        done = invoke(
            "gen", "-m", "groq/m", *AGAIN, "Hi", env=environment(GROQ_BASE_URL=provider.url, GROQ_API_KEY="k")
        )
    assert (done.stdout, done.returncode) == (b"Hello, you\n", 0), done.stderr


def test_the_user_s_own_fields_count_for_more(invoke):
    with Provider([head(), *background()]) as provider:
        env = environment(AZURE_OPENAI_ENDPOINT=provider.url, AZURE_OPENAI_API_KEY="k")
        args = ["gen", "-m", "azure/m", *AGAIN, "-o", "store=false", "Hi"]
        shown = invoke(*args, "--dry-run", env=env).stdout.decode()
        invoke(*args, env=env)
        assert provider.requests[0].json["store"] is False
    assert '"store": false' in shown
    assert '"background": true' in shown


@pytest.mark.parametrize("rest", [["  more"], [" ", " more"], ["more"], [" more"]])
def test_blanks_at_the_seam_are_there_once(invoke, rest):
    """Claude takes no blanks at the end of a prefilled message; they may or may not come again."""
    with Provider([head(), *messages("Hello  ")[:3]], [head(), *messages(*rest)]) as provider:
        env = environment(ANTHROPIC_BASE_URL=provider.url, ANTHROPIC_API_KEY="k")
        done = invoke("gen", "-m", "claude-haiku-4-5", *AGAIN, "Hi", env=env)
        assert provider.requests[1].json["messages"][-1] == {"role": "assistant", "content": "Hello"}
    assert (done.stdout, done.returncode) == (b"Hello  more\n", 0)


def test_several_cuts(invoke):
    scripts = [[head(), chat_text(text)] for text in TEXTS]
    with Provider(*scripts[:-1], [head(), *chat(TEXTS[-1])]) as provider:
        done = invoke(
            "gen", "-m", "groq/m", *AGAIN, "Hi", env=environment(GROQ_BASE_URL=provider.url, GROQ_API_KEY="k")
        )
    assert (done.stdout.decode(), done.returncode) == (SAID + "\n", 0)


@pytest.mark.parametrize(
    ("second", "message"),
    [
        (reply("404 Not Found", b'{"error": "gone"}'), "groq at HOST says: gone (HTTP 404): the answer breaks off"),
        ([head()], "the stream ended before its end mark: the answer breaks off"),
        ([HOLD], "no data for 0.2 s (--stall-timeout): the answer breaks off"),
    ],
)
def test_a_rest_that_does_not_come_is_a_cut(invoke, second, message):
    with Provider([head(), chat_text("Hello")], second) as provider:
        args = [*AGAIN, "--retries=1", "--stall-timeout=0.2"]
        done = invoke("gen", "-m", "groq/m", *args, "Hi", env=environment(GROQ_BASE_URL=provider.url, GROQ_API_KEY="k"))
    assert (done.stdout, done.returncode) == (b"Hello", 5)
    message = message.replace("HOST", provider.url.removeprefix("http://"))
    assert done.stderr.decode().splitlines()[-1] == f"llmstream gen: {message} after 5 characters"


@pytest.mark.parametrize(
    ("args", "first"),
    [
        (["-m", "llamacpp/m", "--api=responses"], [frame({"type": "response.output_text.delta", "delta": "Hello"})]),
        (
            ["-m", "ollama/m", "--api=chat"],
            [frame({"choices": [{"index": 0, "delta": {"reasoning": "hm"}}]}), chat_text("Hello")],
        ),
        (["-m", "ollama/m", "--api=chat", "-o", 'response_format={"type": "json_object"}'], [chat_text("Hello")]),
        (["-m", "claude-opus-5", "--api=messages"], messages("Hello")[:3]),
        (["-m", "together/m"], [chat_text("Hello")]),
    ],
)
def test_where_there_is_no_going_on_exactly_the_answer_is_cut(invoke, args, first):
    with Provider([head(), *first], reply("404 Not Found", b"{}")) as provider:
        bases = dict.fromkeys(
            ("ANTHROPIC_BASE_URL", "OLLAMA_HOST", "TOGETHER_BASE_URL", "LLAMACPP_BASE_URL"), provider.url
        )
        done = invoke("gen", *args, *AGAIN, "Hi", env=environment(ANTHROPIC_API_KEY="k", TOGETHER_API_KEY="k", **bases))
        again = [request.line for request in provider.requests[1:] if request.line.startswith("POST")]
    assert (done.stdout, done.returncode, again) == (b"Hello", 5, [])


@pytest.mark.parametrize("place", ["prompt file", "configuration"])
def test_a_prompt_file_or_the_configuration_can_ask_for_it(invoke, tmp_path, place):
    def script(request):
        return (
            [head(), *chat("lo")] if request.json["messages"][-1]["role"] == "assistant" else [head(), chat_text("Hel")]
        )

    (tmp_path / "p.md").write_text(
        "+++\n[options]\nresume-cut = true\nmax-retry-wait = 0.01\n+++\nHi" if place == "prompt file" else "Hi"
    )
    (tmp_path / "config.toml").write_text(
        "[providers.vllm.defaults]\nresume_cut = true\n" if place == "configuration" else ""
    )
    with Provider(script) as provider:
        env = environment(
            VLLM_BASE_URL=f"{provider.url}/v1", LLMSTREAM_MODEL="vllm/m", LLMSTREAM_CONFIG=str(tmp_path / "config.toml")
        )
        done = invoke("gen", "-f", str(tmp_path / "p.md"), "--max-retry-wait=0.01", env=env)
    assert (done.stdout, done.returncode) == (b"Hello\n", 0)
