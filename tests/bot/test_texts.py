"""The texts have the same placeholders and commands in each language, and fit Telegram's limits."""

import re
from datetime import timedelta
from string import Formatter

import pytest
from telegram.constants import BotCommandLimit, CallbackQueryLimit, MessageLimit

from bot.background import admin_commands
from bot.texts import EN, LANGUAGES, PT_BR, wording
from bot.texts.en import Wording
from model.speaking.candidates import REJECTIONS

NAMES = [
    name
    for name, value in vars(Wording).items()
    if not (name.startswith("_") or callable(value) or isinstance(value, property))
]
TEXTS = [name for name in NAMES if isinstance(getattr(EN, name), str)]
MENUS = [name for name in NAMES if name.startswith("commands_")]
FORMS = ("messages", "minutes", "hours", "days")
TOASTS = ("button_expired", "silent_here", "sticker_voice")
"""Texts shown above a chat when a button is pressed: Telegram allows fewer characters there."""
UNITS_FOR_NAMES = 1000
"""UTF-16 units left in a message for the names that are filled in."""

others = pytest.mark.parametrize(
    "texts",
    [pytest.param(texts, id=code) for code, texts in {**LANGUAGES, "pt-br": PT_BR}.items()],
)


def units(text):
    return len(text.encode("utf-16-le")) // 2


def placeholders(text):
    return {name for _, name, _, _ in Formatter().parse(text) if name is not None}


@others
def test_each_text_has_the_placeholders_of_the_english_one(texts):
    assert {name: placeholders(getattr(texts, name)) for name in TEXTS} == {
        name: placeholders(getattr(EN, name)) for name in TEXTS
    }


@others
def test_each_menu_has_the_commands_of_the_english_one(texts):
    assert {name: [command for command, _ in getattr(texts, name)] for name in MENUS} == {
        name: [command for command, _ in getattr(EN, name)] for name in MENUS
    }


@others
def test_each_text_names_the_commands_of_the_english_one(texts):
    command = re.compile(r"(?<![\w/])/[a-z]+")

    assert {name: sorted(set(command.findall(getattr(texts, name)))) for name in TEXTS} == {
        name: sorted(set(command.findall(getattr(EN, name)))) for name in TEXTS
    }


@others
def test_each_field_is_a_text_a_menu_a_counted_noun_or_the_reasons(texts):
    assert {*TEXTS, *MENUS, *FORMS, "rejections"} == set(NAMES)
    assert set(NAMES) <= vars(type(texts)).keys()  # each language has its own
    assert set(texts.rejections) == set(REJECTIONS)
    assert all(texts.rejections.values())


@others
def test_one_is_singular_and_other_numbers_are_plural(texts):
    for name in FORMS:
        noun = getattr(texts, name)
        one, many = (form.format(count="").strip() for form in noun)
        assert one != many
        assert [texts.format_count(noun, number) for number in (0, 1, 2)] == [
            *(f"0 {many}", f"1 {one}", f"2 {many}"),
        ]


@pytest.mark.parametrize(
    ("code", "written"), [("en", "1,234,567 messages"), ("pt", "1\xa0234\xa0567 mensagens")]
)
def test_large_numbers_are_written_as_each_language_does(code, written):
    texts = LANGUAGES[code]

    assert texts.format_count(texts.messages, 1_234_567) == written


@pytest.mark.parametrize(
    ("span", "english", "portuguese"),
    [
        (timedelta(minutes=1), "1 minute", "1 minuto"),
        (timedelta(minutes=30), "30 minutes", "30 minutos"),
        (timedelta(minutes=90), "90 minutes", "90 minutos"),
        (timedelta(hours=1), "1 hour", "1 hora"),
        (timedelta(hours=8), "8 hours", "8 horas"),
        (timedelta(days=1), "1 day", "1 dia"),
        (timedelta(hours=48), "2 days", "2 dias"),
    ],
)
def test_a_duration_is_written_in_its_largest_whole_unit(span, english, portuguese):
    assert EN.format_duration(span) == english
    assert LANGUAGES["pt"].format_duration(span) == portuguese


@others
def test_no_text_puts_a_bare_number_before_a_noun(texts):
    bare = re.compile(r"\{(?:count|hours|lines|sources)\}")

    assert [
        name for name in TEXTS if name != "why_rejected" and bare.search(getattr(texts, name))
    ] == []


@others
def test_no_text_is_empty_or_too_long_for_a_message(texts):
    for name in TEXTS:
        assert 0 < units(getattr(texts, name)) <= MessageLimit.MAX_TEXT_LENGTH - UNITS_FOR_NAMES

    assert (
        units(texts.format_help(["A name of thirty characters..."] * 25))
        <= MessageLimit.MAX_TEXT_LENGTH
    )


@others
@pytest.mark.parametrize(
    ("voices", "examples"),
    [
        (["Zé", "João {x}", "Eva"], ("Zé", "João {x}")),
        (["Ana"], ("Ana", "Hugo")),
        ([], ("Hugo", "Ana")),
    ],
)
def test_the_examples_in_help_use_the_voices_of_the_group(texts, voices, examples):
    first, second = examples

    shown = texts.format_help(voices)

    assert f"/as {first} " in shown
    assert f"/simulate {first}, {second} " in shown


@others
def test_texts_shown_above_a_chat_are_short(texts):
    for name in TOASTS:
        assert units(getattr(texts, name)) <= CallbackQueryLimit.ANSWER_CALLBACK_QUERY_TEXT_LENGTH


@others
def test_telegram_accepts_the_commands(texts):
    for name in MENUS:
        for command, says in getattr(texts, name):
            assert re.fullmatch(r"[a-z0-9_]{1,32}", command)
            lowest, most = BotCommandLimit.MIN_DESCRIPTION, BotCommandLimit.MAX_DESCRIPTION
            assert lowest <= len(says) <= most

    assert len(admin_commands(texts)) <= BotCommandLimit.MAX_COMMAND_NUMBER


@pytest.mark.parametrize(
    ("code", "texts"),
    [("pt", "pt"), ("pt-pt", "pt"), ("PT", "pt"), ("en-gb", "en"), ("de", "en"), (None, "en")],
)
def test_unknown_languages_get_english(code, texts):
    assert wording(code) is LANGUAGES[texts]


def test_brazilians_get_their_own_words():
    assert wording("pt-BR") is PT_BR
    assert not re.search(
        r"\b(ficheiro|registo|descarregar|envia|teu|tua)\b", repr(vars(type(PT_BR)))
    )
