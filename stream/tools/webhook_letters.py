"""Messages that an endpoint refused: one JSON object a line of a file, from which they can be sent again."""

import base64
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec


class WebhookLetter(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """A refused message.

    ``position``: topic, partition and offset · ``problem``: the last answer · ``refused_at``: ISO 8601, UTC · ``body``:
    as it was sent; ``body_base64`` in its place where it is no text.
    """

    id: str
    position: str
    problem: str
    refused_at: str
    body: str | None = None
    body_base64: str | None = None

    @property
    def content(self) -> bytes:
        """The body as it was sent."""
        return base64.b64decode(self.body_base64 or "") if self.body is None else self.body.encode()


def webhook_letter(message_id: str, position: str, problem: str, refused_at: str, content: bytes) -> WebhookLetter:
    """The letter of a message."""
    try:
        return WebhookLetter(message_id, position, problem, refused_at, body=content.decode())
    except UnicodeDecodeError:
        encoded = base64.b64encode(content).decode()
        return WebhookLetter(message_id, position, problem, refused_at, body_base64=encoded)


def append_letter(path: Path, letter: WebhookLetter) -> None:
    """Append a letter to a file, and wait until it is on disk: the message counts as delivered then.

    Raises:
        OSError: It cannot be written.
    """
    with path.open("ab") as file:
        file.write(msgspec.json.encode(letter) + b"\n")
        file.flush()
        os.fsync(file.fileno())


def read_letters(path: Path) -> Iterator[WebhookLetter]:
    """The letters of a file.

    Raises:
        OSError: It cannot be read.
        ValueError: A line is no letter; the message names it.
    """
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                yield msgspec.json.decode(line, type=WebhookLetter)
            except msgspec.MsgspecError as error:
                raise ValueError(f"line {number} of {path} is no refused message: {error}") from None
