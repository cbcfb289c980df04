"""The log holds no token and nothing that people wrote."""

import io
import json
import logging
import sys

import pytest

from bot import logs
from bot.errors import SettingsError
from bot.logs import JsonFormatter, RedactingFormatter, RepeatingHandler, hide_updates

TOKEN = "42:SECRET"  # noqa: S105


@pytest.fixture
def written():
    """Return what a logger's records look like through a formatter."""

    def write(formatter, name, log):
        stream = io.StringIO()
        handler = logging.StreamHandler(stream)
        handler.setFormatter(formatter)
        handler.addFilter(hide_updates)
        logger = logging.getLogger(name)
        logger.addHandler(handler)
        try:
            log(logger)
        finally:
            logger.removeHandler(handler)
        return stream.getvalue()

    return write


def reject():
    raise SettingsError(f"rejected {TOKEN}")


def fail(logger):
    try:
        reject()
    except SettingsError:
        logger.exception("update %d of %s failed", 7, TOKEN)


@pytest.mark.parametrize("formatter", [RedactingFormatter(TOKEN), JsonFormatter(TOKEN)])
def test_the_token_is_blotted_out_of_lines_and_tracebacks(written, formatter):
    text = written(formatter, "bot", fail)

    assert "SECRET" not in text
    assert "update 7 of [token] failed" in text
    assert "SettingsError: rejected [token]" in text
    assert "Traceback" in text


@pytest.mark.parametrize("formatter", [RedactingFormatter(TOKEN), JsonFormatter(TOKEN)])
def test_what_an_error_quotes_is_left_out_of_all_its_chain(written, formatter):
    quote = "what somebody wrote"

    def log(logger):
        try:
            try:
                int(quote)
            except ValueError as error:
                raise LookupError(quote) from error
        except LookupError:
            logger.exception("update %d failed", 7)

    text = written(formatter, "bot", log)

    assert "builtins.ValueError" in text
    assert "builtins.LookupError" in text
    assert quote not in text


def test_json_is_one_object_a_line(written):
    [line] = written(JsonFormatter(TOKEN), "bot", fail).splitlines()

    entry = json.loads(line)
    assert (entry["level"], entry["logger"]) == ("ERROR", "bot")
    assert set(entry) == {"time", "level", "logger", "message", "traceback"}


def test_an_error_that_repeats_is_written_once_and_then_counted():
    stream = io.StringIO()
    handler = RepeatingHandler(stream)
    handler.setFormatter(RedactingFormatter(TOKEN))

    def write(seconds, message, *, level=logging.ERROR, error=None):
        entry = logging.LogRecord("bot", level, "", 0, message, (), error)
        entry.created = 1000.0 + seconds
        handler.handle(entry)

    try:
        reject()
    except SettingsError:
        error = sys.exc_info()
    for number in range(1000):
        write(number / 100, "no descriptors", error=error)
        write(number / 100, "no descriptors of another kind")
    write(11, "another error")
    write(12, "a warning", level=logging.WARNING)
    write(13, "a warning", level=logging.WARNING)
    write(62, "later")
    write(63, "no descriptors", error=error)
    write(64, "no descriptors", error=error)
    handler.close()

    lines = [line.partition("bot: ")[2] for line in stream.getvalue().splitlines()]
    assert [line for line in lines if line] == [
        "no descriptors",
        "no descriptors of another kind",
        "another error",
        "a warning",
        "a warning",
        "no descriptors (repeated 999 times since)",
        "no descriptors of another kind (repeated 999 times since)",
        "later",
        "no descriptors",
        "no descriptors (repeated 1 time since)",
    ]
    assert stream.getvalue().count("Traceback") == 2


def test_what_the_telegram_library_says_of_an_update_is_dropped(written):
    def log(logger):
        try:
            {}["my secret"]
        except KeyError as error:
            logger.critical("Error! Received data was %r", {"text": "my secret"}, exc_info=error)

    text = written(RedactingFormatter(TOKEN), "telegram.ext.Updater", log)

    assert "secret" not in text
    assert "Error! Received data was [hidden] (KeyError)" in text


@pytest.mark.parametrize(
    ("args", "line"),
    [
        (("%s failed, %d of %s", "my secret", 3, 4.5), "[hidden] failed, 3 of 4.5"),
        (("%(what)s failed", {"what": "my secret"}), "[hidden] failed"),
        (("nothing to hide",), "nothing to hide"),
        (("all of it: 100%",), "all of it: 100%"),
    ],
)
def test_no_placeholder_is_left_where_words_are_hidden(written, args, line):
    text = written(RedactingFormatter(TOKEN), "telegram.ext", lambda logger: logger.error(*args))

    assert text.endswith(f": {line}\n")


def test_the_http_library_does_not_tell_addresses():
    root, saved = logging.getLogger(), logging.getLogger().handlers[:]
    try:
        logs.set_up_logging("DEBUG", "text", TOKEN)

        assert root.handlers[0].stream is sys.stderr
        assert not logging.getLogger("httpx").isEnabledFor(logging.INFO)
        assert not logging.getLogger("telegram.ext.Updater").isEnabledFor(logging.DEBUG)
        assert logging.getLogger("bot").isEnabledFor(logging.DEBUG)
    finally:
        root.handlers[:] = saved
        root.setLevel(logging.WARNING)


@pytest.mark.parametrize("formatter", [RedactingFormatter(TOKEN), JsonFormatter(TOKEN)])
def test_a_name_in_a_record_neither_breaks_its_line_nor_controls_a_terminal(written, formatter):
    name = "a\x1b[31m\u202e\nERROR forged\x9b"

    text = written(formatter, "bot", lambda logger: logger.warning("chat %s", name))

    assert len(text.splitlines()) == 1
    assert "chat a[31m ERROR forged" in text
    assert not {"\x1b", "\u202e", "\x9b"} & set(text)
