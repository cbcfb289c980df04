"""Which base fits this machine, and how long it may train."""

import re
from dataclasses import replace
from types import SimpleNamespace

import pytest

from model.errors import UnderstudyError
from pipeline.start import bases
from pipeline.start.bases import ask_base, confirm_terms, suggest_minutes
from pipeline.training import wheels
from pipeline.training.known_bases import Rates
from pipeline.training.machine import GIB, Machine

BOTH = ("smollm2", "gemma3-270m")


def machine(memory):
    return Machine("Linux x86_64", 2, memory, memory, None, "3.11.1", "2.13.0", "4.8.5")


@pytest.fixture
def ask(script, monkeypatch, tmp_path):
    """Choose a base on a machine with this memory; return the choice and what was printed."""

    def run(
        *answers, gigabytes=8, is_online=True, messages=20_000, rate=1e11, languages=(),
        installed=("smollm2",), **options,
    ):  # fmt: skip
        rates = Rates({"decoder-only": rate, "encoder-decoder": rate})
        monkeypatch.setattr(bases, "describe_machine", lambda: machine(gigabytes * GIB))
        monkeypatch.setattr(bases, "is_hub_reachable", lambda _: is_online)
        monkeypatch.setattr(bases, "measure_rates", lambda bf16: rates)
        monkeypatch.setattr(bases, "is_installed", lambda name: name in installed)
        package = SimpleNamespace(origin=str(tmp_path / "package" / "__init__.py"))
        monkeypatch.setattr(wheels.importlib.util, "find_spec", lambda _: package)
        typed = script(*answers, takes_defaults=not answers)
        chosen = ask_base(typed.asker, messages, languages, tmp_path, **options)
        return chosen, typed.said

    return run


def test_what_fits_is_listed_with_its_memory_and_time(ask):
    (base, lora, seconds), said = ask("")

    assert (base, lora) == ("smollm2", False)
    assert seconds == pytest.approx(20_000 * 17 * 6 * 134.5e6 / 1e11, rel=0.01)
    assert "3  smollm2" in said
    assert re.search(r"Qwen/Qwen3-0.6B +5.1 GiB \(LoRA\) +about 2 h", said)
    assert "Qwen/Qwen3-4B" not in said


def test_a_chat_in_another_language_is_offered_a_base_that_knows_it(ask):
    (base, _, _), said = ask("", languages=("pt", "en"))

    said = " ".join(said.split())
    assert base == "Qwen/Qwen3-0.6B"
    assert "The chat is in Portuguese, but smollm2 was trained on English" in said
    assert "To install gemma3-270m: pip install 'understudy-bot[gemma]'; then start again." in said


def test_gemma_is_offered_where_it_is_installed_and_its_terms_are_asked_for_once(ask):
    (base, _, _), said = ask("", "y", languages=("pt",), installed=BOTH, is_online=False)
    (again, _, _), no_question = ask("", languages=("pt",), installed=BOTH, is_online=False)

    assert base == again == "gemma3-270m"
    said = " ".join(said.split())
    assert "Google's Gemma Terms of Use (https://ai.google.dev/gemma/terms). Do you accept" in said
    assert "Terms of Use" not in no_question


def test_whoever_refuses_the_terms_chooses_another_base(ask):
    (base, _, _), said = ask("", "", "1", languages=("pt",), installed=BOTH, is_online=False)

    assert base == "smollm2"
    assert "Without them gemma3-270m cannot be used. Choose another base." in said


def test_no_default_accepts_terms(ask):
    (base, _, _), _ = ask(languages=("pt",), installed=BOTH, is_online=False)
    (accepted, _, _), _ = ask(
        "", languages=("pt",), installed=BOTH, is_online=False, accepts_terms=True
    )
    (later, _, _), _ = ask(languages=("pt",), installed=BOTH, is_online=False)

    assert (base, accepted, later) == ("smollm2", "gemma3-270m", "gemma3-270m")


def test_terms_that_an_option_accepts_are_not_asked_for(ask):
    (base, _, _), _ = ask(languages=("pt",), installed=BOTH, is_online=False, accepts_terms=True)

    assert base == "gemma3-270m"


def test_an_english_chat_is_offered_smollm2(ask):
    (base, _, _), _ = ask("", languages=("en", "pt"), installed=BOTH)

    assert base == "smollm2"


def test_without_a_terminal_terms_need_their_option(script, ask, tmp_path):
    ask("", languages=("en",), installed=BOTH)
    asker = replace(script().asker, read=None)

    with pytest.raises(UnderstudyError, match="--accept-terms"):
        confirm_terms(asker, "gemma3-270m", tmp_path, accepted=False)


def test_a_number_chooses_a_base_and_lora_where_only_that_fits(ask):
    (base, lora, _), said = ask("5")

    assert (base, lora) == ("Qwen/Qwen3-0.6B", True)
    assert max(map(len, said.splitlines())) <= 80


def test_a_number_that_is_not_in_the_list_is_asked_for_again(ask):
    (base, _, _), said = ask("2", "1", is_online=False)

    assert base == "smollm2"
    assert "There is no number 2 in the list." in said


def test_without_the_hub_only_the_base_in_the_wheel_is_offered(ask):
    (base, _, _), said = ask("1", is_online=False)

    assert base == "smollm2"
    assert "cannot be reached" in said
    assert "flan" not in said


def test_a_base_that_is_not_installed_is_asked_for_again(ask):
    (base, _, _), said = ask("gemma3-270m", "1", is_online=False)

    assert base == "smollm2"
    assert "To install gemma3-270m: pip install" in said


def test_without_the_hub_a_mistyped_base_is_asked_for_again(ask, tmp_path):
    (base, _, _), said = ask("smollm", str(tmp_path), is_online=False)

    assert base == str(tmp_path)
    assert "There is no folder smollm, and the model hub cannot be reached." in said


def test_any_other_base_is_taken_as_it_is(ask):
    (base, lora, seconds), _ = ask("some/base")

    assert (base, lora, seconds) == ("some/base", False, None)


def test_with_little_memory_the_smallest_is_suggested(ask):
    (base, lora, _), _ = ask("", gigabytes=1.5)

    assert (base, lora) == ("google/flan-t5-small", True)


@pytest.mark.parametrize(("seconds", "minutes"), [(None, 60), (1.0, 5), (300.0, 20), (9_000.0, 60)])
def test_the_time_limit_is_four_passes_from_5_to_60_minutes(seconds, minutes):
    assert suggest_minutes(seconds) == minutes
