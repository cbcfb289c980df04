"""What the known bases need, and how fast this machine trains."""

import re
from pathlib import Path

import pytest

from pipeline.training import known_bases
from pipeline.training.known_bases import SHAPES, Needs, Rates, measure_rates, needs_of

PAGE = Path(__file__).parents[3] / "docs" / "bases.md"
GB = 10**9
SMALL = Needs("small", "decoder-only", 100, train=8 * GB, lora=4 * GB, convert=6 * GB, operations=6)


@pytest.mark.parametrize("name", ["google/flan-t5-small", "smollm2", "gemma3-270m"])
def test_the_needs_are_those_that_the_docs_show(name):
    page = PAGE.read_text("utf-8")
    row = re.search(
        rf"\| `{name}` \| ([\d,]+) M \| ([\d.]+) GB \| ([\d.]+) GB \| ([\d.]+) GB", page
    )

    needs = needs_of(name)

    assert f"{needs.weights / 1e6:,.0f}" == row[1]
    sizes = (needs.train, needs.lora, needs.convert)
    assert [f"{size / GB:.1f}" for size in sizes] == list(row.groups()[1:])


@pytest.mark.parametrize(
    ("on_device", "in_main_memory", "fit"),
    [(9, 9, "all weights"), (5, 9, "lora"), (3, 9, "no"), (9, 5, "no")],
    ids=["enough", "enough for LoRA", "too little", "too little to convert"],
)
def test_what_fits(on_device, in_main_memory, fit):
    assert SMALL.fit(on_device * GB, in_main_memory * GB) == fit


def test_a_pass_takes_as_long_as_its_operations_and_lora_two_thirds():
    rates = Rates({"decoder-only": 2.0})

    assert rates.seconds_per_pass(SMALL, 100, lora=False) == 300
    assert rates.seconds_per_pass(SMALL, 100, lora=True) == 200


def test_this_machine_is_measured_with_both_families(monkeypatch):
    small = {"num_hidden_layers": 2, "vocab_size": 1024, "hidden_size": 72, "num_layers": 2}
    names = {one: {**SHAPES[one], **small} for one in ("smollm2", "google/flan-t5-small")}
    monkeypatch.setattr(known_bases, "SHAPES", names)
    monkeypatch.setattr("pipeline.training.plan._LONG_ENOUGH", 0.05)

    rates = measure_rates(bf16=False)

    assert set(rates.by_family) == {"decoder-only", "encoder-decoder"}
    assert all(10**6 < rate < 10**15 for rate in rates.by_family.values())
