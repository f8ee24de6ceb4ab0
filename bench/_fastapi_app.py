"""A floor of a cold start over HTTP: a notification comes in, FastAPI checks it and answers, nothing is stored."""

from typing import Any

import azure.functions as func
from fastapi import FastAPI
from pydantic import BaseModel

api = FastAPI()
app = func.AsgiFunctionApp(app=api, http_auth_level=func.AuthLevel.ANONYMOUS, function_name="http")


class Body(BaseModel):
    """The fields of the bench's notification."""

    to: str
    subject: str
    text: str


@api.post("/v1/notifications", status_code=202)
async def accept(body: Body) -> dict[str, Any]:
    """Answer."""
    return {"id": "7c9e6679-7425-40de-944b-e07fc1f90ae7", "status": "queued", "to": body.to}
