"""Damaged text of somebody with learn = "no" reaches no screen, no log and no file."""

import sys
from contextlib import suppress

import pytest

from model.errors import UnderstudyError
from pipeline.cli import main
from tests.pipeline.chats import LAYOUTS, chat, conversation, write
from tests.pipeline.retrain.dumps import dump
from tests.pipeline.retrain.merging import merging
from tests.pipeline.retrain.retrain_runner import RetrainRunner, everything

SECRET = "canary91776655"  # noqa: S105  as long as a phone number, and nothing else is called so
ROSTER = """\
[[people]]
name = "Friend 1"
ids = [1]
[[people]]
name = "Friend 2"
ids = [2]
[[people]]
name = "Friend 3"
ids = [3]
learn = "no"
"""
FIELDS = {
    "id": 5_000, "type": "message", "date": "2024-03-01T12:00:01", "date_unixtime": "1709294401",
    "from_id": "user3", "text": "hi", "text_entities": [{"type": "plain", "text": "hi"}],
    "reply_to_message_id": 4, "edited": "2024-03-01T12:00:02", "edited_unixtime": "1709294402",
    "media_type": "sticker", "sticker_emoji": "x", "duration_seconds": 7, "poll": {"question": "?"},
    "forwarded_from": "x", "via_bot": "@x", "document_id": "x", "reactions": [], "from": "Friend 3",
}  # fmt: skip
DAMAGE = {
    "its own words": f'"{SECRET}"',
    "no quotes": SECRET,
    "no closing quote": f'"{SECRET}',
    "no opening quote": f'{SECRET}"',
    "a bad escape": f'"{SECRET}\\x0B"',
    "half a pair": f'"\\udc00{SECRET}"',
    "a control character": f'"{SECRET}\x1b[31m"',
    "a byte that is no UTF-8": f'"\udcff{SECRET}"',
    "zeros": f'"{SECRET}\x00"',
    "a list": f'["{SECRET}"]',
    "an object": f'{{"{SECRET}": "{SECRET}"}}',
    "a bracket too many": f'"{SECRET}"]',
    "a brace too many": f'"{SECRET}"}}',
    "a number and a word": f"91776655 {SECRET}",
    "a cut": None,
}
SECRETS = [field for field in FIELDS if field not in {"from", "from_id"}]  # names are shown
READERS = ("one space a level", "one line")


def damaged(layout, fields, damage):
    """Return an export with one message for each of these fields, in which the field is damaged."""
    talk = conversation(sessions=12)
    for number, field in enumerate(fields):
        # The text next to the damage is secret too.
        secret = {**FIELDS, "id": 5_000 + number, "text": SECRET, field: "PLACE"}
        talk[4 * number + 20 : 4 * number + 20] = [secret]
    whole = LAYOUTS[layout](chat(*talk))
    if damage is None:
        place = whole.index(b'"PLACE"')
        return whole[:place] + b'"' + SECRET.encode()
    return whole.replace(b'"PLACE"', damage.encode(errors="surrogateescape"))


@pytest.fixture
def run(capsys, caplog, monkeypatch):
    """Run a command like a user; return everything that it printed and logged."""

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["understudy", *map(str, words)])
        with suppress(SystemExit):
            main.main()
        out, err = capsys.readouterr()
        return out + err + caplog.text

    return call


def check_commands(folder, run, export):
    """Check that no command prints or writes the secret."""
    given = write(folder, export)
    (folder / "roster.toml").write_text(ROSTER)

    printed = run("inspect", given) + run("inspect", "--json", given)
    printed += run(
        *("build", given, "--out", folder / "out", "--review", folder / "doubts.csv"),
        *("--min-messages", "1", "--skip-damaged"),
    )
    given.unlink()

    assert SECRET not in printed, printed
    assert SECRET.encode() not in everything(folder)
    assert "\x1b" not in printed
    assert "Traceback" not in printed, printed


def check_retraining(folder, export):
    """Check that a retraining neither prints nor stores the secret."""
    runner = RetrainRunner(folder)
    runner.root.mkdir(parents=True)
    (runner.root / "roster.toml").write_text(ROSTER)
    try:
        said = runner.run(write(folder / "e", export), skip_damaged=True).message
    except UnderstudyError as error:
        said = str(error)

    assert SECRET not in said + runner.shown.getvalue()
    assert SECRET.encode() not in everything(runner.root)


@pytest.mark.parametrize("layout", READERS)
@pytest.mark.parametrize("kind", DAMAGE)
def test_damaged_words_are_neither_printed_nor_written(tmp_path, run, layout, kind):
    export = damaged(layout, SECRETS, DAMAGE[kind])

    check_commands(tmp_path / "commands", run, export)
    check_retraining(tmp_path / "retraining", export)


@pytest.mark.soak
@pytest.mark.parametrize("layout", READERS)
@pytest.mark.parametrize("kind", DAMAGE)
@pytest.mark.parametrize("field", SECRETS)
def test_a_single_damaged_field_is_never_printed_or_written(tmp_path, run, layout, kind, field):
    export = damaged(layout, [field], DAMAGE[kind])

    check_commands(tmp_path / "commands", run, export)
    check_retraining(tmp_path / "retraining", export)


def test_a_damage_report_contains_only_numeric_ids(tmp_path, run):
    whole = LAYOUTS["one space a level"](chat(*conversation(), {**FIELDS, "id": SECRET}))

    printed = run("inspect", write(tmp_path, whole[:-6]))

    assert "interrupted" in printed
    assert SECRET not in printed


def test_a_program_error_is_reported_without_its_text(run, monkeypatch):
    def fail(*_args, **_options):
        raise RuntimeError(SECRET)

    monkeypatch.setattr(main.app, "main", fail)

    printed = run("inspect")

    assert "this is a bug in understudy" in printed
    assert "builtins.RuntimeError" in printed
    assert SECRET not in printed


@pytest.mark.parametrize(
    "notes",
    [
        {"decisions": [{"user_id": 1, "decision": SECRET, "at": "2024-03-01"}]},
        {"decisions": [{"user_id": SECRET, "decision": "optin", "at": "2024-03-01"}]},
        {"decisions": [{"user_id": 1, "decision": "optin", "at": SECRET}]},
        {"decisions": SECRET},
        {"forgotten": [SECRET]},
        {"chat_id": SECRET},
        {"written_at": SECRET},
    ],
    ids=str,
)
def test_a_damaged_dump_is_refused_without_quoting_it(tmp_path, notes):
    whole = dump(*conversation(sessions=2))
    whole["understudy"] |= notes

    with (
        pytest.raises(UnderstudyError, match="damaged dump") as caught,
        merging(tmp_path / "models", [write(tmp_path, whole)]),
    ):
        pass

    assert SECRET not in str(caught.value)
