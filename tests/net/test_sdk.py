"""The clouds: what arrives there is what the SDK signed, and what comes back goes through our own decoders.

Each test is a process and a server on loopback. Tests of a cloud whose extra is not installed are skipped.
"""

from __future__ import annotations

import json
import os
import re
import select
import subprocess
import threading
from importlib.util import find_spec

import pytest

from .. import eventstream
from ..conftest import LLMSTREAM, environment
from ..loopback import CLOSE, HOLD, RESET, Provider, chat, head, messages, reply, responses

AWS_KEY, AWS_SECRET = "AKIDEXAMPLE", "wJalrXUtnFEMI/EXAMPLEKEY"
FRAMES = head(content_type="application/vnd.amazon.eventstream")
TOKEN = "eyJ-entra-token"


def has(module: str) -> bool:
    return find_spec(module.partition(".")[0]) is not None and find_spec(module) is not None


bedrock = pytest.mark.skipif(not has("boto3"), reason="the extra `bedrock` is not installed")
vertex = pytest.mark.skipif(not has("google.auth"), reason="the extra `vertex` is not installed")
identity = pytest.mark.skipif(not has("azure.identity"), reason="the extra `azure` is not installed")


def aws(url: str, **more: str) -> dict[str, str]:
    """The environment in which Bedrock is the server at `url`, and nothing of AWS's is found elsewhere."""
    keys = {"AWS_ACCESS_KEY_ID": AWS_KEY, "AWS_SECRET_ACCESS_KEY": AWS_SECRET, "AWS_REGION": "eu-west-1"}
    nowhere = {"AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": os.devnull}
    addresses = {"ANTHROPIC_BEDROCK_BASE_URL": url, "ANTHROPIC_BEDROCK_MANTLE_BASE_URL": url}
    return environment(**nowhere, AWS_SHARED_CREDENTIALS_FILE=os.devnull, **keys, **addresses, **more)


def entra(url: str, **more: str) -> dict[str, str]:
    return environment(AZURE_OPENAI_ENDPOINT=url, AZURE_OPENAI_AD_TOKEN=TOKEN, **more)


# What arrives, and what it is answered with.


@bedrock
def test_bedrock_is_asked_with_a_signature_and_answers_in_frames_of_its_own(run):
    with Provider([FRAMES, *eventstream.of_sse(messages("Hé", "llo"))]) as provider:
        model = "eu.anthropic.claude-sonnet-4-5-20250929-v1:0"
        done = run("gen", "-m", f"bedrock/{model}", "-s", "Be brief.", "Hi", env=aws(provider.url))
    assert (done.stdout.decode(), done.stderr, done.returncode) == ("Héllo\n", b"", 0)
    (request,) = provider.requests
    assert request.line == f"POST /model/{model}/invoke-with-response-stream HTTP/1.1"
    signature = request.headers["authorization"]
    assert re.match(rf"AWS4-HMAC-SHA256 Credential={AWS_KEY}/\d{{8}}/eu-west-1/bedrock/aws4_request, ", signature)
    assert "host" in re.search("SignedHeaders=([^,]+)", signature)[1].split(";")
    body = request.json
    assert body.pop("anthropic_version")  # which one, the SDK knows
    assert body == {
        "max_tokens": 32000,
        "messages": [{"role": "user", "content": "Hi"}],
        "system": "Be brief.",
    }


@bedrock
def test_the_signature_is_one_that_aws_would_accept(run):
    """Made once more from what arrived, by botocore, it is the same."""
    with Provider([FRAMES, *eventstream.of_sse(messages("Hello"))]) as provider:
        run("gen", "-m", "bedrock/m", "Grüße", env=aws(provider.url))
    (request,) = provider.requests
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    path = request.line.split()[1]
    signed = re.search("SignedHeaders=([^,]+)", request.headers["authorization"])[1].split(";")
    again = AWSRequest("POST", provider.url + path, {name: request.headers[name] for name in signed}, request.body)
    again.context["timestamp"] = request.headers["x-amz-date"]
    signer = SigV4Auth(Credentials(AWS_KEY, AWS_SECRET), "bedrock", "eu-west-1")
    text = signer.string_to_sign(again, signer.canonical_request(again))
    assert request.headers["authorization"].endswith(f"Signature={signer.signature(text, again)}")


@bedrock
def test_a_bearer_token_of_bedrocks_needs_no_signature(run):
    with Provider([FRAMES, *eventstream.of_sse(messages("Hello"))]) as provider:
        done = run("gen", "-m", "bedrock/m", "Hi", env=aws(provider.url, AWS_BEARER_TOKEN_BEDROCK="bedrock-token"))
    assert done.stdout == b"Hello\n"
    assert provider.requests[0].headers["authorization"] == "Bearer bedrock-token"


@bedrock
def test_bedrock_mantle_speaks_the_messages_api_itself(run):
    with Provider([head(), *messages("Hello")]) as provider:
        done = run("gen", "-m", "bedrock-mantle/anthropic.claude-sonnet-4-5", "Hi", env=aws(provider.url))
    assert (done.stdout, done.stderr, done.returncode) == (b"Hello\n", b"", 0)
    (request,) = provider.requests
    assert request.line == "POST /v1/messages HTTP/1.1"
    assert f"Credential={AWS_KEY}" in request.headers["authorization"]
    assert request.json["model"] == "anthropic.claude-sonnet-4-5"


@pytest.fixture
def service_account(tmp_path):
    """service_account(url): the path of Google credentials whose tokens come from `url`."""

    def write(url: str) -> str:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import rsa

        pem = rsa.generate_private_key(65537, 2048).private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        account = {
            "type": "service_account", "project_id": "rivers", "private_key": pem.decode(), "token_uri": f"{url}/token",
            "client_email": "llmstream@rivers.iam.gserviceaccount.com", "private_key_id": "1", "client_id": "1",
        }  # fmt: skip
        (tmp_path / "account.json").write_text(json.dumps(account))
        return str(tmp_path / "account.json")

    return write


@vertex
def test_vertex_is_asked_with_a_token_of_googles(run, service_account):
    token = reply("200 OK", json.dumps({"access_token": "ya29.google", "expires_in": 3600}).encode())
    with Provider(token, [head(), *messages("Hello")]) as provider:
        env = environment(
            GOOGLE_APPLICATION_CREDENTIALS=service_account(provider.url), CLOUD_ML_REGION="europe-west1",
            ANTHROPIC_VERTEX_PROJECT_ID="rivers", ANTHROPIC_VERTEX_BASE_URL=f"{provider.url}/v1",
        )  # fmt: skip
        done = run("gen", "-m", "vertex/claude-sonnet-4-5@20250929", "Hi", env=env)
    assert (done.stdout, done.stderr, done.returncode) == (b"Hello\n", b"", 0)
    asked, request = provider.requests
    assert asked.line == "POST /token HTTP/1.1"
    place = "/v1/projects/rivers/locations/europe-west1/publishers/anthropic/models"
    assert request.line == f"POST {place}/claude-sonnet-4-5@20250929:streamRawPredict HTTP/1.1"
    assert request.headers["authorization"] == "Bearer ya29.google"
    assert request.json["anthropic_version"]
    assert request.json["stream"] is True


@pytest.mark.parametrize(("api", "answer"), [("responses", responses), ("chat", chat)])
def test_azure_without_a_key_is_asked_with_a_token_of_entras(run, api, answer):
    with Provider([head(), *answer("Hello")]) as provider:
        done = run("gen", "-m", "azure/gpt-5.5", "--api", api, "--max-tokens", "9", "Hi", env=entra(provider.url))
    assert (done.stdout, done.stderr, done.returncode) == (b"Hello\n", b"", 0)
    (request,) = provider.requests
    path = "/openai/v1/chat/completions" if api == "chat" else "/openai/v1/responses"
    assert request.line == f"POST {path} HTTP/1.1"
    assert request.headers["authorization"] == f"Bearer {TOKEN}"
    assert "api-key" not in request.headers
    assert request.json["model"] == "gpt-5.5"


@pytest.mark.parametrize("api", ["responses", "chat"])
def test_the_sdk_sends_the_body_that_our_own_wire_would(run, api):
    """And azure with a key goes over our own wire: the SDK is not even imported."""
    answer = responses("Hello") if api == "responses" else chat("Hello")
    args = ("gen", "-m", "azure/m", "--api", api, "-s", "Be brief.", "-o", "metadata={}", "Grüße \U0001f600")
    with Provider([head(), *answer]) as provider:
        run(*args, env=entra(provider.url))
        run(*args, env=entra(provider.url, AZURE_OPENAI_API_KEY="azure-key"))
    by_sdk, by_wire = provider.requests
    assert by_sdk.json == by_wire.json
    assert (by_wire.headers["api-key"], by_wire.headers["user-agent"][:9]) == ("azure-key", "llmstream")


@identity
@pytest.mark.parametrize("name", ["azure", "foundry"])
def test_without_a_key_and_a_token_azures_own_tools_find_one(run, name):
    """Here a managed identity's, which a machine of Azure's asks its own server for."""
    token = {"access_token": "identity-token", "expires_on": "9999999999", "resource": "r", "token_type": "Bearer"}
    answer = responses("Hello") if name == "azure" else messages("Hello")
    with Provider(reply("200 OK", json.dumps(token).encode()), [head(), *answer]) as provider:
        env = environment(
            IDENTITY_ENDPOINT=f"{provider.url}/identity", IDENTITY_HEADER="secret", AZURE_OPENAI_ENDPOINT=provider.url,
            AZURE_TOKEN_CREDENTIALS="ManagedIdentityCredential", ANTHROPIC_FOUNDRY_BASE_URL=provider.url,
        )  # fmt: skip
        done = run("gen", "-m", f"{name}/m", "Hi", env=env)
    assert (done.stdout, done.stderr, done.returncode) == (b"Hello\n", b"", 0)
    assert provider.requests[1].headers["authorization"] == "Bearer identity-token"


def test_foundry_with_a_key_needs_no_sdk(run):
    with Provider([head(), *messages("Hello")]) as provider:
        env = environment(ANTHROPIC_FOUNDRY_BASE_URL=f"{provider.url}/anthropic", ANTHROPIC_FOUNDRY_API_KEY="key")
        done = run("gen", "-m", "foundry/claude-sonnet-4-5", "Hi", env=env)
    assert (done.stdout, done.returncode) == (b"Hello\n", 0)
    assert provider.requests[0].line == "POST /anthropic/v1/messages HTTP/1.1"
    assert provider.requests[0].headers["x-api-key"] == "key"


@bedrock
def test_events_and_recordings_are_those_of_any_other_provider(run, tmp_path):
    recording = str(tmp_path / "recording")
    with Provider([FRAMES, *eventstream.of_sse(messages("Hé", "llo"))]) as provider:
        env = aws(provider.url)
        done = run("gen", "--events", "--record", recording, "-m", "bedrock/m", "Hi", env=env)
    kinds = [json.loads(line)["type"] for line in done.stdout.splitlines()]
    assert kinds[0] == "start" and set(kinds[1:-2]) == {"text"} and kinds[-2:] == ["usage", "finish"]
    again = run("gen", "--events", "--speed", "0", "-m", f"replay:{recording}", "Hi")
    assert again.stdout == done.stdout
    assert AWS_SECRET.encode() not in (tmp_path / "recording").read_bytes()


# What goes wrong.


@bedrock
@pytest.mark.parametrize("cut", [0, 10, -10])
def test_an_answer_that_is_cut_is_told_from_a_whole_one(run, cut):
    *whole, end, _ = eventstream.of_sse(messages("Hello"))
    with Provider([FRAMES, *whole, end[:cut], CLOSE]) as provider:
        done = run("gen", "-m", "bedrock/m", "Hi", env=aws(provider.url))
    assert (done.stdout, done.returncode) == (b"Hello", 5)
    assert b"breaks off after 5 characters" in done.stderr


@bedrock
def test_a_frame_whose_checksum_is_wrong_cuts_the_answer(run):
    frames = eventstream.of_sse(messages("Hello", "again"))
    broken = bytearray(frames[3])
    broken[-6] ^= 1
    with Provider([FRAMES, *frames[:3], bytes(broken), *frames[4:]]) as provider:
        done = run("gen", "-m", "bedrock/m", "Hi", env=aws(provider.url))
    assert (done.stdout, done.returncode) == (b"Hello", 5)
    assert b"Checksum mismatch" in done.stderr


@bedrock
@pytest.mark.parametrize(
    ("kind", "status"), [("validationException", 3), ("throttlingException", 4), ("internalServerException", 4)]
)
def test_an_error_instead_of_an_answer(run, kind, status):
    with Provider([FRAMES, eventstream.exception(kind, "no rivers today")]) as provider:
        done = run("gen", "--retries", "0", "-m", "bedrock/m", "Hi", env=aws(provider.url))
    assert (done.stdout, done.returncode) == (b"", status)
    assert f"the provider says: no rivers today ({kind})" in done.stderr.decode()


def test_a_connection_that_is_lost_after_text_cuts_the_answer(run):
    said = threading.Event()
    with Provider([head(), *responses("Hello")[:2], said, RESET]) as provider:
        env = entra(provider.url)
        process = subprocess.Popen(
            [*LLMSTREAM, "gen", "-m", "azure/m", "Hi"],
            env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        text = process.stdout.read(5)
        said.set()
        rest, note = process.communicate(timeout=20)
    assert (text + rest, process.returncode) == (b"Hello", 5)
    assert b"breaks off after 5 characters" in note
    assert len(provider.requests) == 1


def test_the_rate_limits_wait_is_ours_and_not_the_sdks(run):
    limit = reply(
        "429 Too Many Requests", b'{"error":{"message":"slow down"}}', "application/json", "Retry-After: 0.01"
    )
    with Provider(limit, [head(), *responses("Hello")]) as provider:
        done = run("gen", "-m", "azure/m", "Hi", env=entra(provider.url))
    assert (done.stdout, done.returncode) == (b"Hello\n", 0)
    assert b"the provider says: slow down (HTTP 429): trying again in 0.0 s (1)" in done.stderr
    with Provider(limit) as provider:
        done = run("gen", "--retries", "0", "-m", "azure/m", "Hi", env=entra(provider.url))
    assert (len(provider.requests), done.returncode) == (1, 4)


def test_a_token_that_is_refused_is_not_shown(run):
    refusal = reply("401 Unauthorized", json.dumps({"error": {"message": f"bad token {TOKEN}"}}).encode())
    with Provider(refusal) as provider:
        done = run("gen", "-m", "azure/m", "Hi", env=entra(provider.url))
    assert done.returncode == 3
    assert done.stderr == b"llmstream gen: the provider says: bad token [key] (HTTP 401)\n"


def test_the_token_follows_no_redirect(run):
    with Provider([head("307 Temporary Redirect", "text/plain", "Location: http://127.0.0.1:9/else")]) as provider:
        done = run("gen", "-m", "azure/m", "Hi", env=entra(provider.url))
    assert (len(provider.requests), done.returncode) == (1, 3)


def test_nobody_listens(run):
    with Provider([]) as provider:
        pass
    done = run("gen", "--retries", "0", "-m", "azure/m", "Hi", env=entra(provider.url))
    assert (done.stdout, done.returncode) == (b"", 4)
    assert re.fullmatch(rb"llmstream gen: cannot reach azure: .*Connection refused\n", done.stderr)


@pytest.mark.parametrize(
    ("option", "status", "script"),
    [("--first-token-timeout", 4, [HOLD]), ("--stall-timeout", 5, [head(), *responses("Hello")[:2], HOLD])],
)
def test_time_outs(run, option, status, script):
    with Provider(script) as provider:
        limit = "3" if option == "--first-token-timeout" else "0.3"  # the import of the SDK counts
        done = run("gen", option, limit, "-m", "azure/m", "Hi", env=entra(provider.url))
        assert provider.left.wait(10)
    assert done.returncode == status
    assert option.encode() in done.stderr


@pytest.mark.parametrize("text", [b"", b"Hello"], ids=["silent", "after text"])
def test_when_the_reader_leaves_the_connection_is_closed(text):
    script = [head(), *responses("Hello")[:2], HOLD] if text else [HOLD]
    with Provider(script) as provider:
        process = subprocess.Popen(
            [*LLMSTREAM, "gen", "-m", "azure/m", "Hi"],
            env=entra(provider.url), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        assert provider.asked.wait(20)
        assert process.stdout.read(len(text)) == text
        process.stdout.close()
        assert provider.left.wait(10)
        assert process.wait(10) == 0
        assert process.stderr.read() == b""
        process.stderr.close()


def test_a_transfer_that_is_ended_closes_its_connection_though_the_process_lives_on():
    """A retry, or one prompt of many: ending is not left to the end of the process."""
    code = """if True:
        import os, sys
        from llmstream import providers
        from llmstream.net.sdk import Sdk
        from llmstream.net.transfer import Ask
        target = providers.resolve("azure/m", None, os.environ)
        sdk = Sdk(target)
        transfer = sdk.send(Ask("POST", target.url, [], {"model": "m"}), 10)
        sys.stdin.readline()
        sdk.end(transfer)
        sys.stdin.readline()
    """
    with Provider([HOLD]) as provider:
        process = subprocess.Popen(
            [LLMSTREAM[0], "-c", code], env=entra(provider.url), stdin=subprocess.PIPE, text=True, bufsize=1
        )
        assert provider.asked.wait(20)
        process.stdin.write("end\n")
        assert provider.left.wait(10)
        assert process.poll() is None
        process.communicate("leave\n", timeout=10)


def test_a_reader_that_is_slow_holds_the_server_back():
    """What nobody has read yet is not piled up here."""
    piece = responses("x" * 65536)[1]
    sent = []

    script = [head(), responses()[0], *[piece] * 2000]
    with Provider(script) as provider:
        do = provider._do
        provider._do = lambda connection, step: (sent.append(step), do(connection, step))
        process = subprocess.Popen(
            [*LLMSTREAM, "gen", "-m", "azure/m", "Hi"],
            env=entra(provider.url), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        assert process.stdout.read(1) == b"x"
        while True:  # until nothing moves any more
            before = len(sent)
            select.select([], [], [], 0.5)
            if len(sent) == before:
                break
        assert len(sent) < 400  # of 2000: kernel buffers, the pipe's, and no more
        process.stdout.close()
        assert process.wait(10) == 0
        process.stderr.close()


# Configuration.


@pytest.mark.parametrize(
    ("model", "module", "extra"),
    [
        ("bedrock/m", "boto3", "bedrock"),
        ("bedrock-mantle/m", "boto3", "bedrock"),
        ("vertex/m", "google", "vertex"),
        ("azure/m", "azure", "azure"),
        ("foundry/m", "azure", "azure"),
    ],
)
def test_without_the_extra_one_line_says_what_to_install(run, tmp_path, model, module, extra):
    (tmp_path / f"{module}.py").write_text("raise ImportError\n")  # found before the real one
    env = environment(AZURE_OPENAI_ENDPOINT="http://127.0.0.1:9", ANTHROPIC_FOUNDRY_BASE_URL="http://127.0.0.1:9")
    env["PYTHONPATH"] = f"{tmp_path}:{env['PYTHONPATH']}"
    done = run("gen", "-m", model, "Hi", env=env)
    assert done.returncode == 2
    line = done.stderr.decode()
    assert line.count("\n") == 1
    assert f"needs the extra `{extra}`: pip install 'llmstream-cli[{extra}]'" in line


@bedrock
@pytest.mark.parametrize(
    ("missing", "says"), [("AWS_REGION", "No AWS region"), ("AWS_SECRET_ACCESS_KEY", "credentials")]
)
def test_what_the_sdk_does_not_find(run, missing, says):
    env = aws("http://127.0.0.1:9")
    del env[missing]
    if missing == "AWS_SECRET_ACCESS_KEY":
        del env["AWS_ACCESS_KEY_ID"]
    done = run("gen", "-m", "bedrock/m", "Hi", env=env)
    assert done.returncode == 2
    assert done.stderr.startswith(b"llmstream gen: cannot sign for bedrock: ")
    assert says in done.stderr.decode()
    assert done.stderr.count(b"\n") == 1


def test_a_cloud_has_one_dialect(run):
    done = run("gen", "-m", "bedrock/m", "--api", "chat", "Hi")
    assert (done.returncode, done.stderr) == (
        2,
        b"llmstream gen: bedrock has no --api chat: it speaks messages\n",
    )


def test_a_dry_run_asks_no_sdk(run):
    done = run("gen", "--dry-run", "-m", "bedrock/m", "Hi")
    assert done.returncode == 0
    assert done.stdout.startswith(b"POST sdk:")
