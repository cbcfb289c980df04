"""Options about exports and people that several commands have."""

from model.options import Option

CHAT = Option("Chat name or id, if there are several")
ROSTER = Option("People and their consent")
TIMEZONE = Option(
    "Time zone of old exports without UTC times",
    name="timezone",
    default_text="this machine's",
)
MIN_MESSAGES = Option("Minimum messages for a voice", least=1)
SKIP_DAMAGED = Option("Accept exports with over 1 % damaged messages")
