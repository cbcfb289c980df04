"""Answer python-telegram-bot's requests from a simulated Telegram in the same process."""

import json
from urllib.parse import parse_qsl, urlsplit

from telegram.request import BaseRequest, RequestData

from bot.playground.objects import ApiError, Json, Upload
from bot.playground.telegram import Telegram
from bot.transport.outgoing import call_before_sending


class LocalRequest(BaseRequest):
    """Calls the methods of a simulated Telegram; calls never time out."""

    def __init__(self, telegram: Telegram) -> None:
        self._telegram = telegram

    @property
    def read_timeout(self) -> None:
        """Return None: there is no time limit."""

    async def initialize(self) -> None:
        """Do nothing: there is no connection to open."""

    async def shutdown(self) -> None:
        """Do nothing: there is no connection to close."""

    async def do_request(
        self,
        url: str,
        method: str,
        request_data: RequestData | None = None,
        *_: object,
        **__: object,
    ) -> tuple[int, bytes]:
        """Call the Bot API method at the end of the URL, or return the file of a GET request."""
        address = urlsplit(url)
        name = address.path.rpartition("/")[2]
        if method == "GET":
            return 200, self._telegram.world.files[name].content
        params: Json = {key: json.loads(value) for key, value in parse_qsl(address.query)}
        if request_data is not None:
            params |= request_data.parameters
            for part, (filename, given, *_kind) in request_data.multipart_data.items():
                content = given if isinstance(given, bytes) else given.read()
                params[part] = Upload(filename, content)
        await call_before_sending()
        try:
            body = {"ok": True, "result": await self._telegram.call(name, params)}
        except ApiError as error:
            return error.code, json.dumps(error.json()).encode()
        return 200, json.dumps(body).encode()
