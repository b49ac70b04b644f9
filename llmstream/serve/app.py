"""The ASGI application: its routes, their descriptions in /openapi.json, and its error handlers."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.cors import CORSMiddleware
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from .. import __version__
from ..core.json_codec import FAULTS
from ..core.kinds import shorten
from ..core.stop.regex import can_backtrack
from ..errors import Error, nearest
from ..net.aio import in_thread
from . import page
from .access_log import AccessLog
from .answer_response import AnswerResponse, ServerState
from .bodies import WILDCARDS, Conversation, Prompt, field_names
from .body_limits import ALL_REGEXES_CPU_S, LARGE_BYTES, MAX_VALUES, REGEX_CPU_REFILL, REGEX_CPU_S, Memory
from .chat_stream import ChatStreamEncoder
from .completions import ChunkEncoder, CompletionEncoder
from .connection import MAX_HEAD_BYTES, Connection
from .error_responses import OPENAI_PREFIX, error_response, internal_error, response_to
from .guard import Guard
from .json_body import JsonRoute
from .request import HOP_HEADER, ChatRequest, Generate
from .responses import ResponseEncoder, ResponseEventEncoder
from .responses_body import ResponsesBody
from .settings import Settings

MAX_PROBLEMS = 5  # of a body, in one error message
PROBLEMS = {  # by pydantic's type of the error
    "missing": "is missing",
    "string_type": "must be a string",
    "string_too_short": "is empty",
    "too_short": "is empty",
    "list_type": "must be an array",
    "dict_type": "must be an object",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
    "bool_type": "must be true or false",
    "int_type": "must be a whole number",
    "float_type": "must be a number",
}


class ErrorBody(BaseModel):
    """`status` is the exit status of a command: 2 wrong request, 3 refused, 4 unavailable, 5 incomplete."""

    status: int
    message: str


class OpenAIErrorBody(BaseModel):
    """OpenAI's error object."""

    error: dict[str, Any]


class Health(BaseModel):
    """The answer of GET /healthz."""

    status: str


class Models(BaseModel):
    """The answer of GET /v1/models."""

    object: str
    data: list[dict[str, Any]]


async def _chat_request(state: ServerState, body: Any, request: Request) -> ChatRequest:
    """Returns the request of a body, which is checked here."""
    make, is_large = partial(body.request, state.settings), request.scope["body_size"] > LARGE_BYTES
    chat_request: ChatRequest
    if is_large:
        async with state.large_body:
            chat_request = await in_thread(asyncio.get_running_loop(), make)
    else:
        chat_request = make()
    return chat_request._replace(is_large=is_large, hops=request.headers.get(HOP_HEADER, ""))


def create(generate: Generate, settings: Settings) -> FastAPI:
    """Returns the ASGI application; `app.state.server` is its ServerState."""
    app = FastAPI(
        title="llmstream serve",
        version=__version__,
        description=_bounds(settings),
        docs_url=None,  # FastAPI's documentation pages load scripts from other sites
        redoc_url=None,
        redirect_slashes=False,
    )
    app.router.route_class = JsonRoute
    state = app.state.server = ServerState(generate, settings)
    _add_error_handlers(app)
    _add_page(app)
    _add_native_api(app, state)
    _add_openai_api(app, state)
    _add_responses_api(app, state)
    routes = [route for route in app.routes if isinstance(route, Route)]
    post_paths = frozenset(route.path for route in routes if "POST" in (route.methods or ()))
    app.add_middleware(Guard, state=state, post_paths=post_paths)
    if settings.allow_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.allow_origins,
            allow_methods=["GET", "POST"],
            allow_headers=["*"],
        )
    if settings.access_log:
        app.add_middleware(AccessLog)
    return app


def _bounds(settings: Settings) -> str:
    """Says, in Markdown, the bounds that no schema can."""
    return f"""Bounds on requests:

- a head of {MAX_HEAD_BYTES} bytes, within {Connection.head_timeout_s:g} s;
- a body of {settings.max_body_bytes} bytes and {MAX_VALUES} values, within {settings.body_timeout_s:g} s (413, 408);
- {Memory.limit_of(settings.bodies_bytes, settings.max_body_bytes)} bytes for all bodies of requests under way (503);
- {settings.jobs} answers at once, and {settings.queue} requests that wait for them (503);
- {REGEX_CPU_S:g} s of CPU time for a regular expression or a check, in 65536 characters of text, and
  {ALL_REGEXES_CPU_S:g} s for all together, to which {REGEX_CPU_REFILL:g} s are added each second (503);
- a client that reads nothing of what waits for it for {Connection.write_timeout_s:g} s is disconnected.

A refused request closes its connection. Models that the server does not serve are 404.
"""


def _error_responses(body: type[BaseModel], *extra: int) -> dict[int | str, dict[str, Any]]:
    """Describes the error responses of a route."""
    return {http_status: {"model": body} for http_status in (400, 401, 403, 408, 413, 415, 421, 503, *extra)}


def _event_stream(description: str) -> dict[str, Any]:
    """Describes a response of Server-Sent Events; the schema is that of one event."""
    fields = {"event": {"type": "string"}, "data": {"type": "string"}}
    schema = {"type": "object", "properties": fields, "required": ["data"]}
    return {"description": description, "content": {"text/event-stream": {"schema": schema}}}


def _add_page(app: FastAPI) -> None:
    html, headers = page.read()

    async def index(request: Request) -> Response:
        if page.is_current(request.headers.get("if-none-match", ""), headers):
            return Response(status_code=304, headers=headers)
        return Response(html, headers=headers, media_type="text/html")

    app.add_route("/", index, include_in_schema=False)


def _add_native_api(app: FastAPI, state: ServerState) -> None:
    @app.get("/healthz", responses=_error_responses(ErrorBody))
    async def healthz() -> Health:
        """Tells that the server accepts requests."""
        return Health(status="ok")

    @app.post(
        "/chat/stream",
        response_class=Response,
        responses={
            **_error_responses(ErrorBody, 404, 422),
            200: _event_stream("data, source, note, usage, finish and error events; data: [DONE]"),
        },
    )
    async def chat_stream(prompt: Prompt, request: Request) -> Response:
        """Answers one prompt with Server-Sent Events."""
        if prompt.check or (prompt.until and any(map(can_backtrack, prompt.until.regex or ()))):
            state.regex_limit.check(time.monotonic())
        chat_request = await _chat_request(state, prompt, request)
        return AnswerResponse(state, chat_request, ChatStreamEncoder(bool(prompt.reasoning)))


def _add_openai_api(app: FastAPI, state: ServerState) -> None:
    settings = state.settings
    default_model = settings.model or "default"
    literal = [pattern for pattern in settings.allow_models if not set(pattern) & WILDCARDS]
    names = dict.fromkeys((default_model, *settings.models, *literal, "default"))
    started = int(time.time())

    @app.get("/v1/models", responses=_error_responses(OpenAIErrorBody))
    async def models() -> Models:
        """Lists the models to choose from, first the one that answers where a request names none."""
        card = {"object": "model", "created": started, "owned_by": "llmstream"}
        data = [{"id": name, **card, "default": name == default_model} for name in names]
        return Models(object="list", data=data)

    @app.post(
        "/v1/chat/completions",
        response_class=JSONResponse,
        responses={
            **_error_responses(OpenAIErrorBody, 404, 502),
            200: _event_stream("The answer, complete or in chunks"),
        },
    )
    async def completions(conversation: Conversation, request: Request) -> Response:
        """OpenAI's Chat Completions, as one object or as a stream of chunks."""
        chat_request = await _chat_request(state, conversation, request)
        now, model = int(time.time()), conversation.model or default_model
        if not conversation.stream:
            return AnswerResponse(state, chat_request, CompletionEncoder(now, model))
        options = conversation.stream_options
        return AnswerResponse(state, chat_request, ChunkEncoder(now, model, bool(options and options.include_usage)))


def _add_responses_api(app: FastAPI, state: ServerState) -> None:
    @app.post(
        "/v1/responses",
        response_class=JSONResponse,
        responses={
            **_error_responses(OpenAIErrorBody, 404, 502),
            200: _event_stream("The response, complete or as events"),
        },
    )
    async def responses(body: ResponsesBody, request: Request) -> Response:
        """OpenAI's Responses, as one object or as a stream of events. Nothing is stored."""
        chat_request = await _chat_request(state, body, request)
        encoder = ResponseEventEncoder if body.stream else ResponseEncoder
        model = body.model or state.settings.model or "default"
        return AnswerResponse(state, chat_request, encoder(int(time.time()), model, body.echo()))


def _add_error_handlers(app: FastAPI) -> None:
    @app.exception_handler(RequestValidationError)
    async def invalid_body(request: Request, error: RequestValidationError) -> Response:
        problems = error.errors()
        malformed = any(problem["type"] == "json_invalid" for problem in problems)
        http_status = 400 if malformed or request.url.path.startswith(OPENAI_PREFIX) else 422
        return error_response(request.url.path, http_status, "; ".join(map(_problem, problems[:MAX_PROBLEMS])))

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> Response:
        return error_response(request.url.path, error.status_code, str(error.detail), error.headers)

    @app.exception_handler(Error)
    async def failed(request: Request, error: Error) -> Response:
        return response_to(request.url.path, error)

    @app.exception_handler(Exception)
    async def bug(request: Request, error: Exception) -> Response:
        return error_response(request.url.path, 500, str(internal_error(error)))


def _problem(problem: dict[str, Any]) -> str:
    """Says what is wrong with a body and where, without repeating the client's values."""
    if problem["type"] == "json_invalid":
        reason, position = problem["ctx"]["error"], problem["loc"][-1]
        if fault := FAULTS.get(reason):
            return f"the body is not JSON: {fault} at character {position + 1}"
        return f"the body is not JSON: {reason}" + (f" at character {position}" if position else "")
    parts = [str(part) for part in problem["loc"][1:]]
    path = ".".join(parts) or "the body"
    if problem["type"] == "value_error":  # from the table of options
        return f"{path} {problem['ctx']['error']}"
    if problem["type"] == "extra_forbidden":
        near = nearest(parts[-1], field_names(parts[0] if parts[1:] else ""))
        meant = f": did you mean {'.'.join([*parts[:-1], near])}?" if near else ""
        return f"there is no field {shorten(path)}{meant}"
    if problem["type"] == "literal_error":
        return f"{path} must be {problem['ctx']['expected']}"
    return f"{path} {PROBLEMS[problem['type']]}" if problem["type"] in PROBLEMS else f"{path}: {problem['msg']}"
