"""Secrets in texts, JSON values, errors and chunks of bytes."""

from __future__ import annotations

from base64 import b64encode, urlsafe_b64encode
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmstream.core.secrets import MAX_URL, Secrets, show_url, url_secrets
from llmstream.errors import Unavailable, option

KEY = "sk-0123456789"


@pytest.mark.parametrize(
    ("secret", "text", "hidden"),
    [
        (KEY, f"no such key: {KEY}", "no such key: [key]"),
        (KEY, f"{KEY},{KEY}", "[key],[key]"),
        (KEY, f"?key={KEY}x", "?key=[key]x"),
        ("abcdefgh", "abcdefgh", "[key]"),
        ("ollama", "ollama", "ollama"),
        ("t", "the text", "the text"),
        ("", "the text", "the text"),
    ],
)
def test_a_long_secret_is_hidden_in_any_text_and_a_short_one_in_none(secret, text, hidden):
    assert Secrets([secret]).hide(text) == hidden


@pytest.mark.parametrize(
    ("secret", "value", "hidden"),
    [("t", "Bearer t", "Bearer [key]"), ("t", "t", "[key]"), ("t", "the text", "the text"), (KEY, KEY, "[key]")],
)
def test_a_credential_hides_short_secrets_too(secret, value, hidden):
    assert Secrets([secret]).hide_credential(value) == hidden


def test_of_two_secrets_the_longer_is_hidden_whole():
    assert Secrets(["abcdefgh", "abcdefgh-i"]).hide("abcdefgh-i abcdefgh") == "[key] [key]"


def test_names_in_json_stay():
    value = {"a-secret": ["a-secret", {"a": "my a-secret"}, 1, None, True]}
    assert Secrets(["a-secret"]).hide_values(value) == {"a-secret": ["[key]", {"a": "my [key]"}, 1, None, True]}


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://h.example/v1/x", "https://h.example/v1/x"),
        ("https://u:p@h.example:8/v1", "https://h.example:8/v1"),
        ("https://token@h.example", "https://h.example"),
        ("https://h.example/a.png?X-Amz-Signature=s", "https://h.example/a.png"),
        ("https://h.example?sig=s#t", "https://h.example"),
        ("https://h.example/#t", "https://h.example/"),
        ("https://h.example/ai/@cf/m", "https://h.example/ai/@cf/m"),
        ("/v1/x?token=s", "/v1/x"),
        ("", ""),
        ("u:p@h:80", "h:80"),
        ("https://u:p/w@h.example", "https://[hidden]"),
        ("https://u:p#w@h.example", "https://[hidden]"),
        ("https://u:p?w@h.example", "https://[hidden]"),
        ("https://u:p@w@h.example", "https://h.example"),
        ("https://u:p@w/x@h.example", "https://[hidden]"),
    ],
)
def test_a_url_is_shown_without_what_may_be_secret(url, shown):
    assert show_url(url) == shown


def test_a_long_url_is_cut():
    assert len(show_url(f"https://h.example/{'x' * 1000}")) == MAX_URL


@given(st.text("abc:@/?#%", max_size=12), st.sampled_from(["http://", ""]), st.sampled_from(["", "u:", "u:a@"]))
def test_no_password_is_shown_wherever_it_must_be_escaped(rest, scheme, user):
    password = f"hush{rest}hush"
    url = f"{scheme}{user or 'u:'}{password}@h.example/x"
    assert "hush" not in show_url(url)
    assert "hush" not in Secrets(url_secrets(url)).hide(f"bad proxy {url}: not {user or 'u:'}{password}")


def test_an_error_keeps_its_class_and_its_marks():
    error = Unavailable(f"{KEY}: {option('timeout')}", max_retries=1, hint="wait")
    hidden = Secrets([KEY]).hide_in_error(error)
    assert (type(hidden), hidden.max_retries, hidden.hint) == (Unavailable, 1, "wait")
    assert hidden.message == f"[key]: {option('timeout')}"
    assert Secrets(["other-key"]).hide_in_error(error) is error


@given(
    st.lists(st.sampled_from([KEY, KEY[:5], KEY[5:], "x", "sk-", "ab" * 4, "ab" * 3]), max_size=8).map("".join),
    st.data(),
)
def test_chunks_hide_what_the_whole_text_hides(text, data):
    stream, out, rest = Secrets([KEY]).stream(), b"", text.encode()
    while rest:
        size = data.draw(st.integers(1, len(rest)))
        out += stream.feed(rest[:size])
        rest = rest[size:]
    assert out + stream.close() == Secrets([KEY]).hide(text).encode()


def test_what_cannot_begin_a_secret_is_not_kept_back():
    stream = Secrets([KEY]).stream()
    assert stream.feed(b"text sk-01") == b"text "
    assert stream.feed(b"no") == b"sk-01no"
    assert stream.close() == b""


def _escaped(key: str, template: str) -> str:
    return "".join(template.format(ord(c)) if number % 2 else c for number, c in enumerate(key))


LONG = "sk-proj_0123/45+67-abc>?\u00e4"
FORMS = {
    "raw": LONG,
    "JSON, half": _escaped(LONG, "\\u{:04x}"),
    "JSON, upper case": "".join(f"\\u{ord(c):04X}" for c in LONG),
    "JSON in JSON": _escaped(LONG, "\\\\u{:04x}"),
    "slash": LONG.replace("/", "\\/"),
    "percent": quote(LONG),
    "percent, all": "".join(f"%{byte:02X}" for byte in LONG.encode()),
    "percent twice": quote(quote(LONG)),
    **{f"base64 {n}": b64encode(b"u" * n + LONG.encode() + b":x").decode() for n in range(4)},
    **{f"urlsafe {n}": urlsafe_b64encode(b"u" * n + LONG.encode()).decode() for n in range(4)},
    "base64 in JSON": b64encode(LONG.encode()).decode().replace("/", "\\/").replace("+", "\\u002b"),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_secret_is_hidden_in_each_form_at_every_cut(form):
    text = 'data: {"a":"é =' + FORMS[form] + '= 100% \\u00e4"}'
    data = text.encode()
    secrets = Secrets([LONG])
    outputs = set()
    for chunks in (
        [data],
        [data[i : i + 1] for i in range(len(data))],
        *([data[:i], data[i:]] for i in range(len(data))),
    ):
        stream = secrets.stream()
        outputs.add(b"".join(map(stream.feed, chunks)) + stream.close())
    assert outputs == {secrets.hide(text).encode()}
    hidden = outputs.pop()
    assert hidden.count(b"[key]") == 1 and hidden.startswith(b'data: {"a":"\xc3\xa9 =')
    assert hidden.endswith(b'= 100% \\u00e4"}') and len(hidden) < 50


@given(st.text(alphabet='\\u00e4%25"/a -', max_size=40), st.integers(0, 40))
def test_escapes_without_a_secret_stay(text, place):
    stream = Secrets(["e4e4e4e4-"]).stream()
    data = text.encode()
    assert stream.feed(data[:place]) + stream.feed(data[place:]) + stream.close() == data


@pytest.mark.parametrize("end", ["%", "%2", "%25", "\\", "\\u00", "\\\\"])
@pytest.mark.parametrize("rest", ["", "5", '"', "\\u0073", "u0041", "%20", " x"])
def test_a_secret_that_ends_in_half_an_escape_is_hidden_at_every_cut(end, rest):
    secrets = Secrets([KEY + end])
    data = f"a {KEY}{end}{rest}".encode()
    outputs = {secrets.hide(data.decode()).encode()}
    for i in range(len(data) + 1):
        stream = secrets.stream()
        outputs.add(stream.feed(data[:i]) + stream.feed(data[i:]) + stream.close())
    assert outputs == {f"a [key]{rest}".encode()}


@given(
    st.lists(st.sampled_from([KEY, f"{KEY}%", f"{KEY}%2", f"{KEY}%2x{KEY}", KEY[:6], "%", "2", "x"]), max_size=6),
    st.integers(0, 90),
)
def test_of_secrets_that_end_in_half_escapes_the_longer_is_hidden_whole(parts, place):
    secrets = Secrets([f"{KEY}%", f"{KEY}%2x{KEY}"])
    data = "".join(parts).encode()
    stream = secrets.stream()
    assert (
        stream.feed(data[:place]) + stream.feed(data[place:]) + stream.close() == secrets.hide(data.decode()).encode()
    )
