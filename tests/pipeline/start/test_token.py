"""The token is checked with Telegram, and written where only its owner can read it."""

import http.server
import threading
from contextlib import contextmanager

import pytest

from model.errors import UnderstudyError
from pipeline.start.token import (
    Bot,
    TokenError,
    check_token,
    find_senders,
    read_settings,
    write_settings,
)
from tests.pipeline.start.fake_telegram import TOKEN


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MODELS_DIR", raising=False)
    return tmp_path


def test_a_token_is_that_of_a_bot(telegram):
    telegram.reads_all = False

    assert check_token(TOKEN, telegram.url) == Bot("understudy_bot", reads_all=False)


def test_who_wrote_to_the_bot_in_private_is_found_and_no_update_is_taken(telegram):
    telegram.senders = [{"id": 1, "first_name": "Ana"}, {"id": 2, "first_name": "H\x1b[31mugo"}]

    found = find_senders(TOKEN, telegram.url)

    assert [(one.user_id, one.name) for one in found] == [(2, "H[31mugo"), (1, "Ana")]
    assert telegram.calls == ["getUpdates"]


@pytest.mark.parametrize(
    ("token", "is_wrong", "text"),
    [
        ("hello", True, "This is not a token"),
        ("1:a/../x", True, "This is not a token"),
        ("1:unknown", True, "Telegram does not know this token"),
    ],
)
def test_a_wrong_token_is_refused_without_being_shown(telegram, token, is_wrong, text):
    with pytest.raises(TokenError, match=text) as caught:
        check_token(token, telegram.url)

    assert caught.value.is_wrong is is_wrong
    assert token not in str(caught.value)


def test_no_network_is_one_line_without_the_token():
    with pytest.raises(TokenError) as caught:
        check_token(TOKEN, "http://127.0.0.1:9")

    assert not caught.value.is_wrong
    assert "cannot be reached" in str(caught.value)
    assert TOKEN not in str(caught.value)
    assert caught.value.__suppress_context__


@contextmanager
def web_page():
    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<html>")

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Page) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        thread.join()


def test_another_server_is_named():
    with web_page() as url, pytest.raises(TokenError, match="refused"):
        check_token(TOKEN, url)


def test_settings_are_written_privately_and_other_lines_stay(folder):
    (folder / ".env").write_text("# mine\nBOT_TOKEN=old\nPACE=0\n", "utf-8")
    (folder / ".env").chmod(0o644)

    write_settings({"BOT_TOKEN": TOKEN, "ADMINS": "7"})

    text = (folder / ".env").read_text("utf-8")
    assert text == f"# mine\nBOT_TOKEN={TOKEN}\nPACE=0\nADMINS=7\n"
    assert (folder / ".env").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "path", ["/a b", "/a #b", "/it's", '/x"y"', "/a\\n", "/ends with a space ", "/a$b", "'/a'"]
)
def test_the_bot_reads_a_path_as_it_was_written(folder, path):
    write_settings({"MODELS_DIR": path})

    assert read_settings()["MODELS_DIR"] == path


@pytest.mark.parametrize("path", ["/a\nBOT_TOKEN=evil", "/${HOME}/x", "/odd\udcff"])
def test_a_path_that_cannot_stand_in_the_file_is_refused(folder, path):
    with pytest.raises(UnderstudyError, match="MODELS_DIR"):
        write_settings({"MODELS_DIR": path})

    assert not (folder / ".env").exists()


def test_the_environment_takes_precedence_over_the_file(folder, monkeypatch):
    write_settings({"BOT_TOKEN": "1:file", "ADMINS": "7"})
    monkeypatch.setenv("BOT_TOKEN", "2:environment")

    assert read_settings()["BOT_TOKEN"].startswith("2:")
    assert read_settings()["ADMINS"] == "7"
