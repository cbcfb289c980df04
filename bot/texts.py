"""Everything the bot says in its own name, in English."""

from collections.abc import Iterable, Sequence

WHAT_IT_DOES = (
    "I learned how the friends of a group chat write, and I answer in their voices. "
    "What I say begins with 🎭 and a name; nobody of that name wrote it."
)
HOW_TO = (
    "/as Hugo: I answer what was said last as Hugo would\n"
    "/as Hugo what about Friday? says that to Hugo, and I answer as Hugo\n"
    "/as: choose a voice\n"
    "Reply to something I said in a voice, and that voice goes on.\n"
    "/simulate 5: the friends talk to each other for five turns, twenty at most\n"
    "/help: this text"
)

SILENT_HERE = (
    "I learned to talk from another group's messages, so I stay silent here. "
    "They belong to the people who wrote them."
)
_TO_AGREE = (
    'write imitate = "yes" in the dataset\'s roster.toml, train again and restart me, '
    "or set CONSENT=roster"
)
NO_VOICES = (
    "Nobody has agreed to be imitated yet, so I have no voice to use. For each friend who says yes "
    f"the admin can {_TO_AGREE}."
)
CHOOSE_VOICE = "Whose voice?"
SEVERAL_FIT = "I am not sure whom you mean. One of these?"
SEVERAL_HAVE_IT = "Several friends have that name. Whom do you mean?"
ALREADY_ON = "They are talking already. Let them finish, then ask again."
TURNS_WANTED = "How many turns? Write a number from 1 to {most}, such as /simulate {usual}."
NOTHING_TO_SAY = "They have nothing to say to that. Say something, then try again."
TOO_OLD = "This question is too old. Send /as again."
FAILED = "Something went wrong on my side, sorry. Please try again in a while."

COMMANDS = (
    ("as", "Answer in a friend's voice: /as Hugo"),
    ("simulate", "Let the friends talk: /simulate 5"),
    ("help", "What I can do"),
)


def help_text(names: Sequence[str]) -> str:
    """Say what the bot does and whose voices it has."""
    voices = f"The voices here: {', '.join(names)}." if names else NO_VOICES
    return f"{WHAT_IT_DOES}\n\n{HOW_TO}\n\n{voices}"


def your_id(user_id: int) -> str:
    """Tell whoever runs the bot what to write into .env."""
    return (
        f"Hello! Your Telegram id is {user_id}. If you run this bot, write this line into its "
        f".env and start it again:\n\nADMINS={user_id}"
    )


def unknown_voice(names: Sequence[str]) -> str:
    """Say that nobody is called that, and who there is."""
    there_is = f"There is {', '.join(names)}." if names else NO_VOICES
    return f"I know nobody of that name. {there_is}"


def did_you_mean(name: str) -> str:
    """Offer the only near name."""
    return f"I know nobody of that name. Did you mean {name}?"


def not_agreed(name: str) -> str:
    """Say why a voice is silent and how that can change."""
    return f"{name} has not agreed to be imitated. Once {name} has, the admin can {_TO_AGREE}."


def said_no(name: str) -> str:
    """Say that a voice stays silent."""
    return f"{name} does not want to be imitated, so I will not."


def too_quiet(name: str) -> str:
    """Say that the model never learned a voice, for want of messages."""
    return f"I have heard too little of {name} to know how they talk."


def speechless(name: str) -> str:
    """Say that nothing came out."""
    return f"I could not think of anything that {name} would say to that. Try again?"


def turns_wanted(usual: int, most: int) -> str:
    """Say what /simulate takes."""
    return TURNS_WANTED.format(usual=usual, most=most)


def up(username: str, model: str, names: Iterable[str], *, reads_all: bool) -> str:
    """Say, in the terminal, that the bot is up."""
    voices = ", ".join(names)
    speaks = f"speaking as {voices}" if voices else "with no voice that may be used (see CONSENT)"
    line = f"@{username} is up, model {model}, {speaks}."
    return line if reads_all else f"{line} {PRIVACY_IS_ON}"


PRIVACY_IS_ON = (
    "Privacy mode is on: in groups the bot hears commands and replies to it, and nothing else, "
    "unless it is an admin there. Switch it off in @BotFather (/setprivacy), then remove the bot "
    "from the group and add it again."
)
