"""The bot's texts in English, which every other language overrides."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from types import MappingProxyType
from typing import TypeAlias

Forms: TypeAlias = tuple[str, str]
"""The singular and the plural of a counted noun."""

Menu: TypeAlias = tuple[tuple[str, str], ...]
"""Commands with their descriptions."""

_TO_AGREE = "send /optin, or ask an admin to write “yes” in the file roster.toml"


class Wording:
    """The texts of one language; the code that sends a text fills in its `{placeholders}`.

    `thousands` separates groups of three digits. `weekdays` are names separated by spaces, from
    Monday; their first three letters are their short names.
    """

    introduction = (
        "I have learned how the friends in a group chat write, and I can answer in their voices. A "
        "message that starts with 🎭 and a name is from me, not from that person."
    )
    command_help = (
        "/as {first} – I answer the last message as {first} would\n"
        "/as {first} what about Friday? – you say that to {first}, and I answer as {first}\n"
        "/as {first}: well, I – my answer as {first} starts with “well, I”\n"
        "/as anyone – I answer as whoever would most likely answer\n"
        "/as – choose a voice\n"
        "Reply to something I said in a voice, and I answer in that voice.\n"
        "/simulate 5 – the friends talk to each other for five turns (at most twenty)\n"
        "/simulate {first}, {second} about the trip – {first} and {second} talk about the trip\n"
        "/stop – they stop talking\n"
        "/quiet 8h – I don't join in for eight hours\n"
        "/chatty 30 – how often I join in, from 0 to 100\n"
        "/why, in reply to a message of mine – how I came up with it\n"
        "/voices – the voices I have\n"
        "/guess – who said it, a friend or the machine? /guess score – who guesses best\n"
        "/stats – who talks when, and each friend's typical words\n"
        "/optin, /optout – let me speak in your voice, or make me stop\n"
        "/forget, in reply to a message – I forget it; /forget all – I forget all your messages\n"
        "/privacy – what I keep, and for how long\n"
        "/help – this message"
    )
    voices_here = "Voices here: {names}."
    not_added_by_admin = (
        "Hello! I only answer in groups that my admin added me to, so I'm leaving. No hard "
        "feelings."
    )
    no_admin_yet = (
        "Hello! I have no admin yet, so I'm leaving. If you run me, send me /start in private, and "
        "I'll tell you how to become my admin. Then add me again."
    )
    no_channels = "I answer in groups, not in channels, so I left the channel you added me to."
    silent_here = (
        "I learned to talk from another group's messages, so I stay silent here. Those messages "
        "belong to the people who wrote them."
    )
    greeting = "Hello! I'm ready to talk here. /help shows what I can do. {voices}"
    needs_allow = (
        "I learned to talk from the chat “{chats}”, and what I say may come from there. So I stay "
        "silent here. If the members of that chat agree, one of my admins can send /allow here."
    )
    allowed = "All right, I now speak here too, with what I learned from “{chats}”."
    admins_only = "Only my admins can use that."
    groups_only = "Please send that in a group."
    private_admins_only = (
        "In private I only talk with my admins. Everyone else can talk to me in the group. Here "
        "you can send me /start, /help, /privacy, /optin, /optout and /forget all."
    )
    privacy_mode_on = (
        "Privacy mode is on: in groups the bot only receives commands and replies to its messages, "
        "unless it is an admin there. To switch it off, use /setprivacy in @BotFather, then remove "
        "the bot from the group and add it again."
    )
    privacy_mode_hint = (
        "(Privacy mode is on, so I only received your command and not the conversation before it. "
        "A group admin can fix that: make me an admin, or use /setprivacy in @BotFather.)"
    )
    learned_from = ", who wrote {messages}"
    not_agreed_list = (
        f"These friends haven't agreed, so I don't speak as them: {{names}}. To agree, {_TO_AGREE}."
    )
    too_few_messages_list = (
        "I don't have enough messages from these friends to imitate them: {names}."
    )
    choose_voice = "Whose voice?"
    no_voices = (
        f"Nobody has agreed to be imitated yet, so I have no voice to use. To agree, {_TO_AGREE}."
    )
    unclear_name = "I'm not sure who you mean. One of these?"
    shared_name = "Several friends have that name. Who do you mean?"
    unknown_name = "I don't know anyone with that name. {voices}"
    available_voices = "I have the voices of {names}."
    did_you_mean = "I don't know anyone with that name. Did you mean {name}?"
    not_agreed = f"{{name}} hasn't agreed to be imitated. To agree, {_TO_AGREE}."
    declined = "I was asked not to imitate {name}."
    too_few_messages = "I don't have enough messages from {name} to imitate them."
    no_reply = "I couldn't think of anything {name} would say to that. Try again?"
    opening_refused = (
        "I can't start with that. Use at most {most} characters on one line, without brackets, "
        "private data, or a name followed by a colon."
    )
    queued = "One moment, I have to finish a few other replies first."
    queue_timeout = "Sorry, I was too busy with other replies to get to yours. Try again later?"
    too_slow = "Sorry, that took me too long. Try again?"
    busy = "One moment, I'm still working on your earlier requests."
    button_expired = "This button no longer works. Please send /as again."
    error = "Sorry, something went wrong on my side. Please try again in a few minutes."
    later = (
        "I can't do that right now, but I'll do it as soon as I can. You don't need to ask again."
    )
    simulation_running = "They are already talking. Let them finish, or send /stop."
    stopped = "I've stopped."
    nothing_to_stop = "Nobody is talking right now."
    simulate_usage = (
        "How many turns? Send a number from 1 to {most}, for example /simulate {usual}."
    )
    no_turn = "They have nothing to say to that. Write something and try again."
    chatty_level = (
        "How often I join in unprompted: {level} on a scale from 0 (never) to 100. /quiet silences "
        "me for a while."
    )
    chatty_usage = (
        "How often should I join in? Send a number from 0 (never) to 100, for example /chatty 30."
    )
    chatty_unavailable = (
        "My current model hasn't learned when people answer each other, so I can't join in "
        "unprompted. That needs a newly trained version."
    )
    group_admins_only = "Only the admins of this group can use that."
    quiet_on = "I won't join in unprompted for {time}."
    quiet_off = "I may join in again."
    quiet_usage = (
        "For how long? Send for example /quiet 30m, /quiet 8h or /quiet 2d. /quiet off ends it."
    )
    why = (
        "I wrote that in {voice}'s voice, with version {version} of the model, after reading "
        "{messages}."
    )
    why_without_count = "I wrote that in {voice}'s voice, with version {version} of the model."
    why_rejected = "Rejected candidates: {count} ({reasons})"
    why_none_rejected = "Rejected candidates: none"
    rejections: Mapping[str, str] = MappingProxyType(
        {
            "empty": "no words",
            "brackets": "brackets",
            "damaged": "damaged characters",
            "label": "words of another speaker",
            "private": "private data",
            "opening": "not the words asked for",
            "repeats": "repetition",
            "copied": "copied from a training message",
        }
    )
    why_usage = "Send /why in reply to a message that I wrote in somebody's voice."
    sticker_voice = "{name} didn't send this. I did, in {name}'s voice."
    quiz_question = "Who said it?\n\n“{text}”"
    quiz_machine = "the machine 🎭"
    quiz_machine_answer = "The machine made it up, in {name}'s voice."
    quiz_friend_answer = "{name} wrote it on {date}."
    quiz_unavailable = (
        "I need longer messages from friends who agreed to be imitated, and I have none left to "
        "ask about. Talk for a while, then try again."
    )
    quiz_not_sent = "I couldn't send the quiz. Am I allowed to send polls here?"
    score = "Correct guesses:\n{people}"
    score_line = "{name}: {right} of {total}"
    score_machine = "Times the machine passed for a friend: {fooled} of {total}"
    no_score = "Nobody has guessed yet. Send /guess to start."
    stats_summary = (
        "📊 {messages} since {date}, by friends who let me imitate them. They write most on "
        "{weekday}, from {hour}:00 to {end}:00."
    )
    stats_hours = "Who talks when"
    stats_words = "Each friend's characteristic words"
    stats_too_few = (
        "I count messages of friends who let me imitate them, and here I have only {messages}. "
        "Talk for a while, then try again."
    )
    stats_recent = "I just posted that. Ask me again in a minute."
    weekdays = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday"
    anonymous_sender = (
        "I can't tell who you are when you write as the group or as a channel. Please write as "
        "yourself, or send me that in private."
    )
    optin_done = (
        "Thank you, {name}! I can now speak in your voice in this group. To stop that at any time, "
        "send /optout."
    )
    optin_done_in_private = (
        "Thank you, {name}! I can now speak in your voice in the chat “{chats}”, and in private "
        "with my admins. To stop that at any time, send /optout."
    )
    optin_silent = (
        "Thank you! That applies to this group only. I'm silent here, so nothing happens unless "
        "one of my admins changes that. To withdraw your consent at any time, send /optout."
    )
    optin_other_group = (
        "Thank you! That applies to this group only: if I have learned from your messages, I can "
        "now speak in your voice here. /voices lists the voices. To stop that at any time, send "
        "/optout."
    )
    optin_unknown = (
        "Thank you! I haven't learned from your messages yet, so I can't speak in your voice. Your "
        "consent takes effect as soon as I have, if the person who runs me allows it."
    )
    optin_group_model = (
        "I have a separate model for a group that you are in. To let me speak in your voice there, "
        "send /optin in that group."
    )
    optin_too_few_messages = (
        "Thank you, {name}! I don't have enough messages from you to imitate you yet, though."
    )
    optin_roster_no = (
        "Thank you, {name}! The person who runs me entered “no” for you, though, so I won't speak "
        "in your voice until they change that."
    )
    optin_other_account = (
        "Thank you, {name}! Another account of yours sent /optout, though, so I won't speak in "
        "your voice until that account sends /optin too."
    )
    everything = "everything"
    optout_done = (
        "I won't speak in your voice any more, and I erased {messages} of yours. If you change "
        "your mind, send /optin. Earlier copies, and what I have already learned, remain for a "
        "while: see /privacy."
    )
    forget_usage = (
        "Send /forget in reply to a message of yours, or to one that I wrote in your voice. "
        "/forget all: I forget all your messages."
    )
    forget_not_allowed = (
        "Only the author, the person whose voice it is, the admins of this group and my admins can "
        "make me forget that."
    )
    forget_no_voice = "I didn't write that in anyone's voice, so there is nothing to forget."
    forget_done = "Forgotten. I can't read it any more, and I won't learn from it."
    forget_all_done = (
        "I forgot {messages} of yours. Earlier copies, and what I have already learned, remain for "
        "a while: see /privacy."
    )
    also_deleted = "I also deleted {messages} of mine based on it."
    deleted_later = (
        "I'm going to delete {messages} of mine based on it as soon as Telegram lets me."
    )
    cannot_delete = (
        "I can't delete {messages} of mine based on it: Telegram allows that for only 48 "
        "hours. An admin of the group can still do it. I keep no copy."
    )
    privacy = (
        "Where I speak, I keep what people write and who wrote it, so that I can answer:\n"
        "• messages of friends who let me speak in their voices, until they send /optout or "
        "/forget. I may learn from these when I'm trained again\n"
        "• everyone else's messages, and forwarded ones, for {days}. Then I erase them, and I "
        "never learn from them\n"
        "• my private conversations with my admins, for {days}: plain messages, /as, /simulate and "
        "my answers in a voice. I never learn from them. An export that an admin sends me is "
        "deleted after training, or after two days\n"
        "• what I said in groups, and which messages it was based on\n"
        "• who sent /optin or /optout, when and in which group, the ids of forgotten messages, "
        "reactions to what I said, guesses in /guess, which stickers a group uses but not who sent "
        "them, which groups I'm in and their settings\n"
        "• the names that Telegram shows for the people I was trained on, even after /forget all, "
        "because they only serve to recognise whose words others have copied\n"
        "• messages that I failed to handle, from any chat, for two days at most\n"
        "I keep no messages of other chats, no other private messages, and no text that a message "
        "quotes.\n\n"
        "/optout: I no longer speak in your voice, and I erase what I keep of yours\n"
        "/forget, in reply to a message: I erase it, and delete what I said because of it\n"
        "/forget all: I do that for all your messages\n"
        "I can't read it from then on. The last traces are gone from my database's files within an "
        "hour (a database server may take longer).\n"
        "Telegram lets me delete my own messages for 48 hours only.\n\n"
        "I have no access to copies: backups of my database remain until they are deleted, and "
        "what I learned from a message stays in the model until I'm retrained without it. Ask the "
        "person who runs me.\n\n"
        "Who runs me: {admins}"
    )
    no_admins = "nobody has entered their id yet (ADMINS is empty)"
    your_id = (
        "Hello! Your Telegram id is {user_id}. If you run this bot, add this line to its .env file "
        "and restart it:\n\nADMINS={user_id}"
    )
    status_model = "Model {version}\ntrained from {base}"
    status_uptime = "Up for {time}"
    status_voices = "Voices: {names}"
    status_not_agreed = "Haven't agreed: {names}"
    status_nobody = "nobody"
    status_privacy_off = "Privacy mode: no restriction, I receive all messages"
    status_privacy_on = (
        "Privacy mode: on. In groups I only receive commands and replies to me, unless I'm an "
        "admin there (@BotFather, /setprivacy)"
    )
    status_no_reactions = "Reactions: I receive none, because I'm not an admin of this group"
    status_updates = "Updates waiting: {waiting}, set aside: {set_aside}"
    status_set_aside = "Last set aside: {ids} (see the log)"
    status_replies = "Replies waiting: {waiting}, delivery unknown: {uncertain}"
    status_jobs_ok = "Background jobs: all running"
    status_job_failing = (
        "Background job failing: {job} ({error}, failures in a row: {times}). I keep trying; "
        "see the log"
    )
    status_database = "Database: {file}, {size}, messages: {messages}"
    status_messages = "Messages kept from this group: {messages}, replies waiting: {waiting}"
    status_groups = "Groups"
    status_here = "This group: {state}"
    status_no_groups = "none yet"
    group_speaks = "I speak (this model may be used in any group)"
    group_learned = "I speak (I learned from it)"
    group_allowed = "I speak (an admin allowed it)"
    group_silent = "silent until an admin sends /allow there"
    group_not_added = "silent (no admin added me)"
    group_no_reactions = "no reactions, because I'm not an admin there"
    group_version = "its own model {version}"
    group_unusable = "silent, because its own model can't be used now"
    own_model_unusable = (
        "This group has its own model, but I can't use it now, so I stay silent. /status in "
        "private says why."
    )
    version_loaded = "I now use version {version}{facts}."
    version_trained_until = ", trained on messages up to {day}"
    version_scores = (
        "How often I recognise each friend's real messages as theirs, before → now (higher is "
        "better; guessing gives {chance:.2f}):"
    )
    version_refused = "The new version can't be used, so I keep using {old}. {reason}"
    version_unusable = "I can't use this model, so the group doesn't have its own model. {reason}"
    model_in_folder = "Model in {folder}:"
    model_version = "I use version {version}, trained from {base}{facts}.\nOther versions: {others}"
    rollback_failed = "I can't go back: {reason}"
    export_too_large = (
        "Telegram lets me download at most 20 MB. Zip the export, or copy it to my machine and run "
        "there: understudy retrain {file}"
    )
    export_refused = "I can't use that file: {reason}."
    export_not_downloaded = "I couldn't download that file. Please send it again."
    export_saved = (
        "I saved the export. To train on it, run this on my machine:\n\n"
        "understudy retrain {path}\n\n"
        "I delete the export after two days."
    )
    retraining_busy = "I'm still busy with the previous export."
    retraining_started = "Thanks! I'm training on it now. That takes a while, but I can still talk."
    retraining_done = "The training has finished, and the export has been deleted. {result}"
    retraining_failed = (
        "The training failed, so nothing has changed. The export has been deleted. {reason}"
    )
    messages: Forms = ("{count} message", "{count} messages")
    minutes: Forms = ("{count} minute", "{count} minutes")
    hours: Forms = ("{count} hour", "{count} hours")
    days: Forms = ("{count} day", "{count} days")
    thousands = ","
    commands_for_all: Menu = (
        ("help", "What I can do"),
        ("privacy", "What I keep, and for how long"),
    )
    commands_in_groups: Menu = (
        ("as", "Answer in a friend's voice: /as Hugo"),
        ("simulate", "Let the friends talk: /simulate 5"),
        ("stop", "Make them stop"),
        ("quiet", "Keep me from joining in: /quiet 8h"),
        ("why", "In reply to a message of mine: how I came up with it"),
        ("voices", "The voices I have"),
        ("guess", "Who said it, a friend or the machine?"),
        ("stats", "Who talks when, and each friend's typical words"),
        ("optin", "Let me speak in your voice"),
        ("optout", "Stop me from speaking in your voice"),
        ("forget", "In reply to a message: I forget it. Everything: /forget all"),
    )
    commands_in_private: Menu = (
        ("optin", "Let me speak in your voice"),
        ("optout", "Stop me from speaking in your voice"),
        ("forget", "In reply to a message: I forget it. Everything: /forget all"),
    )
    commands_for_admins: Menu = (
        ("status", "How I'm doing"),
        ("model", "Which version of the model I use"),
        ("rollback", "Go back to the previous version"),
    )

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


EN = Wording()
