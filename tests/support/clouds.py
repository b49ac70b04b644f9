"""Environments in which the clouds' SDKs reach servers on loopback."""

from __future__ import annotations

import os

from ..conftest import environment
from . import needs
from .loopback import head

AWS_KEY, AWS_SECRET = "AKIDEXAMPLE", "wJalrXUtnFEMI/EXAMPLEKEY"
FRAMES = head(content_type="application/vnd.amazon.eventstream")
TOKEN = "eyJ-entra-token"


bedrock = needs.package("boto3", "bedrock")
vertex = needs.package("google.auth", "vertex")
identity = needs.package("azure.identity", "azure")


def aws(url: str, **more: str) -> dict[str, str]:
    """Returns the environment in which Bedrock is the server at `url`, without any other AWS configuration."""
    keys = {"AWS_ACCESS_KEY_ID": AWS_KEY, "AWS_SECRET_ACCESS_KEY": AWS_SECRET, "AWS_REGION": "eu-west-1"}
    files = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
    addresses = {"ANTHROPIC_BEDROCK_BASE_URL": url, "ANTHROPIC_BEDROCK_MANTLE_BASE_URL": url}
    others = {name: value for name, value in environment().items() if not name.startswith("AWS_")}
    return others | keys | files | addresses | {"AWS_EC2_METADATA_DISABLED": "true"} | more


def entra(url: str, **more: str) -> dict[str, str]:
    return environment(AZURE_OPENAI_ENDPOINT=url, AZURE_OPENAI_AD_TOKEN=TOKEN, **more)
