"""The floor: the same FastAPI stack that validates the same body and answers 202 without doing anything."""

from __future__ import annotations

import sys
from typing import Any

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

app = FastAPI(telemetry={"tracing": False, "metrics": False, "logs": False})


class Body(BaseModel):
    """The fields of the bench's notification."""

    to: list[str]
    subject: str
    text: str
    reply_to: str
    priority: str
    headers: dict[str, str]
    tags: list[str]


@app.post("/v1/notifications", status_code=202)
async def accept(body: Body) -> dict[str, Any]:
    """Answer."""
    return {"id": "7c9e6679-7425-40de-944b-e07fc1f90ae7", "status": "queued", "to": len(body.to)}


if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[1]), log_level="warning", access_log=False)
