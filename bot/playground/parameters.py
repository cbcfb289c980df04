"""Reads a method's parameters from a request: query, form, multipart or JSON body."""

import json

from tornado.httputil import HTTPServerRequest

from bot.playground.shapes import ApiError, Json, Upload

TYPED = frozenset(
    {
        "allowed_updates",
        "chat_id",
        "commands",
        "correct_option_id",
        "correct_option_ids",
        "drop_pending_updates",
        "entities",
        "is_anonymous",
        "limit",
        "message_id",
        "message_thread_id",
        "offset",
        "options",
        "reply_markup",
        "reply_parameters",
        "scope",
        "show_alert",
        "timeout",
        "user_id",
    }
)
"""What a form holds as JSON; all else in a form is text, also where it looks like a number."""


def parameters(request: HTTPServerRequest) -> Json:
    """Return the parameters as the Bot API's types, files as Upload.

    Raises:
        ApiError: 400 where a value is not the JSON that it should be.
    """
    given: Json = {name: values[-1].decode() for name, values in request.arguments.items()}
    if request.headers.get("Content-Type", "").startswith("application/json"):
        body = _parsed("request", request.body.decode())
        if not isinstance(body, dict):
            raise ApiError(400, "Bad Request: the request's JSON is not an object")
        given |= body
    for name, files in request.files.items():
        given[name] = Upload(files[-1].filename, files[-1].body)
    return {
        name: _parsed(name, value) if name in TYPED and isinstance(value, str) else value
        for name, value in given.items()
    }


def _parsed(name: str, text: str) -> object:
    if name == "chat_id" and text.startswith("@"):
        return text
    try:
        value: object = json.loads(text)
    except ValueError as error:
        raise ApiError(400, f"Bad Request: can't parse {name} JSON object") from error
    return value
