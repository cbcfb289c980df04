"""The measurement of joining, on conversations with known answers."""

from datetime import UTC, datetime, timedelta

import pytest

from benchmarks.joining import Prediction, compare, main, measure_joining
from model.joining import FEATURES, LEVELS, LineFacts, Propensity, VoiceWeights
from pipeline.training.joining import Occasion
from tests.command_line import run_main

NOON = datetime(2024, 3, 1, 12, tzinfo=UTC)


def occasion(author, answered_by, before=()):
    lines = [*before, author]
    said = [LineFacts(NOON + timedelta(seconds=n), by) for n, by in enumerate(lines)]
    return Occasion(said, answered_by)


def knowing(bar=0.5):
    """Return a model by which Ana answers Rui with 3 in 4, and anybody else with 1 in 4."""
    weights = VoiceWeights(
        0.0, (0.0,) * len(FEATURES), {"Rui": 1.098612, "Zé": -1.098612}, (bar,) * len(LEVELS)
    )
    return Propensity({"Ana": weights})


TALK = [
    *[occasion("Rui", "Ana", ["Ana"])] * 3,
    *[occasion("Rui", None, ["Ana"])],
    *[occasion("Zé", "Ana")] * 1,
    *[occasion("Zé", None)] * 3,
    *[occasion("Ana", "Rui")] * 2,
]


def test_joins_are_counted_against_answers_and_hits_against_luck():
    (ana,) = measure_joining(knowing(), TALK)

    assert (ana.occasions, ana.answers) == (8, 4)
    assert ana.expected == pytest.approx(4, abs=1e-4)
    assert ana.error == pytest.approx(0, abs=1e-4)
    assert ana.auc == pytest.approx(0.75)
    assert (ana.rate, ana.present_rate) == (0.5, 0.75)
    assert [(one.level, one.joins, one.hits) for one in ana.levels] == [
        (25, 4, 3), (50, 4, 3), (100, 4, 3)
    ]  # fmt: skip


def test_the_calibration_error_of_wrong_probabilities_is_measured():
    wrong = [occasion("Rui", None)] * 4 + [occasion("Zé", "Ana")] * 4

    (ana,) = measure_joining(knowing(), wrong)

    assert ana.error == pytest.approx(0.75, abs=1e-4)
    assert ana.auc == 0


def test_a_voice_that_never_answers_there_is_left_out():
    assert measure_joining(knowing(), [occasion("Rui", None)]) == ()


def test_both_models_are_compared_on_all_lines_and_where_the_friend_is_present():
    pairs = [
        *[(occasion("Rui", "Ana", ["Ana"]), 0.9, 0.8)] * 2,
        *[(occasion("Rui", None, ["Ana"]), 0.1, 0.9)] * 2,
        *[(occasion("Rui", None), 0.2, 0.1)] * 4,
        (occasion("Ana", "Rui"), 0.9, 0.9),
    ]
    found = [
        Prediction(n, one, fitted={"Ana": fitted}, own={"Ana": own})
        for n, (one, fitted, own) in enumerate(pairs)
    ]

    ana, everybody, ana_present, _ = compare(found)

    assert (ana.name, ana.present, ana.occasions, ana.answers) == ("Ana", False, 8, 2)
    assert (ana.fitted.value, ana.own.value) == (1, pytest.approx(4 / 6))
    assert ana.difference.value == pytest.approx(-2 / 6)
    assert (everybody.name, everybody.fitted) == ("all of them", ana.fitted)
    assert (ana_present.present, ana_present.occasions) == (True, 4)
    assert (ana_present.fitted.value, ana_present.own.value) == (1, 0)
    assert ana_present.difference.low <= ana_present.difference.value == -1


def run(folder, *more):
    return run_main(main, "joining", folder, *more)


def test_the_command_prints_tables_of_a_dataset(habits_dataset):
    found = run(habits_dataset, "--split", "validation")

    assert found.returncode == 0, found.stderr
    assert found.stdout.startswith("| voice | lines of others | answered |")
    assert "| all of them | 100 |" in found.stdout


@pytest.mark.parametrize("trained", ["decoder-only"], indirect=True)
def test_the_command_compares_a_versions_own_distribution(trained, habits_dataset):
    found = run(habits_dataset, "--split", "validation", "--models-dir", str(trained.root))

    assert found.returncode == 0, found.stderr
    assert found.stdout.startswith("| voice | lines | of others |")
    assert "| all of them | present |" in found.stdout
