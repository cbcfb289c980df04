"""The Bot API objects of the playground."""

import re
import struct
from dataclasses import dataclass, field
from typing import Any, TypeAlias

Json: TypeAlias = dict[str, Any]
"""A JSON object of the Bot API; it is replaced, never changed."""

RIGHTS = (
    "can_manage_chat",
    "can_delete_messages",
    "can_manage_video_chats",
    "can_restrict_members",
    "can_promote_members",
    "can_change_info",
    "can_invite_users",
    "can_post_stories",
    "can_edit_stories",
    "can_delete_stories",
)
PERMISSIONS = (
    "can_send_messages",
    "can_send_audios",
    "can_send_documents",
    "can_send_photos",
    "can_send_videos",
    "can_send_video_notes",
    "can_send_voice_notes",
    "can_send_polls",
    "can_send_other_messages",
    "can_add_web_page_previews",
    "can_react_to_messages",
    "can_edit_tag",
    "can_change_info",
    "can_invite_users",
    "can_pin_messages",
    "can_manage_topics",
)
"""What a restricted member may not do."""
PRESENT = frozenset({"creator", "administrator", "member", "restricted"})
PNG = b"\x89PNG\r\n\x1a\n"
PNG_SIZE_END = 24  # the first chunk begins with width and height
JPEG_MARK = 0xFF
JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""The segments of a JPEG that contain its size (ITU T.81, table B.1)."""
COMMAND = re.compile(r"(?<![\w/])/\w{1,64}(?:@\w{3,32})?", re.ASCII)


class ApiError(Exception):
    """A refused call: Telegram's error code, description and parameters."""

    def __init__(self, code: int, description: str, **parameters: object) -> None:
        super().__init__(f"{code} {description}")
        self.code = code
        self.description = description
        self.parameters = parameters

    def json(self) -> Json:
        """Return the body of the answer."""
        body: Json = {"ok": False, "error_code": self.code, "description": self.description}
        return body | ({"parameters": self.parameters} if self.parameters else {})


@dataclass(frozen=True, slots=True)
class User:
    """A person, or a bot."""

    id: int
    first_name: str
    last_name: str | None = None
    username: str | None = None
    is_bot: bool = False
    language_code: str | None = None

    def json(self) -> Json:
        """Return the Bot API's User, without the fields that are not set."""
        names = {
            "last_name": self.last_name,
            "username": self.username,
            "language_code": self.language_code,
        }
        existing = {key: name for key, name in names.items() if name is not None}
        return {"id": self.id, "is_bot": self.is_bot, "first_name": self.first_name, **existing}


ANONYMOUS_ADMIN = User(1087968824, "Group", username="GroupAnonymousBot", is_bot=True)
"""The sender of messages of an admin who speaks as the group."""


@dataclass(frozen=True, slots=True)
class Member:
    """A user's status in a chat; `rights` are used for an administrator only."""

    user: User
    status: str = "member"
    rights: frozenset[str] = frozenset(RIGHTS)

    @property
    def is_present(self) -> bool:
        """Whether the user is in the chat."""
        return self.status in PRESENT

    @property
    def is_admin(self) -> bool:
        """Whether the user is the creator or an administrator."""
        return self.status in {"creator", "administrator"}

    def may(self, right: str) -> bool:
        """Whether the user has one of RIGHTS."""
        return self.status == "creator" or (self.is_admin and right in self.rights)

    def json(self) -> Json:
        """Return the Bot API's ChatMember with the fields that its status requires."""
        extra: Json = {}
        if self.status == "creator":
            extra = {"is_anonymous": False}
        elif self.status == "administrator":
            granted = {right: right in self.rights for right in RIGHTS}
            extra = {"can_be_edited": False, "is_anonymous": False, **granted}
        elif self.status == "restricted":
            extra = {"is_member": True, "until_date": 0, **dict.fromkeys(PERMISSIONS, False)}
        elif self.status == "kicked":
            extra = {"until_date": 0}
        return {"user": self.user.json(), "status": self.status, **extra}


@dataclass(slots=True)
class SimulatedChat:
    """A chat and its members; `person` is the other person of a private chat."""

    id: int
    kind: str
    title: str | None = None
    is_forum: bool = False
    person: User | None = None
    members: dict[int, Member] = field(default_factory=dict)
    topics: dict[int, str] = field(default_factory=dict)
    last_bot: int | None = None
    last_message_id: int = 0
    migrated_to: int | None = None

    def json(self) -> Json:
        """Return the Bot API's Chat."""
        shape: Json = {"id": self.id, "type": self.kind}
        if self.person is not None:
            names = self.person.json()
            return shape | {key: names[key] for key in names if key not in {"id", "is_bot"}}
        if self.title is not None:
            shape["title"] = self.title
        if self.is_forum:
            shape["is_forum"] = True
        return shape

    def member(self, user: User) -> Member:
        """Return the user's membership; it is `left` if they never were a member."""
        return self.members.get(user.id, Member(user, "left"))


@dataclass(frozen=True, slots=True)
class Upload:
    """A file from a multipart request."""

    name: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Call:
    """A call of the bot, with its result or its error."""

    method: str
    params: Json
    result: Any = None
    error: ApiError | None = None


def utf16_length(text: str) -> int:
    """Count the UTF-16 units of a text, the unit of Telegram's limits and offsets."""
    return len(text.encode("utf-16-le")) // 2


def picture_size(content: bytes) -> tuple[int, int] | None:
    """Return the width and height of a PNG or JPEG picture in pixels; None for other content."""
    if content.startswith(PNG) and len(content) >= PNG_SIZE_END:
        width, height = struct.unpack(">II", content[PNG_SIZE_END - 8 : PNG_SIZE_END])
        return width, height
    place = 2 if content.startswith(b"\xff\xd8") else len(content)
    while place + 9 <= len(content):
        mark, kind, length, height, width = struct.unpack_from(">BBHxHH", content, place)
        if mark != JPEG_MARK:
            return None
        if kind in JPEG_FRAMES:
            return width, height
        place += 2 + length
    return None


def command_entities(text: str) -> list[Json]:
    """Return a bot_command entity for each /command or /command@bot in a text."""
    return [
        {
            "type": "bot_command",
            "offset": utf16_length(text[: found.start()]),
            "length": utf16_length(found.group()),
        }
        for found in COMMAND.finditer(text)
    ]


def sticker(file_id: str, emoji: str) -> Json:
    """Return a Sticker."""
    return {
        "file_id": file_id,
        "file_unique_id": f"unique-{file_id}",
        "type": "regular",
        "width": 512,
        "height": 512,
        "is_animated": False,
        "is_video": False,
        "emoji": emoji,
    }


def text_fields(text: str | None, *, key: str = "text") -> Json:
    """Return the fields of a message for its text and entities; none if there is no text."""
    if text is None:
        return {}
    entities = command_entities(text)
    name = "entities" if key == "text" else "caption_entities"
    return {key: text} | ({name: entities} if entities else {})
