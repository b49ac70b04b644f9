"""Collecting answers: signals."""

from __future__ import annotations

import subprocess
import sys

from ..support.limits import WAIT_S

COLLECT = """
import os, signal
from types import SimpleNamespace
from llmstream import signals
from llmstream.batch.collector import Collector
from llmstream.errors import Signalled

class Stub(Collector):
    def _collect(self, job):
        os.kill(os.getpid(), signal.SIGINT)
        print(job)

signals.catch_signals()
sender = SimpleNamespace(awake={"first": None, "second": None})
try:
    Stub(None, sender, None, None, None, None, None, False).collect()
except Signalled:
    print("signalled", *sender.awake)
"""


def test_a_signal_waits_for_the_answer_that_is_collected_and_for_no_other():
    """Each may be checked for seconds."""
    output = subprocess.check_output([sys.executable, "-c", COLLECT], timeout=WAIT_S)
    assert output.split() == [b"first", b"signalled", b"second"]
