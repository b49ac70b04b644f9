"""The limit of open files, raised as far as the system allows."""

from __future__ import annotations

import resource

import pytest

from llmstream import stdio

UNLIMITED = resource.RLIM_INFINITY


@pytest.mark.parametrize(
    ("soft", "hard", "system_limit", "raised"),
    [
        (1024, 4096, UNLIMITED, 4096),
        (1024, UNLIMITED, UNLIMITED, 65536),
        (1024, 10**6, UNLIMITED, 65536),
        (256, UNLIMITED, 10240, 10240),  # macOS
        (64, 64, UNLIMITED, 64),
        (1024, 4096, 0, 1024),  # nothing may be raised
        (UNLIMITED, UNLIMITED, 0, 65536),
        (10**6, 10**6, 0, 65536),
    ],
)
def test_the_limit_of_open_files_is_raised_as_far_as_it_goes(monkeypatch, soft, hard, system_limit, raised):
    limits = [(soft, hard)]

    def setrlimit(which, new):
        if system_limit != UNLIMITED and new[0] > system_limit:
            raise ValueError("current limit exceeds maximum limit")
        limits.append(new)

    monkeypatch.setattr(resource, "getrlimit", lambda which: limits[-1])
    monkeypatch.setattr(resource, "setrlimit", setrlimit)
    assert stdio.raise_open_files() == raised
    assert limits[-1][1] == hard


@pytest.mark.parametrize("error", [ValueError("not allowed"), OSError(22, "Invalid argument"), OverflowError()])
@pytest.mark.parametrize("call", ["getrlimit", "setrlimit"])
def test_a_system_that_refuses_to_raise_the_limit_stops_nothing(monkeypatch, call, error):
    def refuse(*args):
        raise error

    monkeypatch.setattr(resource, "getrlimit", lambda which: (256, UNLIMITED))
    monkeypatch.setattr(resource, call, refuse)
    assert stdio.raise_open_files(1000) == (1000 if call == "getrlimit" else 256)
