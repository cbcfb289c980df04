"""The bot's texts in English."""

from bot.texts.wording import Wording

_TO_AGREE = "/optin in the group, or the admin writes yes into the roster"

EN = Wording(
    what_it_does=(
        "I learned how the friends of a group chat write, and I answer in their voices. "
        "What I say begins with 🎭 and a name; nobody of that name wrote it."
    ),
    how_to=(
        "/as Hugo: I answer what was said last as Hugo would\n"
        "/as Hugo what about Friday? says that to Hugo, and I answer as Hugo\n"
        "/as Hugo: well, I (with a colon): what I say as Hugo begins with these words\n"
        "/as anyone: whoever has most to say to it\n"
        "/as: choose a voice\n"
        "Reply to something I said in a voice, and that voice goes on.\n"
        "/simulate 5: the friends talk to each other for five turns, twenty at most\n"
        "/simulate Hugo, Ana about the trip: these two, about that\n"
        "/stop: they stop\n"
        "/voices: whom I can speak as\n"
        "/guess: who said it, a friend or the machine? /guess score: who knows best\n"
        "/optin, /optout: whether I may speak in your voice\n"
        "/forget: in reply to a message, to have it forgotten; /forget all\n"
        "/privacy: what I keep, and for how long\n"
        "/help: this text"
    ),
    voices_here="The voices here: {names}.",
    stranger_group=(
        "Hello! I answer only in groups that my admin has put me in, so I am leaving. "
        "No hard feelings."
    ),
    no_admin_yet=(
        "Hello! I have no admin yet, so I am leaving. If you run me, write /start to me in "
        "private: I tell you the line that makes you one. Then add me again."
    ),
    no_channels="I answer in groups, not in channels, so I have left the one you put me in.",
    silent_here=(
        "I learned to talk from another group's messages, so I stay silent here. "
        "They belong to the people who wrote them."
    ),
    authorised_here="Hello! I am at home here, and /help says what I can do. {voices}",
    may_be_allowed=(
        "I learned to talk from the chat “{chats}”, so I stay silent here: what I say may come "
        "from there. If its people agree, an admin of mine can let me speak with /allow."
    ),
    allowed_here="All right, I speak here too, though I learned from “{chats}”.",
    for_admins="That is for my admins.",
    only_in_groups="Send that in the group that it is about.",
    admins_only_here=(
        "I speak with my friends in their group, and in private with my admins alone. "
        "You may send me /start, /help, /privacy, /optin, /optout and /forget all."
    ),
    privacy_is_on=(
        "Privacy mode is on: in groups the bot hears commands and replies to it, and nothing else, "
        "unless it is an admin there. Switch it off in @BotFather (/setprivacy), then remove the "
        "bot from the group and add it again."
    ),
    privacy_hint=(
        "(Privacy mode is on, so I heard only your command and not the talk before it. An admin "
        "of the group can mend that: make me an admin, or see @BotFather, /setprivacy.)"
    ),
    learned_from=", from {lines:,} messages",
    have_not_agreed=(
        f"Have not agreed, so I do not speak as them: {{names}}. To agree: {_TO_AGREE}."
    ),
    heard_too_little="Wrote too little to be learned: {names}.",
    choose_voice="Whose voice?",
    no_voices=(
        "Nobody has agreed to be imitated yet, so I have no voice to use. "
        f"Whoever wants to be one: {_TO_AGREE}."
    ),
    several_fit="I am not sure whom you mean. One of these?",
    several_have_it="Several friends have that name. Whom do you mean?",
    unknown_voice="I know nobody of that name. {there_is}",
    there_is="There is {names}.",
    did_you_mean="I know nobody of that name. Did you mean {name}?",
    not_agreed=f"{{name}} has not agreed to be imitated. To agree: {_TO_AGREE}.",
    said_no="{name} does not want to be imitated, so I will not.",
    too_quiet="I have heard too little of {name} to know how they talk.",
    speechless="I could not think of anything that {name} would say to that. Try again?",
    not_to_begin_with=(
        "I will not begin with that. At most {most} characters, on one line, without brackets, "
        "private data, or a name and a colon."
    ),
    queued="One moment: I am busy with other replies, and yours comes after them.",
    queue_too_long=(
        "I am too busy with other replies and did not get to yours, sorry. Try again later?"
    ),
    too_slow="That took me too long, sorry. Try again?",
    one_moment="One moment, I am still busy with what you asked before.",
    too_old="This question is too old. Send /as again.",
    failed="Something went wrong on my side, sorry. Please try again in a while.",
    already_on="They are talking already. Let them finish, or send /stop.",
    turns_wanted="How many turns? Write a number from 1 to {most}, such as /simulate {usual}.",
    nothing_to_say="They have nothing to say to that. Say something, then try again.",
    chatty_is="I join in unasked at level {level} of 100; at 0 never. /quiet silences me.",
    chatty_wanted="How chatty? Write a number from 0 (never) to 100, such as /chatty 30.",
    chatty_unknown=(
        "This version of the model has not learned when people answer each other, so I cannot join "
        "in by myself. Train again."
    ),
    for_group_admins="That is for the admins of this group.",
    quiet_for="I shall not join in unasked for {hours} hours.",
    quiet_no_more="I may join in again.",
    quiet_wanted="For how long? Such as /quiet 8h, /quiet 30m, /quiet 2d; /quiet off ends it.",
    why=(
        "I said that in {voice}'s voice, with version {version} of the model, after the {sources} "
        "messages before it."
    ),
    why_what="Reply with /why to something I said in a voice.",
    only_a_voice="{name} did not send this: I did, in {name}'s voice.",
    who_said_it="Who said it?\n\n“{text}”",
    the_machine="the machine 🎭",
    it_was_the_machine="The machine made it up, as {name}.",
    it_was_a_friend="{name} wrote it, on {date}.",
    nothing_to_guess=(
        "I have nothing to ask about: I remember no line here that is long enough, by somebody who "
        "agreed to be imitated. Talk a while, then try again."
    ),
    no_polls_here="I could not send the quiz. May I send polls here?",
    score="Who knows whom:\n{people}",
    score_of_one="{name}: {right} of {total}",
    score_of_the_machine=(
        "The machine's own lines were taken for a friend's in {fooled} of {total} guesses."
    ),
    no_score="Nobody has guessed yet. Send /guess.",
    as_yourself=(
        "I cannot tell who you are when you write as the group or as a channel. Write it as "
        "yourself; in private I listen too."
    ),
    agreed="Thank you, {name}. I may speak in your voice now; /optout ends that at any time.",
    agreed_unknown=(
        "Thank you, I have noted your yes. You are not among the friends I learned from, though, "
        "so I have no voice of yours. It counts once I have learned it."
    ),
    agreed_too_quiet=(
        "Thank you, {name}, I have noted your yes. I have heard too little of you, though, to "
        "know how you talk."
    ),
    agreed_against_roster=(
        "Thank you, {name}, I have noted your yes. Whoever runs me has written a no for you, "
        "though, and I stay silent until they change it."
    ),
    agreed_elsewhere_not=(
        "Thank you, {name}, I have noted your yes. Another account of yours said /optout, though, "
        "and I stay silent until it says /optin."
    ),
    withdrawn=(
        "I never speak in your voice any more, unless you say /optin. I have erased what I kept "
        "of yours: {count} messages. Copies made before, and what I learned "
        "before, live on for a while: see /privacy."
    ),
    how_to_forget=(
        "Reply with /forget to what I shall forget: a message of yours, or something I said in "
        "your voice. /forget all: everything of yours."
    ),
    not_yours=(
        "Only whoever wrote that, or whose voice it is, can have it forgotten; and admins of this "
        "group, and mine."
    ),
    nothing_to_forget="I said that for myself, in nobody's voice: there is nothing to forget.",
    forgot_it="Forgotten: I keep it no more, and shall not learn from it.",
    forgot_all=(
        "Forgotten: {count} messages of yours. Copies made before, and what "
        "I learned before, live on for a while: see /privacy."
    ),
    taken_back="Messages of mine that came of it, which I deleted here: {count}.",
    cannot_take_back=(
        "Messages of mine that came of it, which I cannot delete: {count}. Telegram lets me do "
        "that for 48 hours only; an admin of the group can. I keep nothing of them."
    ),
    privacy=(
        "Where I speak (in groups that I was let into, and with my admins in private) I keep what "
        "is written and by whom, to answer it:\n"
        "• from friends who agreed that I speak in their voices, until they say /optout or "
        "/forget; I may learn from that when I am trained again\n"
        "• from everybody else for this many days: {days}; then it is erased, and I never learn "
        "from it\n"
        "• what I said myself, and which messages I made it from\n"
        "• who said /optin or /optout and when, the ids of forgotten messages, reactions to what I "
        "said, guesses in /guess, which stickers a group uses but not who sent them\n"
        "Of other chats, also of what you write to me in private, I keep no messages.\n\n"
        "/optout: I never speak in your voice, and erase what I keep of yours\n"
        "/forget, in reply to a message: I erase it, and delete what I said because of it\n"
        "/forget all: the same with everything of yours\n"
        "Telegram lets me delete my own messages for 48 hours only.\n\n"
        "I cannot reach into copies: backups of my memory live on until they are deleted, and "
        "what I learned from a message stays in me until I am trained again without it. Ask who "
        "runs me.\n\n"
        "Who runs me: {admins}"
    ),
    nobody_named="nobody has written their name down yet (ADMINS is empty)",
    your_id=(
        "Hello! Your Telegram id is {user_id}. If you run this bot, write this line into its "
        ".env and start it again:\n\nADMINS={user_id}"
    ),
    status_model="Model {version}\nlearned from {base}",
    status_up="Up for {time}",
    status_voices="Voices: {names}",
    status_not_agreed="Not agreed: {names}",
    status_nobody="nobody",
    status_hears_all="Privacy mode: no hindrance, I hear all that is said",
    status_hears_commands=(
        "Privacy mode: on. In groups I hear only commands and replies to me, unless I am an admin "
        "there (@BotFather, /setprivacy)"
    ),
    status_updates="Updates waiting: {waiting}, set aside: {aside}",
    status_ids="Set aside last: {ids} (the log says why)",
    status_replies="Replies waiting: {waiting}, uncertain: {uncertain}",
    status_jobs_well="Background jobs: all run",
    status_job_fails=(
        "Background job failing: {job} ({error}, in a row: {times}). It is tried again; the log "
        "says why"
    ),
    status_database="Database: {file}, {size}, messages: {messages}",
    status_messages="Messages kept of this group: {messages}, replies waiting: {waiting}",
    status_groups="Groups",
    status_here="This group: {state}",
    status_no_groups="none yet",
    group_speaks="I speak (any group may hear this model)",
    group_learned="I speak, I learned from it",
    group_allowed="I speak, an admin allowed it",
    group_silent="silent until an admin sends /allow there",
    group_not_let_in="silent, no admin let me in",
    now_speaking="I speak with version {version} now{facts}.",
    trained_until=", trained on messages up to {day}",
    right_voice_change=(
        "How often I recognise each friend's real messages as theirs, before → now (higher is "
        "better; guessing gives {chance:.2f}):"
    ),
    refused_version="The version that was to speak now cannot be used; I go on with {old}. {why}",
    the_model="I speak with version {version} of {base}{facts}.\nOther versions: {others}",
    no_rollback="There is no going back: {why}",
    export_too_large=(
        "Telegram gives a bot no more than 20 MB. Zip the export, or copy it to my machine and run "
        "there: understudy retrain {file}"
    ),
    export_refused="I cannot use that file: {why}.",
    export_lost="I could not fetch that file. Please send it again.",
    how_to_retrain=(
        "I have kept the export. On my machine, run:\n\nunderstudy retrain {path}\n\n"
        "I delete it in two days."
    ),
    still_retraining="I am still busy with the export that came before.",
    retraining="Thank you. I am training on it now; that takes a while, and I go on talking.",
    retrained="The retraining has ended well; the export is deleted. {says}",
    retraining_failed="The retraining failed, so nothing has changed; the export is deleted. {why}",
    commands_for_all=(("help", "What I can do"), ("privacy", "What I keep, and for how long")),
    commands_in_groups=(
        ("as", "Answer in a friend's voice: /as Hugo"),
        ("simulate", "Let the friends talk: /simulate 5"),
        ("stop", "Let them stop"),
        ("quiet", "Keep me from joining in: /quiet 8h"),
        ("why", "In reply to a line of mine: how I made it"),
        ("voices", "Whom I can speak as"),
        ("guess", "Who said it, a friend or the machine?"),
        ("optin", "Let me speak in your voice"),
        ("optout", "Never speak in my voice"),
        ("forget", "Forget a message, in reply to it; or all: /forget all"),
    ),
    commands_in_private=(
        ("optin", "Let me speak in your voice"),
        ("optout", "Never speak in my voice"),
        ("forget", "Forget a message, in reply to it; or all: /forget all"),
    ),
    commands_for_admins=(
        ("status", "How I am"),
        ("model", "Which version of the model speaks"),
        ("rollback", "Go back to the version before"),
    ),
)
