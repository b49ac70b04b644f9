"""The options of a run of map."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from ..core.request import Request
from ..providers.target import Target

if TYPE_CHECKING:
    from ..core.stop.stops import Stops
    from ..net.attempts import Resume
    from ..net.programs import ProgramOptions


class RunOptions(NamedTuple):
    """The options of a run."""

    jobs: int  # streams at once
    window: int  # prompts that may be ahead of the oldest unfinished one, where `ordered`
    ordered: bool
    events: bool  # print events, not records
    rpm: float | None  # requests a minute, None for no cap
    tpm: float | None  # tokens a minute
    max_cost: float | None  # US dollars that end the run
    max_failures: int  # failed prompts that end the run, 0 for no limit
    stops: Callable[[], Stops | None]  # makes the stop conditions of one prompt
    resume: Callable[[Target], Resume | None]  # how a target continues a cut answer
    digest: Callable[[Target, Request], str]  # hashes all that an answer depends on
    tools: ProgramOptions | None = None  # how tools are run, None where they are not
    progress: str = ""  # the command that shows the download of the embedded model, "" for none
    note: Callable[[str], object] = lambda text: None  # called with a sentence for the user
    records_name_models: bool = False  # so that a default model may not be needed
