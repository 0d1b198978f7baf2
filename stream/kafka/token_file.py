"""The token of SASL OAUTHBEARER, from a file that somebody else renews, in the form of each Kafka client.

A file, and no client of a token endpoint: it serves all three clients alike, this process needs neither the secret of
an OAuth client nor HTTP, and it is what Kubernetes projects (``serviceAccountToken``) and what agents of clouds write.
"""

import base64
import binascii
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
from aiokafka.abc import AbstractTokenProvider as AiokafkaTokenProvider
from kafka.net.sasl.oauth import AbstractTokenProvider as KafkaPythonTokenProvider

MAX_TOKEN_BYTES = 64 * 1024
OPAQUE_LIFETIME_S = 300.0
"""How long a token is used whose end cannot be read, before the file is read again."""


class _Claims(msgspec.Struct):
    exp: float | None = None


def read_token(path: Path) -> str:
    """The token in a file, without white space around it.

    Raises:
        ValueError: The file is empty, too large, or holds what no token may hold; the message has nothing of it.
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        content = file.read(MAX_TOKEN_BYTES + 1).strip()
    if not 0 < len(content) <= MAX_TOKEN_BYTES or not content.isascii() or not content.decode("ascii").isprintable():
        raise ValueError(f"{path} holds no token: it must be one line of ASCII of {MAX_TOKEN_BYTES:,} bytes at most")
    return content.decode("ascii")


def expires_at(token: str, now: float) -> float:
    """When a token ends, in seconds since 1970: the claim ``exp`` of a JWT, or soon where it is none."""
    parts = token.split(".")
    if len(parts) == 3:
        try:
            claims = msgspec.json.decode(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)), type=_Claims)
        except (binascii.Error, ValueError, msgspec.MsgspecError):
            claims = _Claims()
        if claims.exp is not None:
            return claims.exp
    return now + OPAQUE_LIFETIME_S


def confluent_callback(path: Path) -> Callable[[str], tuple[str, float]]:
    """What confluent-kafka calls for a token, and again before it ends."""

    def token(_: str) -> tuple[str, float]:
        found = read_token(path)
        return found, expires_at(found, time.time())

    return token


class KafkaPythonToken(KafkaPythonTokenProvider):  # type: ignore[misc]  # kafka-python has no types
    """What kafka-python asks for a token at each connection."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def token(self) -> str:
        """The token that the file holds now."""
        return read_token(self._path)


class AiokafkaToken(AiokafkaTokenProvider):  # type: ignore[misc]  # aiokafka has no types
    """What aiokafka asks for a token at each connection."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def token(self) -> str:
        """The token that the file holds now."""
        return read_token(self._path)
