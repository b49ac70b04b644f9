"""Fixtures that run the program, the environment in which it runs, and the settings of property tests."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from .support import chunks
from .support.limits import RUN_S

ROOT = Path(__file__).parent.parent
USER_S = ("_API_KEY", "_AUTH_TOKEN", "_BASE_URL", "_ORG_ID", "_PROJECT_ID")  # ends of variables of providers
HIDES_FAULTS = ("PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE")
LLMSTREAM = [sys.executable, "-m", "llmstream"]

# A failure is the last change's, and a busy machine is none.
settings.register_profile("repeatable", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("quick", settings.get_profile("repeatable"), max_examples=20)
settings.load_profile("repeatable")


def pytest_configure(config: pytest.Config) -> None:
    """Tries fewer examples and fewer cuts where slow tests are left out."""
    if "not slow" in config.getoption("markexpr"):
        settings.load_profile("quick")
        chunks.limit = chunks.FEW


MARKED_BY_FIXTURE = {"chromium": "browser", "llamacpp": "model"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks the tests of the browser and of the model by the fixtures that they use."""
    for item in items:
        for fixture, marker in MARKED_BY_FIXTURE.items():
            if fixture in getattr(item, "fixturenames", ()):
                item.add_marker(marker)


def environment(**more: str) -> dict[str, str]:
    """Returns the environment of a user without a key or a configuration, plus `more`; this checkout is imported."""
    env = {k: v for k, v in os.environ.items() if k not in HIDES_FAULTS and not k.endswith(USER_S)}
    env = {k: v for k, v in env.items() if not k.startswith("LLMSTREAM_")}
    return env | {"PYTHONPATH": str(ROOT), "LC_ALL": "C.UTF-8", "XDG_CONFIG_HOME": os.devnull} | more


def at(url: str, **more: str) -> dict[str, str]:
    """Returns the environment in which openai/... and anthropic/... are the server at `url`."""
    keys = {"OPENAI_API_KEY": "sk-test-key", "ANTHROPIC_API_KEY": "sk-ant-test"}
    return environment(OPENAI_BASE_URL=f"{url}/v1", ANTHROPIC_BASE_URL=url, **keys, **more)


Run = Callable[..., subprocess.CompletedProcess[bytes]]


@pytest.fixture
def run() -> Run:
    """Runs llmstream as a process to its end: run(*args, url=..., input=..., env=...)."""

    def run(
        *args: str, url: str = "", input: bytes | None = None, env: dict[str, str] | None = None, **more: object
    ) -> subprocess.CompletedProcess[bytes]:
        env = env or (at(url) if url else environment())
        stdin = {"input": input} if input is not None else {"stdin": subprocess.DEVNULL}
        return subprocess.run([*LLMSTREAM, *args], capture_output=True, env=env, timeout=RUN_S, **stdin, **more)

    return run


@pytest.fixture
def invoke() -> Run:
    """Runs llmstream inside the test's process, which is quicker: invoke(*args, url=..., input=..., env=..., cwd=...).

    For usage, help, precedence, configuration and messages: where no pipe, signal, terminal or descriptor plays a part.
    """
    from .support import invoking

    def invoke(
        *args: str, url: str = "", env: dict[str, str] | None = None, **more: Any
    ) -> subprocess.CompletedProcess[bytes]:
        return invoking.invoke(args, env or (at(url) if url else environment()), **more)

    return invoke


@pytest.fixture(scope="session")
def llamacpp():
    """Starts llama.cpp's own server with the embedded model (tests/support/llamacpp.py); gives its address."""
    pytest.importorskip("xllamacpp", reason="xllamacpp is not installed: pip install '.[local]'")
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.support.llamacpp"],
        cwd=ROOT,
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        url = process.stdout.readline().strip()
        if not url:
            pytest.skip("llama.cpp's server did not start: could the model be downloaded?")
        yield url
        process.stdin.close()
