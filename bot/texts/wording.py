"""What there is to say: one field a text, filled in by each language."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeAlias

Forms: TypeAlias = tuple[str, str]
"""A noun's forms: singular, and plural with any other number."""


@dataclass(frozen=True, slots=True)
class Wording:
    """The texts of one language; `{braces}` are filled in where a text is sent.

    `thousands` separates groups of three digits.
    """

    what_it_does: str
    how_to: str
    voices_here: str

    stranger_group: str
    no_admin_yet: str
    no_channels: str
    silent_here: str
    authorised_here: str
    may_be_allowed: str
    allowed_here: str
    for_admins: str
    only_in_groups: str
    admins_only_here: str
    privacy_is_on: str
    privacy_hint: str

    learned_from: str
    have_not_agreed: str
    heard_too_little: str
    choose_voice: str
    no_voices: str
    several_fit: str
    several_have_it: str
    unknown_voice: str
    there_is: str
    did_you_mean: str
    not_agreed: str
    said_no: str
    too_quiet: str
    speechless: str
    not_to_begin_with: str
    queued: str
    queue_too_long: str
    too_slow: str
    one_moment: str
    too_old: str
    failed: str

    already_on: str
    turns_wanted: str
    nothing_to_say: str

    chatty_is: str
    chatty_wanted: str
    chatty_unknown: str
    for_group_admins: str
    quiet_for: str
    quiet_no_more: str
    quiet_wanted: str

    why: str
    why_unread: str
    why_rejected: str
    why_none_rejected: str
    rejections: Mapping[str, str]
    why_what: str
    only_a_voice: str
    who_said_it: str
    the_machine: str
    it_was_the_machine: str
    it_was_a_friend: str
    nothing_to_guess: str
    no_polls_here: str
    score: str
    score_of_one: str
    score_of_the_machine: str
    no_score: str

    as_yourself: str
    agreed: str
    agreed_unknown: str
    agreed_too_quiet: str
    agreed_against_roster: str
    agreed_elsewhere_not: str
    withdrawn: str
    how_to_forget: str
    not_yours: str
    nothing_to_forget: str
    forgot_it: str
    forgot_all: str
    taken_back: str
    cannot_take_back: str
    privacy: str
    nobody_named: str

    your_id: str
    now_speaking: str
    trained_until: str
    right_voice_change: str
    refused_version: str
    the_model: str
    no_rollback: str

    export_too_large: str
    export_refused: str
    export_lost: str
    how_to_retrain: str
    still_retraining: str
    retraining: str
    retrained: str
    retraining_failed: str

    status_model: str
    status_up: str
    status_voices: str
    status_not_agreed: str
    status_nobody: str
    status_hears_all: str
    status_hears_commands: str
    status_no_reactions: str
    status_updates: str
    status_ids: str
    status_replies: str
    status_jobs_well: str
    status_job_fails: str
    status_database: str
    status_messages: str
    status_groups: str
    status_here: str
    status_no_groups: str
    group_speaks: str
    group_learned: str
    group_allowed: str
    group_silent: str
    group_not_let_in: str
    group_no_reactions: str

    messages: Forms
    minutes: Forms
    hours: Forms
    days: Forms
    thousands: str

    commands_for_all: tuple[tuple[str, str], ...]
    commands_in_groups: tuple[tuple[str, str], ...]
    commands_in_private: tuple[tuple[str, str], ...]
    commands_for_admins: tuple[tuple[str, str], ...]

    @property
    def command_names(self) -> frozenset[str]:
        """Return the commands of all menus."""
        menus = (
            *self.commands_for_all,
            *self.commands_in_groups,
            *self.commands_in_private,
            *self.commands_for_admins,
        )
        return frozenset(name for name, _ in menus)

    def count(self, noun: Forms, number: int) -> str:
        """Return a number with its noun, such as "1 message" or "2,000 messages"."""
        one, many = noun
        written = f"{number:,}".replace(",", self.thousands)
        return (one if number == 1 else many).format(count=written)

    def span(self, span: timedelta) -> str:
        """Return a span of whole minutes in the largest unit that fits it."""
        for noun, unit in ((self.days, timedelta(days=1)), (self.hours, timedelta(hours=1))):
            if span % unit == timedelta(0):
                return self.count(noun, span // unit)
        return self.count(self.minutes, span // timedelta(minutes=1))

    def help(self, names: Sequence[str]) -> str:
        """Say what the bot does and whose voices it has."""
        voices = self.voices_here.format(names=", ".join(names)) if names else self.no_voices
        return f"{self.what_it_does}\n\n{self.how_to}\n\n{voices}"

    def nobody_called_that(self, names: Sequence[str]) -> str:
        """Say that nobody is called that, and who there is."""
        there_is = self.there_is.format(names=", ".join(names)) if names else self.no_voices
        return self.unknown_voice.format(there_is=there_is)
