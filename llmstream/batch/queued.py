"""The background responses of `map --within` that a journal has queued.

Source: OpenAI API reference, "Cancel a model response".
"""

from __future__ import annotations

from urllib.parse import quote

from ..dialects import RESPONSES
from ..errors import Refused, UsageError, option
from ..net.fetch import Fetcher
from ..net.polling import GONE, WITHOUT_ANSWER
from ..net.transfer import HttpRequest
from ..providers.target import Target
from .journal import Journal

HTTP_BAD_REQUEST = 400


def cancel(fetcher: Fetcher, target: Target, journal: Journal) -> int:
    """Cancels the responses in a journal, which forgets those that will have no answer; returns how many these are.

    Raises UsageError where the target is not the one that has them.
    """
    if target.api != RESPONSES or not target.row.windows:
        raise UsageError(
            f"the journal has responses of OpenAI: give the {option('model')} and {option('api')} of its run"
        )
    cancelled = 0
    for key, queued in [*journal.queued.items()]:
        url = f"{target.url}/{quote(queued.id, safe='')}/cancel"
        try:
            response = fetcher.call(target, HttpRequest("POST", url, target.headers(), {}, target.cert))
            ended = isinstance(response, dict) and response.get("status") in WITHOUT_ANSWER
        except Refused as error:
            if error.http_status not in (GONE, HTTP_BAD_REQUEST):
                raise
            ended = error.http_status == GONE  # else it has its answer, and cannot be cancelled any more
        if ended:
            cancelled += 1
            journal.add_queued(key, queued.digest, "", queued.window)
            journal.commit()
    return cancelled
