"""The fields that the texts of each language fill in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeAlias

Forms: TypeAlias = tuple[str, str]
"""The singular and the plural of a counted noun."""


@dataclass(frozen=True, slots=True)
class Wording:
    """The texts of one language; the code that sends a text fills in its `{placeholders}`.

    `thousands` separates groups of three digits. `weekdays` are names separated by spaces, from
    Monday; their first three letters are their short names.
    """

    introduction: str
    command_help: str
    voices_here: str

    not_added_by_admin: str
    no_admin_yet: str
    no_channels: str
    silent_here: str
    greeting: str
    needs_allow: str
    allowed: str
    admins_only: str
    groups_only: str
    private_admins_only: str
    privacy_mode_on: str
    privacy_mode_hint: str

    learned_from: str
    not_agreed_list: str
    too_few_messages_list: str
    choose_voice: str
    no_voices: str
    unclear_name: str
    shared_name: str
    unknown_name: str
    available_voices: str
    did_you_mean: str
    not_agreed: str
    declined: str
    too_few_messages: str
    no_reply: str
    opening_refused: str
    queued: str
    queue_timeout: str
    too_slow: str
    busy: str
    button_expired: str
    error: str
    later: str

    simulation_running: str
    stopped: str
    nothing_to_stop: str
    simulate_usage: str
    no_turn: str

    chatty_level: str
    chatty_usage: str
    chatty_unavailable: str
    group_admins_only: str
    quiet_on: str
    quiet_off: str
    quiet_usage: str

    why: str
    why_without_count: str
    why_rejected: str
    why_none_rejected: str
    rejections: Mapping[str, str]
    why_usage: str
    sticker_voice: str
    quiz_question: str
    quiz_machine: str
    quiz_machine_answer: str
    quiz_friend_answer: str
    quiz_unavailable: str
    quiz_not_sent: str
    score: str
    score_line: str
    score_machine: str
    no_score: str

    stats_summary: str
    stats_hours: str
    stats_words: str
    stats_too_few: str
    stats_recent: str
    weekdays: str

    anonymous_sender: str
    optin_done: str
    optin_done_in_private: str
    optin_silent: str
    optin_other_group: str
    optin_unknown: str
    optin_group_model: str
    optin_too_few_messages: str
    optin_roster_no: str
    optin_other_account: str
    optout_done: str
    everything: str
    forget_usage: str
    forget_not_allowed: str
    forget_no_voice: str
    forget_done: str
    forget_all_done: str
    also_deleted: str
    deleted_later: str
    cannot_delete: str
    privacy: str
    no_admins: str

    your_id: str
    version_loaded: str
    version_trained_until: str
    version_scores: str
    version_refused: str
    version_unusable: str
    model_in_folder: str
    model_version: str
    rollback_failed: str

    export_too_large: str
    export_refused: str
    export_not_downloaded: str
    export_saved: str
    retraining_busy: str
    retraining_started: str
    retraining_done: str
    retraining_failed: str

    status_model: str
    status_uptime: str
    status_voices: str
    status_not_agreed: str
    status_nobody: str
    status_privacy_off: str
    status_privacy_on: str
    status_no_reactions: str
    status_updates: str
    status_set_aside: str
    status_replies: str
    status_jobs_ok: str
    status_job_failing: str
    status_database: str
    status_messages: str
    status_groups: str
    status_here: str
    status_no_groups: str
    group_speaks: str
    group_learned: str
    group_allowed: str
    group_silent: str
    group_not_added: str
    group_no_reactions: str
    group_version: str
    group_unusable: str
    own_model_unusable: str

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
        """Return the names of the commands in all menus."""
        menus = (
            *self.commands_for_all,
            *self.commands_in_groups,
            *self.commands_in_private,
            *self.commands_for_admins,
        )
        return frozenset(name for name, _ in menus)

    def format_count(self, noun: Forms, number: int) -> str:
        """Return a number with its noun, for example "1 message" or "2,000 messages"."""
        one, many = noun
        return (one if number == 1 else many).format(count=self.format_number(number))

    def format_number(self, number: int) -> str:
        """Return a number with its digits in groups of three."""
        return f"{number:,}".replace(",", self.thousands)

    def format_duration(self, duration: timedelta) -> str:
        """Return a duration of whole minutes in the largest unit that divides it."""
        for noun, unit in ((self.days, timedelta(days=1)), (self.hours, timedelta(hours=1))):
            if duration % unit == timedelta(0):
                return self.format_count(noun, duration // unit)
        return self.format_count(self.minutes, duration // timedelta(minutes=1))

    def format_help(self, names: Sequence[str]) -> str:
        """Return the introduction, the commands and the available voices.

        The examples use the first two voices, or invented names if there are fewer.
        """
        first, second, *_ = dict.fromkeys((*names, "Hugo", "Ana"))
        commands = self.command_help.format(first=first, second=second)
        voices = self.voices_here.format(names=", ".join(names)) if names else self.no_voices
        return f"{self.introduction}\n\n{commands}\n\n{voices}"

    def format_unknown_name(self, names: Sequence[str]) -> str:
        """Say that nobody has that name, and list the available voices."""
        voices = self.available_voices.format(names=", ".join(names)) if names else self.no_voices
        return self.unknown_name.format(voices=voices)
