"""The settings, and what .env.example says of them."""

import re
from pathlib import Path

import pytest

from bot.errors import SettingsError
from bot.settings import Settings, load_settings
from bot.store.database import database_file

EXAMPLE = Path(__file__).parents[2] / ".env.example"


@pytest.fixture(autouse=True)
def _nowhere(tmp_path, monkeypatch):
    """Read no .env and no settings of whoever runs the tests."""
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


def test_the_example_lists_each_setting_with_a_comment_and_its_default():
    blocks = EXAMPLE.read_text("utf-8").strip().split("\n\n")

    listed = {}
    for block in blocks[1:]:
        *comments, setting = block.splitlines()
        assert comments
        assert all(line.startswith("# ") for line in comments), block
        name, _, value = setting.partition("=")
        listed[name] = value
    defaults = {name.upper(): field.default for name, field in Settings.model_fields.items()}
    assert list(listed) == list(defaults)
    assert {name: value or None for name, value in listed.items()} == {
        name: str(value) if value else None for name, value in defaults.items()
    }


def test_the_example_is_read_as_the_defaults(tmp_path):
    Path(".env").write_text(EXAMPLE.read_text("utf-8"), "utf-8")

    assert load_settings() == Settings(_env_file=None)


@pytest.mark.parametrize(
    ("written", "ids"),
    [("1", {1}), ("1,2", {1, 2}), ("1 2", {1, 2}), (" 1, 2 ,3 ", {1, 2, 3}), ("", set())],
)
def test_admins_are_separated_by_commas_or_spaces(monkeypatch, written, ids):
    monkeypatch.setenv("ADMINS", written)

    assert load_settings().admins == ids


def test_the_environment_wins_over_the_file(monkeypatch):
    Path(".env").write_text("CONSENT=ask\nLOG_LEVEL=debug\nUNKNOWN=1\n", "utf-8")
    monkeypatch.setenv("CONSENT", "roster")

    settings = load_settings()

    assert (settings.consent, settings.log_level) == ("roster", "DEBUG")


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("ADMINS", "hugo", "ADMINS: hugo is not a user id: use numbers, as in ADMINS=123,456"),
        ("CONSENT", "always", "CONSENT: must be 'ask' or 'roster'"),
        ("DATABASE_URL", "mysql://db", "DATABASE_URL: use an SQLite file, as in sqlite"),
        ("DATABASE_URL", "sqlite+aiosqlite:///:memory:", "DATABASE_URL: use an SQLite file"),
        ("TELEGRAM_API_URL", "api.telegram.org", "TELEGRAM_API_URL: use an address such as http"),
        ("TELEGRAM_API_URL", "https://", "TELEGRAM_API_URL: use an address such as https://api."),
        ("WEBHOOK_URL", "bot.example.org", "WEBHOOK_URL: use an address such as https://bot."),
        ("TELEGRAM_API_URL", "http://[::1", "TELEGRAM_API_URL: use an address such as https://"),
        ("WEBHOOK_URL", "https://bot.example:99999", "WEBHOOK_URL: use an address such as"),
        ("WEBHOOK_URL", "https://bot.example.org/health", "WEBHOOK_URL: /health is the path"),
        ("WEBHOOK_URL", "https://bot.example.org/a/%68ealth/", "WEBHOOK_URL: /health is the path"),
        ("WEBHOOK_LISTEN", "8443", "WEBHOOK_LISTEN: use an address and a port, such as 127.0"),
        ("WEBHOOK_LISTEN", "127.0.0.1:0", "WEBHOOK_LISTEN: use an address and a port"),
        ("WEBHOOK_LISTEN", "127.0.0.1:65536", "WEBHOOK_LISTEN: use an address and a port"),
        (
            "WEBHOOK_SECRET",
            "open sesame",
            "WEBHOOK_SECRET: use 1 to 256 characters: A-Z, a-z, 0-9, _",
        ),
        ("RETENTION_DAYS", "-1", "RETENTION_DAYS: must be greater than or equal to 0"),
        ("RETENTION_DAYS", "3651", "RETENTION_DAYS: must be less than or equal to 3650"),
        ("RETENTION_DAYS", "two", "RETENTION_DAYS: must be a valid integer"),
        ("RETRAIN_COMMAND", "train 'it", "RETRAIN_COMMAND: use a command as in a shell"),
        ("RETRAIN_COMMAND", '["train", 1]', "RETRAIN_COMMAND: use a command as in a shell, or"),
        ("RETRAIN_COMMAND", '["train"', "use a command as in a shell, or a JSON list"),
        ("RETRAIN_COMMAND", "[]", "RETRAIN_COMMAND: use a command as in a shell, or"),
        ("RETRAIN_COMMAND", '"" now', "RETRAIN_COMMAND: use a command as in a shell, or"),
    ],
)
def test_an_impossible_setting_is_named(monkeypatch, name, value, words):
    monkeypatch.setenv(name, value)

    with pytest.raises(SettingsError, match=re.escape(words)):
        load_settings()


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("understudy retrain", ("understudy", "retrain")),
        ("nice train --data 'my data'", ("nice", "train", "--data", "my data")),
        ('["train", "--data", "my data"]', ("train", "--data", "my data")),
        ("", None),
    ],
    ids=["words", "as in a shell", "a JSON list", "nothing"],
)
def test_a_command_is_taken_apart(written, words):
    Path(".env").write_text(f"RETRAIN_COMMAND={written}\n", "utf-8")

    assert load_settings().retrain_command == words


@pytest.mark.parametrize("address", ["0.0.0.0:80", "localhost:8443", "[::1]:65535"])
def test_a_webhook_listens_on_an_address_and_a_port(monkeypatch, address):
    monkeypatch.setenv("WEBHOOK_LISTEN", address)

    assert load_settings().webhook_listen == address


@pytest.mark.parametrize("start", ["sqlite:///", "sqlite+aiosqlite:///"])
def test_a_database_is_named_with_or_without_a_driver(monkeypatch, start):
    monkeypatch.setenv("DATABASE_URL", f"{start}chat/bot.db")

    assert database_file(load_settings().database_url) == Path("chat/bot.db")


def test_a_file_that_is_not_utf_8_is_named():
    Path(".env").write_bytes("BOT_TOKEN=é".encode("latin-1"))

    with pytest.raises(SettingsError, match=".env is not UTF-8 text"):
        load_settings()


def test_the_token_and_the_secret_do_not_show(monkeypatch):
    monkeypatch.setenv("BOT_TOKEN", "42:SECRET")
    monkeypatch.setenv("WEBHOOK_SECRET", "also-SECRET")

    settings = load_settings()

    assert settings.token == "42:SECRET"  # noqa: S105
    assert "SECRET" not in f"{settings!r} {settings.model_dump_json()}"


def test_no_token_says_where_to_get_one():
    with pytest.raises(SettingsError, match="@BotFather"):
        _ = load_settings().token
