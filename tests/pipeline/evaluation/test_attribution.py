"""The judge knows its people's lines, and gives nothing to those of others."""

import random

import pytest

from model.errors import DatasetError
from pipeline.evaluation.attribution import judge_lines, measure_attribution, shuffle_names
from pipeline.evaluation.heldout import HeldOutLine, list_lines, make_real_answers
from pipeline.evaluation.judge import read_judge_turns, train_judge
from tests.pipeline.evaluation.people import VOICES, answers, next_voice, turns


@pytest.fixture(scope="module")
def judge():
    return train_judge(real(60, 1))


def real(count, seed):
    return list_lines(make_real_answers(turns(count, seed, sessions=12)))


def attribute(judge, size=10, **arms):
    """Attribute the arms' lines; `real` are real lines unless given."""
    lines = {"real": real(40, 2), **arms}
    judged = {name: judge_lines(judge, own) for name, own in lines.items()}
    return measure_attribution(judged, judge.voices, "real", size, seed=0)


def test_real_lines_of_people_unlike_each_other_are_told_apart(judge):
    assert attribute(judge, 1)["real"].named.value > 0.9
    found = attribute(judge)["real"]
    assert found.named.value == found.relative.value == found.relative.low == 1.0
    assert found.confusion == ((1, 0, 0), (0, 1, 0), (0, 0, 1))


def test_lines_in_somebody_elses_way_are_attributed_to_them(judge):
    swapped = list_lines(answers(turns(20, 2), 3, next_voice))

    assert attribute(judge, 1, other=swapped)["other"].named.value < 0.1
    assert attribute(judge, other=swapped)["other"].relative.value == 0.0


def test_lines_that_are_alike_whoever_says_them_are_no_better_than_chance(judge):
    chance = random.Random(0)
    anybody = [
        HeldOutLine(voice, f"yes {chance.randrange(9)}") for voice in VOICES for _ in range(60)
    ]

    assert attribute(judge, other=anybody)["other"].named.value < 0.5


def test_nothing_is_compared_with_real_lines_that_the_judge_never_recognises(judge):
    swapped = list_lines(answers(turns(20, 2), 3, next_voice))

    found = attribute(judge, real=swapped, other=real(40, 3))["other"]

    assert found.named.value == 1.0
    assert (found.relative.value, found.relative.low, found.relative.high) == (0.0, 0.0, 0.0)


def test_more_lines_in_a_bag_tell_more(judge):
    hard = [
        HeldOutLine(line.voice, line.text if number % 3 == 0 else "okay then", line.session)
        for number, line in enumerate(real(60, 2))
    ]
    shares = [attribute(judge, size=size, hard=hard)["hard"].named.value for size in (1, 5, 10)]

    assert shares[0] < shares[1] <= shares[2]


def test_the_bags_of_the_voice_that_says_least_are_counted(judge):
    much = [line for line in real(40, 2) if line.voice == VOICES[0]]
    little = [line for line in real(20, 3) if line.voice != VOICES[0]]

    found = attribute(judge, size=5, uneven=[*much, *little])["uneven"]

    assert found.bags == min(sum(one.voice == v for one in little) for v in VOICES[1:]) // 5


def test_a_voice_without_lines_counts_as_never_recognised(judge):
    two = [line for line in real(20, 2) if line.voice != VOICES[0]]

    found = attribute(judge, size=1, two=two, none=[])

    assert found["two"].named.value == pytest.approx(2 / 3, abs=0.1)
    assert found["none"].named.value == 0.0


def test_the_same_seed_gives_the_same_figures():
    once, again = (attribute(train_judge(real(20, 1))) for _ in range(2))

    assert once == again


def mixed(count, share=0.7, sessions=12):
    """Lines of which a share are in their owner's way, the others in somebody else's."""
    chance = random.Random(0)
    own = list_lines(make_real_answers(turns(count, 2, sessions=sessions)))
    voices = [line.voice if chance.random() < share else next_voice(line.voice) for line in own]
    return [HeldOutLine(v, line.text, line.session) for v, line in zip(voices, own, strict=True)]


def test_fewer_lines_give_wider_intervals(judge):
    few, many = (attribute(judge, size=1, mixed=mixed(count))["mixed"].named for count in (12, 120))

    assert few.high - few.low > many.high - many.low > 0
    assert many.low <= many.value <= many.high


def test_the_interval_of_a_share_ends_at_one_and_that_of_a_ratio_need_not(judge):
    found = attribute(judge, size=1, real=mixed(12), own=mixed(4, share=0.9))["own"]

    assert all(share.high <= 1 for share in (found.named, *found.voices.values()))
    assert any(share.value < 1 == share.high for share in found.voices.values())
    assert found.relative.high > 1


def test_the_ends_of_an_interval_are_in_order(judge):
    arms = {f"{share:g}": mixed(40, share=share) for share in (0.1, 0.5, 0.8, 0.9)}
    found = attribute(judge, size=5, **arms)

    for arm in found.values():
        assert all(0 <= share.low <= share.high <= 1 for share in arm.voices.values())


def test_each_voice_has_its_own_share(judge):
    own = [
        HeldOutLine(line.voice, "woof" if line.voice == "Tiago" else line.text, line.session)
        for line in real(40, 2)
    ]

    found = attribute(judge, own=own)["own"]

    assert found.voices["Tiago"].value == found.relative_voices["Tiago"].high == 0
    assert found.voices["Hugo"].value == found.relative_voices["Hugo"].value == 1
    assert found.named.value == pytest.approx(2 / 3)


def test_shuffled_names_are_not_recognised(judge):
    judged = {"real": judge_lines(judge, real(40, 2))}
    judged["shuffled"] = shuffle_names(judged["real"])

    found = measure_attribution(judged, judge.voices, "real", 10, seed=0)

    assert found["shuffled"].named.value == 0


def test_a_voice_with_ten_times_as_many_lines_attracts_no_others(judge):
    few = [line for line in real(60, 1) if line.voice != VOICES[0]][:40]
    uneven = train_judge([*(line for line in real(60, 1) if line.voice == VOICES[0]), *few])

    assert attribute(uneven, 1)["real"].named.value > 0.9


@pytest.mark.parametrize("lines", [[], ["hi"], ["hi", "ho"]])
def test_one_voice_alone_is_named_whatever_it_says(lines):
    judge = train_judge([HeldOutLine("Hugo", "hello")])

    judged = {"real": judge_lines(judge, [HeldOutLine("Hugo", text) for text in lines])}

    share = measure_attribution(judged, judge.voices, "real", 1, seed=0)["real"].named.value
    assert share == bool(lines)


ROW = '{"name": "Hugo", "messages": ["a", "b"], "conversation": 3}'


def test_a_judges_turns_are_read_from_a_file(tmp_path):
    file = tmp_path / "judge.jsonl"
    file.write_text(f"{ROW}\n{ROW.replace('Hugo', 'Tiago')}\n", "utf-8")

    (turn,) = read_judge_turns(file, {"Hugo"})

    assert (turn.voice, turn.messages, turn.session) == ("Hugo", ("a", "b"), 3)
    with pytest.raises(DatasetError, match="contains no turns by Andre"):
        read_judge_turns(file, {"Hugo", "Andre"})
    with pytest.raises(DatasetError, match="cannot be read"):
        read_judge_turns(tmp_path, {"Hugo"})


@pytest.mark.parametrize(
    "row", ["", "[" * 10**5, "7", "{}", ROW.replace('"b"', "7"), ROW.replace('["a", "b"]', "[]"),
            ROW.replace("3", '"3"'), ROW.replace('"Hugo"', "null")],
)  # fmt: skip
def test_a_damaged_line_is_named(tmp_path, row):
    file = tmp_path / "judge.jsonl"
    file.write_text(f"{ROW}\n{row}\n", "utf-8")

    with pytest.raises(DatasetError, match="line 2: expected"):
        read_judge_turns(file, {"Hugo"})
