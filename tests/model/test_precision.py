import pytest

from model import precision
from model.precision import bf16_gain, choose_precision


@pytest.fixture
def able(monkeypatch):
    """A CPU that has instructions for bf16, and no GPU."""
    monkeypatch.setattr("torch.cpu.get_capabilities", lambda: {"avx512_bf16": True})
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: False)


@pytest.mark.parametrize(("gain", "bf16"), [(4.0, True), (1.0, False), (0.6, False)])
def test_bf16_is_chosen_where_it_is_measured_to_be_faster(able, monkeypatch, gain, bf16):
    monkeypatch.setattr(precision, "bf16_gain", lambda: gain)

    chosen = choose_precision()

    assert chosen.bf16 is bf16
    assert f"{gain} times as fast" in chosen.reason


def test_without_the_instructions_nothing_is_measured(able, monkeypatch):
    monkeypatch.setattr("torch.cpu.get_capabilities", dict)
    monkeypatch.setattr(precision, "bf16_gain", None)

    assert not choose_precision().bf16


def test_what_is_told_goes_first():
    assert [choose_precision(name).bf16 for name in ("bf16", "float32")] == [True, False]


def test_the_gain_is_a_measured_ratio():
    assert 0.01 < bf16_gain() < 100
