"""A Bot API on loopback that knows one token: getMe and getUpdates."""

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TOKEN = "42:AAE-loopback"  # noqa: S105


class FakeTelegram:
    """What the server answers; `senders` are the ids and names of who wrote to the bot."""

    def __init__(self):
        self.url = ""
        self.reads_all = True
        self.senders = []
        self.calls = []

    def answer(self, token, method):
        """Return a status and a value for a method."""
        self.calls.append(method)
        if token != TOKEN:
            return 401, {"ok": False, "error_code": 401, "description": "Unauthorized"}
        if method == "getMe":
            me = {"id": 42, "is_bot": True, "first_name": "U", "username": "understudy_bot"}
            return 200, {
                "ok": True,
                "result": {**me, "can_read_all_group_messages": self.reads_all},
            }
        found = [
            {"update_id": n, "message": {"chat": {"type": "private"}, "from": who}}
            for n, who in enumerate(self.senders)
        ]
        return 200, {"ok": True, "result": found}


@contextmanager
def running():
    telegram = FakeTelegram()
    server = ThreadingHTTPServer(
        ("127.0.0.1", 0), type("Handler", (_Handler,), {"telegram": telegram})
    )
    telegram.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield telegram
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    telegram: FakeTelegram

    def log_message(self, *_):
        pass

    def do_GET(self):
        token, _, method = self.path.removeprefix("/bot").partition("/")
        status, value = self.telegram.answer(token, method)
        content = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
