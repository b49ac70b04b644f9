"""The environment of child processes that need no key."""

from __future__ import annotations

import re
from collections.abc import Mapping

from .registry import BUILT_IN, Catalogue

# AWS_SECRET_ACCESS_KEY, LLMSTREAM_SERVE_TOKEN and others that are of no provider
_secret_name = re.compile(r"(?i)(?:\A|_|API)(?:KEYS?|TOKENS?|SECRETS?|PASSWORD|PASSWD|PASSPHRASE)(?:\Z|_)")


def without_keys(env: Mapping[str, str], catalogue: Catalogue = BUILT_IN) -> dict[str, str]:
    """Returns `env` without the variables of the catalogue's keys, and without others whose names say key or token.

    A key_cmd has the whole environment instead: it may need a secret to open a store of passwords.
    """
    rows = (*BUILT_IN.providers.values(), *catalogue.providers.values())
    keys = {name for row in rows for name in (*row.key_env, row.token_env)}
    return {name: value for name, value in env.items() if name not in keys and not _secret_name.search(name)}
