"""The language of a chat, and bases that do not know it."""

import pytest

from pipeline.dataset.language import find_languages, name_languages
from pipeline.training.bases import warn_about_language

SAYINGS = {
    "en": ("are you coming tonight?", "no idea, I have to work until eight", "that was so funny"),
    "pt": ("vens hoje à noite?", "não sei, tenho de trabalhar até às oito", "foi tão engraçado"),
    "es": ("¿vienes esta noche?", "ni idea, tengo que trabajar hasta las ocho", "qué gracioso"),
    "de": ("kommst du heute Abend?", "keine Ahnung, ich muss bis acht arbeiten", "das war lustig"),
    "ru": ("придёшь сегодня вечером?", "не знаю, я работаю до восьми", "это было так смешно"),
    "uk": ("прийдеш сьогодні ввечері?", "не знаю, я працюю до восьмої", "це було так смішно"),
    "zh": ("你今天晚上来吗？", "不知道，我要工作到八点", "太好笑了"),
    "ar": ("هل ستأتي الليلة؟", "لا أعرف، يجب أن أعمل حتى الثامنة", "كان ذلك مضحكا جدا"),
}


@pytest.mark.parametrize("code", SAYINGS)
def test_the_language_of_a_chat_is_found(code):
    assert find_languages((*SAYINGS[code], "lol", "😂", "https://t.me/x", "ok") * 30) == (code,)


def test_a_chat_in_two_languages_has_both_and_a_few_foreign_lines_do_not_count():
    portuguese, english, german = (SAYINGS[code] * 40 for code in ("pt", "en", "de"))

    found = find_languages([*portuguese * 3, *english, *german[:20]])

    assert found == ("pt", "en")
    assert name_languages(found) == "Portuguese, English"


@pytest.mark.parametrize("texts", [[], ["hi", "😂", "42"]], ids=["nothing", "a few words"])
def test_too_little_text_has_no_language(texts):
    assert find_languages(texts) == ()


@pytest.mark.parametrize(
    ("base", "languages", "is_warned"),
    [
        ("smollm2", ("pt", "en"), True),
        ("HuggingFaceTB/SmolLM2-360M", ("pt",), True),
        ("google/flan-t5-small", ("ru",), True),
        ("smollm2", ("en", "pt"), False),
        ("smollm2", (), False),
        ("Qwen/Qwen3-0.6B", ("pt",), False),
    ],
)
def test_a_base_that_was_trained_on_english_suits_english_only(base, languages, is_warned):
    warning = warn_about_language(base, languages)

    assert bool(warning) == is_warned
    if is_warned:
        assert warning.startswith(f"The chat is in {name_languages(languages[:1])}, but {base} ")
