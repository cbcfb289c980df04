"""Quizzes: the method that posts one, and what the bot hears when people answer."""

from bot.playground.sending import post
from bot.playground.shapes import ApiError, Json, User, utf16_length
from bot.playground.world import World

LONGEST_QUESTION = 300
LONGEST_OPTION = 100
LONGEST_EXPLANATION = 200
FEWEST_OPTIONS, MOST_OPTIONS = 2, 10
MOST_LINE_FEEDS = 2


def send_poll(world: World, params: Json) -> Json:
    """Post a quiz; other polls are not known here."""
    chat = world.reach(params.get("chat_id"))
    if params.get("type") != "quiz":
        raise ApiError(400, "Bad Request: this server knows quizzes alone")
    poll: Json = {
        "id": str(len(world.voters) + 1),
        "question": _bounded(params.get("question", ""), LONGEST_QUESTION, "question"),
        "options": [
            {"text": text, "voter_count": 0, "persistent_id": str(place)}
            for place, text in enumerate(_options(params))
        ],
        "total_voter_count": 0,
        "is_closed": False,
        "is_anonymous": params.get("is_anonymous", True),
        "type": "quiz",
        "allows_multiple_answers": False,
        "allows_revoting": False,
        "members_only": False,
        "correct_option_ids": [_right(params)],
    }
    if explanation := params.get("explanation"):
        if explanation.count("\n") > MOST_LINE_FEEDS:
            raise ApiError(400, "Bad Request: poll explanation has too many line feeds")
        poll["explanation"] = _bounded(explanation, LONGEST_EXPLANATION, "explanation")
    world.voters[poll["id"]] = set()
    return post(world, chat, params, {"poll": poll})


async def vote(world: World, message: Json, user: User, option: int) -> None:
    """Count an answer; the bot hears who chose what unless the quiz is anonymous.

    Raises:
        ValueError: There is no such option, or the user voted already: no quiz lets them again.
    """
    key = message["chat"]["id"], message["message_id"]
    current = world.messages[key]
    poll: Json = current["poll"]
    if not 0 <= option < len(poll["options"]):
        raise ValueError(f"no option {option}: there are {len(poll['options'])}")
    if user.id in world.voters[poll["id"]]:
        raise ValueError(f"{user.first_name} answered already")
    world.voters[poll["id"]].add(user.id)
    options = [
        {**one, "voter_count": one["voter_count"] + (place == option)}
        for place, one in enumerate(poll["options"])
    ]
    counted = {**poll, "options": options, "total_voter_count": poll["total_voter_count"] + 1}
    world.messages[key] = {**current, "poll": counted}
    await world.updates.push("poll", counted)
    if not poll["is_anonymous"]:
        answer = {"poll_id": poll["id"], "user": user.json(), "option_ids": [option]}
        chosen = {"option_persistent_ids": [str(option)]}
        await world.updates.push("poll_answer", answer | chosen)


def _options(params: Json) -> list[str]:
    texts = [option["text"] for option in params.get("options", [])]
    if not FEWEST_OPTIONS <= len(texts) <= MOST_OPTIONS:
        raise ApiError(400, "Bad Request: poll must have from 2 to 10 answer options")
    return [_bounded(text, LONGEST_OPTION, "option") for text in texts]


def _right(params: Json) -> int:
    """Return the place of the right option: one number, or as a list since Bot API 9.6."""
    given = params.get("correct_option_ids") or [params.get("correct_option_id")]
    right = given[0]
    if not isinstance(right, int) or not 0 <= right < len(params["options"]):
        raise ApiError(400, "Bad Request: wrong correct option ID specified")
    return right


def _bounded(text: str, longest: int, name: str) -> str:
    if not text.strip():
        raise ApiError(400, f"Bad Request: poll {name} must be non-empty")
    if utf16_length(text) > longest:
        raise ApiError(400, f"Bad Request: poll {name} length must not exceed {longest}")
    return text
