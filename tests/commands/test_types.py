"""What an option may say of a duration."""

from __future__ import annotations

import click
import pytest

from llmstream.commands.types import Seconds


@pytest.mark.parametrize("or_none", [False, True])
@pytest.mark.parametrize("value", ["1", "0.5", "1e9", 3])
def test_durations(value, or_none):
    assert Seconds(or_none=or_none).convert(value, None, None) == float(value)


@pytest.mark.parametrize("value", ["0", "-0", "0.0"])
def test_none_is_a_duration_where_it_may_be_none(value):
    assert Seconds(or_none=True).convert(value, None, None) == 0
    with pytest.raises(click.BadParameter, match=r"is not a number of seconds above 0$"):
        Seconds().convert(value, None, None)


@pytest.mark.parametrize("value", ["-1", "inf", "nan", "soon", ""])
def test_what_is_no_duration(value):
    for kind, message in ((Seconds(), "seconds above 0$"), (Seconds(or_none=True), "seconds$")):
        with pytest.raises(click.BadParameter, match=f"is not a number of {message}"):
            kind.convert(value, None, None)
