import pytest

from pipeline.evaluation.text_metrics import split_words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Não, it's João's!", ["não", "its", "joãos"]),
        ("日本 is Japan", ["日", "本", "is", "japan"]),
        ("हिन्दी भाषा", ["हिन्दी", "भाषा"]),
        ("ok 😂😂 👍🏽", ["ok", "😂", "😂", "👍🏽"]),
        ("well...then", ["well", "then"]),
        ("مرحبا بك", ["مرحبا", "بك"]),
        ("  ?! … ", []),
    ],
    ids=["accents", "Han", "marks", "emoji", "punctuation", "Arabic", "nothing"],
)
def test_every_script_keeps_its_words(text, expected):
    assert split_words(text) == expected
