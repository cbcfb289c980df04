import os
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest

from pipeline.training import device
from pipeline.training.device import choose_precision, measure_bf16_gain


@pytest.fixture
def able(monkeypatch):
    """A CPU that has instructions for bf16, and no GPU."""
    monkeypatch.setattr("torch.cpu.get_capabilities", lambda: {"avx512_bf16": True})
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: False)


@pytest.mark.parametrize(("gain", "bf16"), [(4.0, True), (1.0, False), (0.6, False)])
def test_bf16_is_chosen_where_it_is_measured_to_be_faster(able, monkeypatch, gain, bf16):
    monkeypatch.setattr(device, "measure_bf16_gain", lambda: gain)

    chosen = choose_precision("auto")

    assert chosen.bf16 is bf16
    assert f"{gain} times as fast" in chosen.reason


def test_without_the_instructions_nothing_is_measured(able, monkeypatch):
    monkeypatch.setattr("torch.cpu.get_capabilities", dict)
    monkeypatch.setattr(device, "measure_bf16_gain", None)

    assert not choose_precision("auto").bf16


def test_a_requested_precision_is_used():
    assert [choose_precision(name).bf16 for name in ("bf16", "float32")] == [True, False]


@contextmanager
def busy_core(count):
    """Share one core with `count` busy programs."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        time.sleep(0.3)  # until they have begun
        yield
    finally:
        for program in busy:
            program.kill()
            program.wait()
        os.sched_setaffinity(0, before)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no way to share one core here")
def test_a_busy_machine_does_not_change_the_choice():
    with busy_core(0):
        quiet = measure_bf16_gain.__wrapped__()  # not the cached value
    with busy_core(2):
        busy = measure_bf16_gain.__wrapped__()

    # with AMX the gain is so large that memory decides it, which other programs use too
    is_clear = min(quiet, busy) > 2 * device._MIN_GAIN
    assert is_clear or busy == pytest.approx(quiet, rel=0.35)


@pytest.mark.parametrize("bf16", [True, False])
def test_a_resumed_run_keeps_its_precision_whatever_is_measured_now(
    able, monkeypatch, tmp_path, bf16
):
    monkeypatch.setattr(device, "measure_bf16_gain", lambda: 0.5 if bf16 else 4.0)
    (tmp_path / "precision").write_text("bf16\n" if bf16 else "float32\n")

    resumed = choose_precision("auto", tmp_path / "precision")

    assert resumed.bf16 is bf16
    assert "as in the interrupted run" in resumed.reason
    assert choose_precision("auto", tmp_path / "none").bf16 is not bf16
    assert choose_precision("float32", tmp_path / "precision").bf16 is False
