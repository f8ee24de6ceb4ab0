"""What /docs and /openapi.json say of operators' routes: nothing comes in, arguments for FastAPI's decorators go out.

openapi.py has the other routes.
"""

from __future__ import annotations

from gateway.openapi.parts import PAGING, json_of, list_of, path, problems, query, route

_ID = path("id", "the notification's id")
_MESSAGE = query("message", "only this message of it")

REPLAY = route(
    "Send a notification's failed messages again (operators)",
    "operators",
    {202: json_of("Notification", "its messages are queued again"), **problems(401, 403, 404, 409, 422, 503)},
    parameters=[_ID, _MESSAGE],
)
CANCEL = route(
    "Stop a notification's messages before they are sent (operators)",
    "operators",
    {200: json_of("Notification", "what could be stopped is"), **problems(401, 403, 404, 409, 422, 503)},
    parameters=[_ID, _MESSAGE],
)
SUPPRESSIONS = route(
    "Addresses that get no mail, because mail to them bounced (operators)",
    "operators",
    {200: list_of("Suppression", "one page"), **problems(401, 403, 422, 503)},
    parameters=PAGING,
)
UNSUPPRESS = route(
    "Let an address get mail again (operators)",
    "operators",
    {204: {"description": "it is no longer on the list"}, **problems(401, 403, 404, 422, 503)},
    parameters=[{**query("address", "the e-mail address"), "required": True}],
)
