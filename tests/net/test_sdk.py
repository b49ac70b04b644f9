"""The clouds: what arrives there is what the SDK signed, and what comes back goes through our own decoders.

Each test is a process and a server on loopback. Tests of a cloud whose extra is not installed are skipped.
"""

from __future__ import annotations

import json
import re

import pytest

from ..conftest import environment
from ..support import eventstream
from ..support.clouds import AWS_KEY, AWS_SECRET, FRAMES, TOKEN, aws, bedrock, entra, identity, vertex
from ..support.loopback import Provider, chat, head, messages, reply, responses

pytestmark = pytest.mark.clouds

# What arrives, and what it is answered with.


@bedrock
def test_bedrock_is_asked_with_a_signature_and_answers_in_frames_of_its_own(invoke):
    with Provider([FRAMES, *eventstream.of_sse(messages("Hé", "llo"))]) as provider:
        model = "eu.anthropic.claude-sonnet-4-5-20250929-v1:0"
        done = invoke("gen", "-m", f"bedrock/{model}", "-s", "Be brief.", "Hi", env=aws(provider.url))
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
def test_the_signature_is_one_that_aws_would_accept(invoke):
    """Made once more from what arrived, by botocore, it is the same."""
    with Provider([FRAMES, *eventstream.of_sse(messages("Hello"))]) as provider:
        invoke("gen", "-m", "bedrock/m", "Grüße", env=aws(provider.url))
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
def test_a_bearer_token_of_bedrocks_needs_no_signature(invoke):
    with Provider([FRAMES, *eventstream.of_sse(messages("Hello"))]) as provider:
        done = invoke("gen", "-m", "bedrock/m", "Hi", env=aws(provider.url, AWS_BEARER_TOKEN_BEDROCK="bedrock-token"))
    assert done.stdout == b"Hello\n"
    assert provider.requests[0].headers["authorization"] == "Bearer bedrock-token"


@bedrock
def test_bedrock_mantle_speaks_the_messages_api_itself(invoke):
    with Provider([head(), *messages("Hello")]) as provider:
        done = invoke("gen", "-m", "bedrock-mantle/anthropic.claude-sonnet-4-5", "Hi", env=aws(provider.url))
    assert (done.stdout, done.stderr, done.returncode) == (b"Hello\n", b"", 0)
    (request,) = provider.requests
    assert request.line == "POST /v1/messages HTTP/1.1"
    assert f"Credential={AWS_KEY}" in request.headers["authorization"]
    assert request.json["model"] == "anthropic.claude-sonnet-4-5"


@bedrock
def test_what_is_configured_and_what_is_asked_beyond_a_prompt_go_through_the_sdk(invoke, tmp_path):
    with Provider([FRAMES, *eventstream.of_sse(messages('{"name":"Rhine"}'))]) as provider:
        path = tmp_path / "config.toml"
        path.write_text(f"""
            aliases = {{ river = "bedrock/eu.anthropic.claude-sonnet-4-5-20250929-v1:0" }}
            [providers.bedrock]
            base_url = "{provider.url}"
            headers = {{ X-Team = "blue" }}
            defaults = {{ schema = "name", effort = "low" }}
        """)
        done = invoke("gen", "-m", "river", "Hi", env=aws("", LLMSTREAM_CONFIG=str(path)))
    assert (done.stdout, done.stderr, done.returncode) == (b'{"name":"Rhine"}\n', b"", 0)
    (request,) = provider.requests
    assert request.headers["x-team"] == "blue"
    assert f"Credential={AWS_KEY}" in request.headers["authorization"]
    assert request.json["output_config"]["format"]["schema"]["required"] == ["name"]
    assert request.json["thinking"] == {"type": "enabled", "budget_tokens": 2048}


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
def test_vertex_is_asked_with_a_token_of_googles(invoke, service_account):
    token = reply("200 OK", json.dumps({"access_token": "ya29.google", "expires_in": 3600}).encode())
    with Provider(token, [head(), *messages("Hello")]) as provider:
        env = environment(
            GOOGLE_APPLICATION_CREDENTIALS=service_account(provider.url), CLOUD_ML_REGION="europe-west1",
            ANTHROPIC_VERTEX_PROJECT_ID="rivers", ANTHROPIC_VERTEX_BASE_URL=f"{provider.url}/v1",
        )  # fmt: skip
        done = invoke("gen", "-m", "vertex/claude-sonnet-4-5@20250929", "Hi", env=env)
    assert (done.stdout, done.stderr, done.returncode) == (b"Hello\n", b"", 0)
    asked, request = provider.requests
    assert asked.line == "POST /token HTTP/1.1"
    place = "/v1/projects/rivers/locations/europe-west1/publishers/anthropic/models"
    assert request.line == f"POST {place}/claude-sonnet-4-5@20250929:streamRawPredict HTTP/1.1"
    assert request.headers["authorization"] == "Bearer ya29.google"
    assert request.json["anthropic_version"]
    assert request.json["stream"] is True


@pytest.mark.parametrize(("api", "answer"), [("responses", responses), ("chat", chat)])
def test_azure_without_a_key_is_asked_with_a_token_of_entras(invoke, api, answer):
    with Provider([head(), *answer("Hello")]) as provider:
        done = invoke("gen", "-m", "azure/gpt-5.5", "--api", api, "--max-tokens", "9", "Hi", env=entra(provider.url))
    assert (done.stdout, done.stderr, done.returncode) == (b"Hello\n", b"", 0)
    (request,) = provider.requests
    path = "/openai/v1/chat/completions" if api == "chat" else "/openai/v1/responses"
    assert request.line == f"POST {path} HTTP/1.1"
    assert request.headers["authorization"] == f"Bearer {TOKEN}"
    assert "api-key" not in request.headers
    assert request.json["model"] == "gpt-5.5"


@pytest.mark.parametrize("api", ["responses", "chat"])
def test_the_sdk_sends_the_body_that_our_own_wire_would(invoke, api):
    """And azure with a key goes over our own wire: the SDK is not even imported."""
    answer = responses("Hello") if api == "responses" else chat("Hello")
    args = ("gen", "-m", "azure/m", "--api", api, "-s", "Be brief.", "-o", "metadata={}", "Grüße \U0001f600")
    with Provider([head(), *answer]) as provider:
        invoke(*args, env=entra(provider.url))
        invoke(*args, env=entra(provider.url, AZURE_OPENAI_API_KEY="azure-key"))
    by_sdk, by_wire = provider.requests
    assert by_sdk.json == by_wire.json
    assert (by_wire.headers["api-key"], by_wire.headers["user-agent"][:9]) == ("azure-key", "llmstream")


@identity
@pytest.mark.parametrize("name", ["azure", "foundry"])
def test_without_a_key_and_a_token_azures_own_tools_find_one(invoke, name):
    """Here a managed identity's, which a machine of Azure's asks its own server for."""
    token = {"access_token": "identity-token", "expires_on": "9999999999", "resource": "r", "token_type": "Bearer"}
    answer = responses("Hello") if name == "azure" else messages("Hello")
    with Provider(reply("200 OK", json.dumps(token).encode()), [head(), *answer]) as provider:
        env = environment(
            IDENTITY_ENDPOINT=f"{provider.url}/identity", IDENTITY_HEADER="secret", AZURE_OPENAI_ENDPOINT=provider.url,
            AZURE_TOKEN_CREDENTIALS="ManagedIdentityCredential", ANTHROPIC_FOUNDRY_BASE_URL=provider.url,
        )  # fmt: skip
        done = invoke("gen", "-m", f"{name}/m", "Hi", env=env)
    assert (done.stdout, done.stderr, done.returncode) == (b"Hello\n", b"", 0)
    assert provider.requests[1].headers["authorization"] == "Bearer identity-token"


def test_foundry_with_a_key_needs_no_sdk(invoke):
    with Provider([head(), *messages("Hello")]) as provider:
        env = environment(ANTHROPIC_FOUNDRY_BASE_URL=f"{provider.url}/anthropic", ANTHROPIC_FOUNDRY_API_KEY="key")
        done = invoke("gen", "-m", "foundry/claude-sonnet-4-5", "Hi", env=env)
    assert (done.stdout, done.returncode) == (b"Hello\n", 0)
    assert provider.requests[0].line == "POST /anthropic/v1/messages HTTP/1.1"
    assert provider.requests[0].headers["x-api-key"] == "key"


@bedrock
def test_events_and_recordings_are_those_of_any_other_provider(invoke, tmp_path):
    recording = str(tmp_path / "recording")
    with Provider([FRAMES, *eventstream.of_sse(messages("Hé", "llo"))]) as provider:
        env = aws(provider.url)
        done = invoke("gen", "--events", "--record", recording, "-m", "bedrock/m", "Hi", env=env)
    kinds = [json.loads(line)["type"] for line in done.stdout.splitlines()]
    assert kinds[0] == "start" and set(kinds[1:-2]) == {"text"} and kinds[-2:] == ["usage", "finish"]
    again = invoke("gen", "--events", "--speed", "0", "-m", f"replay:{recording}", "Hi")
    assert again.stdout == done.stdout
    assert AWS_SECRET.encode() not in (tmp_path / "recording").read_bytes()


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
    """Runs processes, because boto3 keeps the credentials that it has found."""
    env = aws("http://127.0.0.1:9")
    del env[missing]
    if missing == "AWS_SECRET_ACCESS_KEY":
        del env["AWS_ACCESS_KEY_ID"]
    done = run("gen", "-m", "bedrock/m", "Hi", env=env)
    assert done.returncode == 2
    assert done.stderr.startswith(b"llmstream gen: cannot sign for bedrock (")
    assert says in done.stderr.decode()
    assert done.stderr.endswith(b": set AWS_REGION, and credentials as for the command `aws`\n")
    assert done.stderr.count(b"\n") == 1


def test_a_cloud_has_one_dialect(invoke):
    done = invoke("gen", "-m", "bedrock/m", "--api", "chat", "Hi")
    assert (done.returncode, done.stderr) == (
        2,
        b"llmstream gen: bedrock has no --api chat: it speaks messages\n",
    )


def test_a_dry_run_asks_no_sdk(invoke):
    done = invoke("gen", "--dry-run", "-m", "bedrock/m", "Hi")
    assert done.returncode == 0
    assert done.stdout.startswith(b"POST sdk:")
