import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.chat import conversation, eligibility, prompt, roster
from model.chat.conversation import Message, Window
from model.chat.eligibility import Line
from model.chat.person import Person
from model.chat.prompt import (
    TEMPLATE,
    build_context,
    fingerprint,
    format_line,
    parse_conversations,
    parse_reply,
    render_context,
    render_prompt,
    render_reply,
    speaker_label,
)
from model.chat.roster import Roster, clean_name


def parse_speaker(rendered):
    return None if rendered == "[…]" else rendered.partition(":")[0]


NOW = datetime(2024, 3, 1, 12, tzinfo=UTC)
HUGO, ANA, RUI = 1, 2, 3
ROSTER = Roster((Person("Hugo", (HUGO,)), Person("Ana", (ANA,)), Person("Rui", (RUI,), learn="no")))

WORDS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r"), min_size=1)
LABELS = st.sampled_from(
    ["Hugo: hi", "Ana:", "Ana:\nhi", "a\nHugo: hi", " Hugo: x", "https://a.b", "x :"]
)
TEXTS = st.lists((WORDS | LABELS).map(str.strip).filter(bool), min_size=1, max_size=5)


def lines(*spoken):
    return [
        Line(n, 1, who, text, NOW + timedelta(seconds=n)) for n, (who, text) in enumerate(spoken)
    ]


def test_a_prompt_is_the_template_and_one_line_per_message():
    context = render_context(lines(("Hugo", "hi"), ("Ana", "hello: you\nand all")))

    assert context == ("Hugo: hi", "Ana: hello: you\rand all")
    assert render_prompt(context) == (
        "Continue writing the following text.\n\nHugo: hi\nAna: hello: you\rand all\n"
    )
    assert render_prompt(()) == TEMPLATE


def test_a_reply_is_its_label_and_one_line_per_message():
    assert speaker_label("Hugo") + render_reply("Hugo", ["hi", "all\nwell"]) == (
        "Hugo: hi\nHugo: all\rwell"
    )


@given(texts=TEXTS)
def test_a_rendered_reply_is_parsed_into_its_messages(texts):
    assert parse_reply("Hugo", render_reply("Hugo", texts)) == tuple(texts)


@given(
    texts=TEXTS,
    name=st.text(max_size=20).map(clean_name).filter(lambda name: name != "Hugo"),
    words=WORDS,
)
def test_another_speakers_line_after_a_reply_is_cut(texts, name, words):
    others = f"\n{speaker_label(name)} {words}"

    assert parse_reply("Hugo", render_reply("Hugo", texts) + others) == tuple(texts)


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        (" hi", ("hi",)),
        ("hi", ("hi",)),
        ("", ()),
        (" \n \n", ()),
        (" hi\nHugo:   there \n", ("hi", "there")),
        (" hi\nHugo:\nHugo: there", ("hi", "there")),
        (" Ana: hi\nHugo: you", ("Ana: hi", "you")),
        (" Hugo: hi\nHugo: Hugo: you", ("Hugo: hi", "Hugo: you")),
        (" hi\nAna: you", ("hi",)),
        (" hi\nAna: you\nHugo: and me", ("hi",)),
        (" hi\nHugo Silva: you", ("hi",)),
        (" hi\nHugo:you", ("hi",)),
        (" hi\nno label", ("hi",)),
        (" hi\n\nHugo: later", ("hi",)),
        (" a\rb\nHugo: c", ("a\nb", "c")),
    ],
)
def test_a_models_reply_is_split_into_messages(text, messages):
    assert parse_reply("Hugo", text) == messages


@given(
    chat=st.lists(st.tuples(st.sampled_from(["Hugo", "Ana", "李雷"]), WORDS | LABELS), max_size=8)
)
def test_every_message_is_one_line_that_starts_with_its_speaker(chat):
    context = render_context(lines(*chat))

    whole = render_prompt(context).removeprefix(TEMPLATE)
    assert whole.count("\n") == len(chat)
    assert [parse_speaker(rendered) for rendered in whole.split("\n")[:-1]] == [
        who for who, _ in chat
    ]


def test_a_name_inside_a_message_does_not_look_like_a_speakers_label():
    context = render_context(lines(("Ana", "he said\nHugo: I agree")))

    assert "\nHugo:" not in render_prompt(context)
    assert "\nHugo:" not in render_reply("Ana", ["he said", "Hugo: I agree", "he\nHugo: did"])


def test_consecutive_withheld_lines_are_merged():
    context = render_context(
        lines((None, "[…]"), (None, "[…]"), ("Ana", "hi"), (None, "[…]"), ("Ana", "[…]"))
    )

    assert context == ("[…]", "Ana: hi", "[…]", "Ana: […]")
    assert [parse_speaker(rendered) for rendered in context] == [None, "Ana", None, "Ana"]


def test_words_typed_in_the_terminal_render_like_a_message():
    said = Message(-1, 1, ANA, None, " hi\nyou ", NOW)

    assert (format_line("Ana", said.text),) == build_context([said], NOW, ROSTER, Window())


def test_an_empty_line_ends_a_conversation():
    text = "\n\nHugo: hi\nAna: hello\n \n\nHugo: where were we?\n"

    assert parse_conversations(text) == [["Hugo: hi", "Ana: hello"], ["Hugo: where were we?"]]
    assert parse_conversations("\n") == []


def test_a_context_has_the_eligible_lines_in_the_window():
    said = [
        (ANA, "old", -500),
        (RUI, "secret", 0),
        (ANA, "/start", 1),
        (HUGO, "hi", 2),
        (ANA, "yes", 3),
    ]
    chat = [
        Message(-1, n, who, "X", text, NOW + timedelta(minutes=m))
        for n, (who, text, m) in enumerate(said)
    ]

    assert build_context(chat, NOW + timedelta(minutes=4), ROSTER, Window()) == (
        "[…]", "Hugo: hi", "Ana: yes",
    )  # fmt: skip
    assert build_context(chat[:3], NOW + timedelta(minutes=2), ROSTER, Window()) == (
        "Ana: old",
        "[…]",
    )
    assert build_context([], NOW, ROSTER, Window()) == ()


def test_the_fingerprint_is_the_same_in_every_process(pytestconfig):
    import subprocess
    import sys

    program = "from model.chat.prompt import fingerprint; print(fingerprint())"
    other = subprocess.run(
        [sys.executable, "-c", program], cwd=pytestconfig.rootpath, check=True, capture_output=True
    )

    assert fingerprint() == fingerprint() == other.stdout.decode().strip()
    assert len(fingerprint()) == 12


NEVER = re.compile("never")
LINE_OF = eligibility.make_line

compute_fingerprint = fingerprint.__wrapped__  # without its cache


def seeing(**changes):
    """Return context_before for a window with these changes."""
    return lambda earlier, at, window: conversation.context_before(
        earlier, at, replace(window, **changes)
    )


def reading(**changes):
    """Return make_line for messages with these changes."""
    return lambda message, roster: LINE_OF(replace(message, **changes), roster)


@pytest.mark.parametrize(
    ("module", "name", "value"),
    [
        pytest.param(prompt, "TEMPLATE", "Go on:\n", id="the template"),
        pytest.param(prompt, "LINE_BREAK", " / ", id="the line break"),
        pytest.param(prompt, "speaker_label", lambda name: f"{name} -", id="the label"),
        pytest.param(prompt, "WITHHELD", "[?]", id="what stands for the withheld"),
        pytest.param(
            prompt, "add_voice_header", lambda *said: " ".join(said), id="the bot's marker"
        ),
        pytest.param(eligibility, "_COMMAND", NEVER, id="commands"),
        pytest.param(eligibility, "_AS", NEVER, id="words after a command"),
        pytest.param(eligibility, "parse_voice_header", lambda *_: None, id="the bot's lines"),
        pytest.param(
            eligibility, "_make_presentable", lambda text: text, id="private data and walls"
        ),
        pytest.param(
            eligibility, "_normalize_breaks", str.strip, id="line breaks of other systems"
        ),
        pytest.param(eligibility, "_normalize_breaks", lambda text: text, id="blanks at the end"),
        pytest.param(eligibility, "strip_quotes", str.strip, id="quotes"),
        pytest.param(eligibility, "strip_copies", lambda text, _: text, id="copies"),
        pytest.param(eligibility, "make_line", reading(is_forward=False), id="forwards"),
        pytest.param(eligibility, "make_line", reading(is_from_bot=False), id="inline bots"),
        pytest.param(eligibility, "make_line", reading(author_id=2), id="who is who"),
        pytest.param(roster, "clean_name", lambda name: name or "somebody", id="strangers' names"),
        pytest.param(prompt, "context_before", lambda lines, *_: lines, id="the window"),
        pytest.param(prompt, "context_before", seeing(size=9), id="its size"),
        pytest.param(prompt, "context_before", seeing(short=1), id="which sessions are short"),
        pytest.param(prompt, "context_before", seeing(fill=3), id="what fills them"),
        pytest.param(
            prompt, "context_before", seeing(gap=timedelta(minutes=119)), id="a smaller gap"
        ),
        pytest.param(
            prompt, "context_before", seeing(gap=timedelta(minutes=121)), id="a larger gap"
        ),
    ],
)
def test_the_fingerprint_changes_with_every_rule_between_a_chat_and_its_prompt(
    monkeypatch, module, name, value
):
    before = compute_fingerprint()

    monkeypatch.setattr(module, name, value)

    assert compute_fingerprint() != before


def test_the_fingerprint_does_not_change_with_a_windows_defaults(monkeypatch):
    before = compute_fingerprint()

    monkeypatch.setattr(prompt, "Window", lambda **options: Window(**{"size": 3, **options}))

    assert compute_fingerprint() == before


def test_the_rules_behind_the_fingerprint_are_those_in_use():
    assert prompt.context_before is conversation.context_before
    assert prompt.add_voice_header is eligibility.add_voice_header


def test_a_turn_looks_the_same_in_a_reply_and_in_a_context():
    texts = ["he said", "Hugo: I agree", "two\nlines"]

    reply = speaker_label("Ana") + render_reply("Ana", texts)

    assert reply.split("\n") == list(render_context(lines(*(("Ana", text) for text in texts))))
