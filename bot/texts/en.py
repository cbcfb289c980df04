"""The bot's texts in English."""

from types import MappingProxyType

from bot.texts.wording import Wording

_TO_AGREE = "send /optin, or ask an admin to write “yes” in the file roster.toml"

EN = Wording(
    introduction=(
        "I learned how the friends in a group chat write, and I answer in their voices. "
        "What I say in a voice starts with 🎭 and a name. The person with that name did not write "
        "it."
    ),
    command_help=(
        "/as Hugo – I answer the last message as Hugo would\n"
        "/as Hugo what about Friday? – you say that to Hugo, and I answer as Hugo\n"
        "/as Hugo: well, I – my answer as Hugo starts with “well, I”\n"
        "/as anyone – I answer as whoever is most likely to\n"
        "/as – choose a voice\n"
        "Reply to something I said in a voice, and I answer in that voice.\n"
        "/simulate 5 – the friends talk to each other for five turns (at most twenty)\n"
        "/simulate Hugo, Ana about the trip – these two talk about the trip\n"
        "/stop – they stop talking\n"
        "/quiet 8h – I do not join in for eight hours\n"
        "/chatty 30 – how often I join in, from 0 to 100\n"
        "/why – in reply to something I said: how I made it\n"
        "/voices – the voices I have\n"
        "/guess – who said it, a friend or the machine? /guess score – who guesses best\n"
        "/optin, /optout – let me speak in your voice, or stop me\n"
        "/forget – in reply to a message: I forget it; /forget all – I forget all of yours\n"
        "/privacy – what I keep, and for how long\n"
        "/help – this text"
    ),
    voices_here="Voices here: {names}.",
    not_added_by_admin=(
        "Hello! I only answer in groups that my admin added me to, so I am leaving. "
        "No hard feelings."
    ),
    no_admin_yet=(
        "Hello! I have no admin yet, so I am leaving. If you run me, send me /start in private: "
        "I will tell you the line that makes you my admin. Then add me again."
    ),
    no_channels="I answer in groups, not in channels, so I left the channel you added me to.",
    silent_here=(
        "I learned to talk from another group's messages, so I stay silent here. "
        "Those messages belong to the people who wrote them."
    ),
    greeting="Hello! I can speak here, and /help lists what I can do. {voices}",
    needs_allow=(
        "I learned to talk from the chat “{chats}”, so I stay silent here: what I say may come "
        "from there. If its members agree, one of my admins can let me speak here with /allow."
    ),
    allowed="All right, I now speak here too, although I learned from “{chats}”.",
    admins_only="Only my admins can use that.",
    groups_only="Send that in the group it is about.",
    private_admins_only=(
        "In private I only talk with my admins; everyone else can talk to me in the group. Here "
        "you can send me /start, /help, /privacy, /optin, /optout and /forget all."
    ),
    privacy_mode_on=(
        "Privacy mode is on: in groups the bot only receives commands and replies to it, unless it "
        "is an admin there. To switch it off, use /setprivacy in @BotFather, then remove the bot "
        "from the group and add it again."
    ),
    privacy_mode_hint=(
        "(Privacy mode is on, so I only received your command and not the conversation before it. "
        "A group admin can fix that: make me an admin, or use /setprivacy in @BotFather.)"
    ),
    learned_from=", learned from {messages}",
    not_agreed_list=(
        f"These friends have not agreed, so I do not speak as them: {{names}}. "
        f"To agree, {_TO_AGREE}."
    ),
    too_few_messages_list="I have too few messages from these friends to imitate them: {names}.",
    choose_voice="Whose voice?",
    no_voices=(
        f"Nobody has agreed to be imitated yet, so I have no voice to use. To agree, {_TO_AGREE}."
    ),
    unclear_name="I am not sure who you mean. One of these?",
    shared_name="Several friends have that name. Who do you mean?",
    unknown_name="I know nobody with that name. {voices}",
    available_voices="I have the voices of {names}.",
    did_you_mean="I know nobody with that name. Did you mean {name}?",
    not_agreed=f"{{name}} has not agreed to be imitated. To agree, {_TO_AGREE}.",
    declined="I was asked not to imitate {name}, so I do not.",
    too_few_messages="I have too few messages from {name} to imitate them.",
    no_reply="I could not think of anything {name} would say to that. Try again?",
    opening_refused=(
        "I cannot start with that. Use at most {most} characters on one line, without brackets, "
        "private data, or a name followed by a colon."
    ),
    queued="One moment: I am busy with other replies, and yours comes after them.",
    queue_timeout=(
        "I am too busy with other replies and did not get to yours, sorry. Try again later?"
    ),
    too_slow="Sorry, that took me too long. Try again?",
    busy="One moment, I am still busy with what you asked before.",
    button_expired="This button no longer works. Send /as again.",
    error="Something went wrong on my side, sorry. Please try again in a few minutes.",
    simulation_running="They are already talking. Let them finish, or send /stop.",
    simulate_usage="How many turns? Send a number from 1 to {most}, for example /simulate {usual}.",
    no_turn="They have nothing to say to that. Write something, then try again.",
    chatty_level=(
        "I join in unprompted at level {level} of 100, where 0 means never. /quiet silences me for "
        "a while."
    ),
    chatty_usage=(
        "How often should I join in? Send a number from 0 (never) to 100, for example /chatty 30."
    ),
    chatty_unavailable=(
        "This version of the model has not learned when people answer each other, so I cannot join "
        "in unprompted. Train a new version first."
    ),
    group_admins_only="Only the admins of this group can use that.",
    quiet_on="I will not join in unprompted for {time}.",
    quiet_off="I may join in again.",
    quiet_usage=(
        "For how long? For example /quiet 30m, /quiet 8h or /quiet 2d. /quiet off ends it."
    ),
    why=(
        "I said that in {voice}'s voice with version {version} of the model, after reading "
        "{messages}."
    ),
    why_without_count="I said that in {voice}'s voice with version {version} of the model.",
    why_rejected="Rejected candidates: {count} ({reasons})",
    why_none_rejected="Rejected candidates: none",
    rejections=MappingProxyType(
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
    ),
    why_usage="Send /why in reply to something I said in a voice.",
    sticker_voice="{name} did not send this. I did, in {name}'s voice.",
    quiz_question="Who said it?\n\n“{text}”",
    quiz_machine="the machine 🎭",
    quiz_machine_answer="The machine made it up, in {name}'s voice.",
    quiz_friend_answer="{name} wrote it on {date}.",
    quiz_unavailable=(
        "I have nothing to ask about: I need longer messages from friends who agreed to be "
        "imitated. Talk for a while, then try again."
    ),
    quiz_not_sent="I could not send the quiz. Am I allowed to send polls here?",
    score="Correct guesses:\n{people}",
    score_line="{name}: {right} of {total}",
    score_machine="Guesses that took the machine for a friend: {fooled} of {total}",
    no_score="Nobody has guessed yet. Send /guess.",
    anonymous_sender=(
        "I cannot tell who you are when you write as the group or as a channel. Write as yourself, "
        "or send me that in private."
    ),
    optin_done=(
        "Thank you, {name}. I may now speak in your voice. To stop that at any time, send /optout."
    ),
    optin_unknown=(
        "Thank you, I noted that you agree. I have not learned from your messages, though, so I "
        "have no voice of yours yet. Your answer counts once I have."
    ),
    optin_too_few_messages=(
        "Thank you, {name}, I noted that you agree. I have too few messages from you to imitate "
        "you, though."
    ),
    optin_roster_no=(
        "Thank you, {name}, I noted that you agree. The person who runs me entered “no” for you, "
        "though, so I stay silent until they change it."
    ),
    optin_other_account=(
        "Thank you, {name}, I noted that you agree. Another account of yours sent /optout, though, "
        "so I stay silent until it sends /optin."
    ),
    optout_done=(
        "I will not speak in your voice any more. If you change your mind, send /optin. I erased "
        "{messages} that I kept of yours. Copies made earlier, and what I learned earlier, remain "
        "for a while: see /privacy."
    ),
    forget_usage=(
        "Send /forget in reply to what I should forget: a message of yours, or something I said in "
        "your voice. /forget all: everything of yours."
    ),
    forget_not_allowed=(
        "Only the author, the person whose voice it is, the admins of this group and my admins "
        "can make me forget that."
    ),
    forget_no_voice="I did not say that in anyone's voice, so there is nothing to forget.",
    forget_done="Forgotten. I no longer keep it, and I will not learn from it.",
    forget_all_done=(
        "Forgotten: {messages} of yours. Copies made earlier, and what I learned earlier, remain "
        "for a while: see /privacy."
    ),
    also_deleted="I also deleted {messages} of mine that came from it.",
    cannot_delete=(
        "I cannot delete {messages} of mine that came from it, because Telegram lets me do that "
        "for 48 hours only. An admin of the group can. I keep no copy."
    ),
    privacy=(
        "Where I speak, I keep what is written and by whom, so that I can answer:\n"
        "• messages of friends who agreed that I speak in their voices, until they send /optout or "
        "/forget. I may learn from these when I am trained again\n"
        "• everyone else's messages, and forwarded ones, for {days}. Then I erase them, and I "
        "never learn from them\n"
        "• my private conversations with my admins, for {days}: plain messages, /as, /simulate and "
        "my answers in a voice. I never learn from them. An export that an admin sends me is "
        "deleted after training, or after two days\n"
        "• what I said myself in groups, and which messages I made it from\n"
        "• who sent /optin or /optout and when, the ids of forgotten messages, reactions to what I "
        "said, guesses in /guess, which stickers a group uses but not who sent them, which groups "
        "I am in and their settings\n"
        "• messages that I failed to handle, from any chat, for two days at most\n"
        "I keep no messages of other chats, no other private messages, and not the text that a "
        "message quotes.\n\n"
        "/optout: I no longer speak in your voice, and I erase what I keep of yours\n"
        "/forget, in reply to a message: I erase it, and delete what I said because of it\n"
        "/forget all: the same for everything of yours\n"
        "Telegram lets me delete my own messages for 48 hours only.\n\n"
        "I cannot reach copies: backups of my database remain until they are deleted, and what I "
        "learned from a message stays in me until I am trained again without it. Ask the person "
        "who runs me.\n\n"
        "Who runs me: {admins}"
    ),
    no_admins="nobody has entered their id yet (ADMINS is empty)",
    your_id=(
        "Hello! Your Telegram id is {user_id}. If you run this bot, add this line to its .env file "
        "and restart it:\n\nADMINS={user_id}"
    ),
    status_model="Model {version}\ntrained from {base}",
    status_uptime="Up for {time}",
    status_voices="Voices: {names}",
    status_not_agreed="Not agreed: {names}",
    status_nobody="nobody",
    status_privacy_off="Privacy mode: no restriction, I receive all messages",
    status_privacy_on=(
        "Privacy mode: on. In groups I only receive commands and replies to me, unless I am an "
        "admin there (@BotFather, /setprivacy)"
    ),
    status_no_reactions=("Reactions: I receive none, because I am not an admin of this group"),
    status_updates="Updates waiting: {waiting}, set aside: {aside}",
    status_set_aside="Set aside last: {ids} (the log says why)",
    status_replies="Replies waiting: {waiting}, uncertain: {uncertain}",
    status_jobs_ok="Background jobs: all run",
    status_job_failing=(
        "Background job failing: {job} ({error}, in a row: {times}). It is tried again; the log "
        "says why"
    ),
    status_database="Database: {file}, {size}, messages: {messages}",
    status_messages="Messages kept from this group: {messages}, replies waiting: {waiting}",
    status_groups="Groups",
    status_here="This group: {state}",
    status_no_groups="none yet",
    group_speaks="I speak (any group may hear this model)",
    group_learned="I speak (I learned from it)",
    group_allowed="I speak (an admin allowed it)",
    group_silent="silent until an admin sends /allow there",
    group_not_added="silent (no admin added me)",
    group_no_reactions="no reactions, because I am not an admin there",
    version_loaded="I now use version {version}{facts}.",
    version_trained_until=", trained on messages up to {day}",
    version_scores=(
        "How often I recognise each friend's real messages as theirs, before → now (higher is "
        "better; guessing gives {chance:.2f}):"
    ),
    version_refused="The new version cannot be used, so I keep using {old}. {why}",
    model_version="I use version {version}, trained from {base}{facts}.\nOther versions: {others}",
    rollback_failed="I cannot go back: {why}",
    export_too_large=(
        "Telegram lets a bot download at most 20 MB. Zip the export, or copy it to the machine I "
        "run on and run there: understudy retrain {file}"
    ),
    export_refused="I cannot use that file: {why}.",
    export_not_downloaded="I could not download that file. Please send it again.",
    export_saved=(
        "I saved the export. On the machine I run on, run:\n\nunderstudy retrain {path}\n\n"
        "I delete the export after two days."
    ),
    retraining_busy="I am still busy with the previous export.",
    retraining_started=(
        "Thanks! I am training on it now. That takes a while, but I can still talk meanwhile."
    ),
    retraining_done="The training has finished, and the export is deleted. {says}",
    retraining_failed="The training failed, so nothing has changed. The export is deleted. {why}",
    messages=("{count} message", "{count} messages"),
    minutes=("{count} minute", "{count} minutes"),
    hours=("{count} hour", "{count} hours"),
    days=("{count} day", "{count} days"),
    thousands=",",
    commands_for_all=(("help", "What I can do"), ("privacy", "What I keep, and for how long")),
    commands_in_groups=(
        ("as", "Answer in a friend's voice: /as Hugo"),
        ("simulate", "Let the friends talk: /simulate 5"),
        ("stop", "Make them stop"),
        ("quiet", "Keep me from joining in: /quiet 8h"),
        ("why", "In reply to something I said: how I made it"),
        ("voices", "The voices I have"),
        ("guess", "Who said it, a friend or the machine?"),
        ("optin", "Let me speak in your voice"),
        ("optout", "Stop me from speaking in your voice"),
        ("forget", "In reply to a message: I forget it. Everything: /forget all"),
    ),
    commands_in_private=(
        ("optin", "Let me speak in your voice"),
        ("optout", "Stop me from speaking in your voice"),
        ("forget", "In reply to a message: I forget it. Everything: /forget all"),
    ),
    commands_for_admins=(
        ("status", "How I am doing"),
        ("model", "Which version of the model I use"),
        ("rollback", "Go back to the previous version"),
    ),
)
