"""The routes."""

from __future__ import annotations

import time
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.cors import CORSMiddleware
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from .. import __version__
from ..errors import Error
from . import page, refusal
from .answer import Answer, Serving
from .bodies import Conversation, Prompt
from .completions import Streamed, Whole
from .guard import Guard
from .request import ChatRequest, Generate
from .settings import Settings
from .sse import Sse


class Failure(BaseModel):
    """`status` is what a command would exit with: 2 wrong request, 3 refused, 4 unavailable, 5 not whole."""

    status: int
    message: str


class CompatibleFailure(BaseModel):
    error: dict[str, Any]


class Healthy(BaseModel):
    status: str


class Models(BaseModel):
    object: str
    data: list[dict[str, Any]]


def create(generate: Generate, settings: Settings) -> FastAPI:
    """The ASGI application. Its `state.serving` says who is here, and can refuse and cut them."""
    app = FastAPI(
        title="llmstream serve",
        version=__version__,
        docs_url=None,  # they would load scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
    )
    serving = app.state.serving = Serving(generate, settings)
    _add_failures(app)
    _add_own(app, serving)
    _add_compatible(app, serving)
    takers = frozenset(
        route.path for route in app.routes if isinstance(route, Route) and "POST" in (route.methods or ())
    )
    app.add_middleware(Guard, serving=serving, takers=takers)
    if settings.allow_origin:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.allow_origin,
            allow_methods=["GET", "POST"],
            allow_headers=["*"],
        )
    return app


def _described(failure: type[BaseModel], *more: int) -> dict[int | str, dict[str, Any]]:
    """The failures of a route, for its description."""
    return {http: {"model": failure} for http in (400, 401, 403, 408, 413, 415, 421, 503, *more)}


def _stream(description: str) -> dict[str, Any]:
    """A response of Server-Sent Events; the schema is that of one."""
    fields = {"event": {"type": "string"}, "data": {"type": "string"}}
    schema = {"type": "object", "properties": fields, "required": ["data"]}
    return {"description": description, "content": {"text/event-stream": {"schema": schema}}}


def _add_own(app: FastAPI, serving: Serving) -> None:
    text, headers = page.read()
    settings = serving.settings

    async def index(request: Request) -> Response:
        return Response(text, headers=headers, media_type="text/html")

    app.add_route("/", index, include_in_schema=False)

    @app.get("/healthz", responses=_described(Failure))
    async def healthz() -> Healthy:
        """Whether requests are taken."""
        return Healthy(status="ok")

    @app.post(
        "/chat/stream",
        response_class=Response,
        responses={**_described(Failure, 422), 200: _stream("data, usage, finish and error events; data: [DONE]")},
    )
    async def chat_stream(prompt: Prompt) -> Response:
        """One prompt; the answer as Server-Sent Events."""
        return Answer(serving, prompt.asked(settings), Sse(prompt.reasoning))


def _add_compatible(app: FastAPI, serving: Serving) -> None:
    settings = serving.settings
    offered = dict.fromkeys((settings.model or "default", *settings.models))
    started = int(time.time())

    @app.get("/v1/models", responses=_described(CompatibleFailure))
    async def models() -> Models:
        """What is offered; the first is the one that is asked by default."""
        data = [{"id": name, "object": "model", "created": started, "owned_by": "llmstream"} for name in offered]
        return Models(object="list", data=data)

    @app.post(
        "/v1/chat/completions",
        response_class=JSONResponse,
        responses={**_described(CompatibleFailure, 502), 200: _stream("The answer, whole or in chunks")},
    )
    async def completions(conversation: Conversation) -> Response:
        """OpenAI's Chat Completions, whole or streamed."""
        asked: ChatRequest = conversation.asked(settings)
        now, model = int(time.time()), conversation.model or settings.model or "default"
        if not conversation.stream:
            return Answer(serving, asked, Whole(now, model))
        options = conversation.stream_options
        return Answer(serving, asked, Streamed(now, model, bool(options and options.include_usage)))


def _add_failures(app: FastAPI) -> None:
    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        problems = error.errors()
        malformed = any(problem["type"] == "json_invalid" for problem in problems)
        message = "; ".join(map(_problem, problems[:5]))
        compatible = request.url.path.startswith(refusal.COMPATIBLE)
        return refusal.response(request.url.path, 400 if malformed or compatible else 422, message)

    @app.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> Response:
        return refusal.response(request.url.path, error.status_code, str(error.detail), error.headers)

    @app.exception_handler(Error)
    async def failed(request: Request, error: Error) -> Response:
        return refusal.of(request.url.path, error)

    @app.exception_handler(Exception)
    async def broken(request: Request, error: Exception) -> Response:
        return refusal.response(request.url.path, 500, str(refusal.bug(error)))


def _problem(problem: dict[str, Any]) -> str:
    """What is wrong, and where; what was sent is not repeated."""
    if problem["type"] == "json_invalid":
        return f"the body is not JSON: {problem['ctx']['error']} at character {problem['loc'][-1]}"
    where = ".".join(str(part) for part in problem["loc"][1:])
    return f"{where or 'the body'}: {problem['msg']}"
