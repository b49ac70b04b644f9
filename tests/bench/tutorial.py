"""The server of a tutorial: FastAPI, AsyncOpenAI and an async generator. tests/bench/serve.py compares with it.

OPENAI_BASE_URL=... OPENAI_API_KEY=... python -m uvicorn tests.bench.tutorial:app --port 8000
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from openai import AsyncOpenAI
from pydantic import BaseModel

app = FastAPI()
client = AsyncOpenAI()


class Question(BaseModel):
    prompt: str
    model: str


@app.post("/chat/stream")
async def chat(question: Question) -> StreamingResponse:
    async def frames() -> AsyncIterator[str]:
        stream = await client.chat.completions.create(
            model=question.model,
            messages=[{"role": "user", "content": question.prompt}],
            stream=True,
        )
        async for chunk in stream:
            if chunk.choices and chunk.choices[0].delta.content:
                yield f"data: {json.dumps({'content': chunk.choices[0].delta.content})}\n\n"
        yield "data: [DONE]\n\n"

    return StreamingResponse(frames(), media_type="text/event-stream")
