"""What there is to say: one field a text, filled in by each language."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Wording:
    """The texts of one language; `{braces}` are filled in where a text is sent."""

    what_it_does: str
    how_to: str
    voices_here: str

    stranger_group: str
    silent_here: str
    authorised_here: str
    may_be_allowed: str
    allowed_here: str
    for_admins: str
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
    too_slow: str
    one_moment: str
    too_old: str
    failed: str

    already_on: str
    turns_wanted: str
    nothing_to_say: str

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

    your_id: str
    now_speaking: str
    refused_version: str

    commands_for_all: tuple[tuple[str, str], ...]
    commands_in_groups: tuple[tuple[str, str], ...]
    commands_in_private: tuple[tuple[str, str], ...]
    commands_for_admins: tuple[tuple[str, str], ...]

    def help(self, names: Sequence[str]) -> str:
        """Say what the bot does and whose voices it has."""
        voices = self.voices_here.format(names=", ".join(names)) if names else self.no_voices
        return f"{self.what_it_does}\n\n{self.how_to}\n\n{voices}"

    def nobody_called_that(self, names: Sequence[str]) -> str:
        """Say that nobody is called that, and who there is."""
        there_is = self.there_is.format(names=", ".join(names)) if names else self.no_voices
        return self.unknown_voice.format(there_is=there_is)
