"""`llmstream map`: many prompts in, many answers out, many streams at once."""

from __future__ import annotations

from typing import Any

from .. import stdio
from ..core.kinds import ANSWER, MODEL, NETWORK, OUTPUT, PROMPT, Integer, Number
from . import options, parameters, stop_options
from .parameters import FILE, in_group, operand, raw_control
from .request_command import RequestCommand, output_file, prompt_file
from .stats_file import stats_file
from .tool_options import tool_options

NAME = "map"
COUNT, LIMIT, RATE = Integer(1), Integer(0), Number(above=0)


@parameters.command(NAME, RequestCommand, ungrouped=OUTPUT)
@operand("template")
@prompt_file
@in_group(PROMPT, "--jsonl", is_flag=True, help="Read JSON objects, not text: prompt, id, model.")
@in_group(PROMPT, "--files", is_flag=True, help="Read names of files that hold the prompts.")
@in_group(PROMPT, "-0", "--null", is_flag=True, help="Prompts end with NUL, not with a newline.")
@options.of_request(PROMPT, MODEL, ANSWER)
@tool_options
@in_group(ANSWER, "--tool-jobs", kind=COUNT, default=8, metavar="N", help="Run at most N tools at once (8).")
@in_group(ANSWER, "--max-cost", kind=Number(above=0), metavar="USD", help="Cost at most USD, by estimate.")
@output_file
@in_group(OUTPUT, "--unordered", is_flag=True, help="Print answers as they end, not in order.")
@in_group(OUTPUT, "--window", kind=COUNT, metavar="N", help="Let N answers wait for an earlier one (1000).")
@in_group(OUTPUT, "--input", "has_input", is_flag=True, help="Put what was read into the answer's line.")
@in_group(OUTPUT, "--events", is_flag=True, help="Write all events as they come, each with index.")
@in_group(OUTPUT, "--journal", kind=FILE, metavar="FILE", help="Keep answers in FILE; a rerun does the rest.")
@in_group(OUTPUT, "--batch", is_flag=True, help="Send batches: half the price, within a day.")
@in_group(OUTPUT, "--no-wait", is_flag=True, help="Leave the batches; a later run collects them.")
@in_group(OUTPUT, "--cancel-batch", is_flag=True, help="Cancel the batches or responses in the journal.")
@raw_control
@in_group(OUTPUT, "-u", "--usage", is_flag=True, help="At the end, write costs and times to stderr.")
@stats_file
@in_group(OUTPUT, "-q", "--quiet", is_flag=True, help="Show no progress; no notes if all goes well.")
@in_group(OUTPUT, "--dry-run", is_flag=True, help="Print the estimated cost; send nothing.")
@in_group(
    NETWORK, "-j", "--jobs", kind=COUNT, default=8, metavar="N", help="Run N streams at once (8), with --within 500."
)
@in_group(NETWORK, "--rpm", kind=RATE, metavar="N", help="Send at most N requests a minute.")
@in_group(NETWORK, "--tpm", kind=RATE, metavar="N", help="Use at most N tokens a minute.")
@in_group(NETWORK, "--max-failures", kind=LIMIT, default=0, metavar="N", help="Stop after N failed prompts (none).")
@options.of_request(NETWORK)
@stop_options.options("until-")
def command(**params: Any) -> int:
    """Answer many prompts, one a line of stdin, many at once; print a line of JSON for each.

    TEMPLATE is the prompt, with {} for the line, or {name} for a field of a --jsonl line. 0 turns a time-out off.

    \b
    llmstream map < prompts.txt > answers.ndjson
    llmstream map -j 50 'Translate into French: {}' < lines.txt | jq -r .text
    llmstream map --journal run.journal < prompts.txt > answers.ndjson
    jq -c '{prompt: .q}' q.json | llmstream map --jsonl --schema 'answer'
    find . -name '*.md' -print0 | llmstream map -0 'What may {} be about?'
    """
    stdio.require_stdout()
    from . import map_run
    from .map_options import MapOptions

    return map_run.run(MapOptions(params))
