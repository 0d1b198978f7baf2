"""What is stored of a customer elsewhere: the index and the lists of who is due, dead letters set aside."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager

import msgspec

from state.domain.receipt import Finding
from state.events.mentions import mentions
from state.settings import Settings
from state.store.redis.due_index import RedisDueIndex
from state.store.redis.letters import MAX_LETTERS, RedisLetters
from state.store.redis.refresh_progress import RedisRefreshProgress
from state.store.redis.sent_due import RedisSentDue
from stream.messages import Message
from stream.pipeline.dead_letters import OWN_HEADERS
from stream.pipeline.erasure import Traces
from stream.pipeline.ports import LetterSpool, RefreshProgress
from stream.pipeline.refresh_plan import decode_shard, encode_shard

_read_letter = msgspec.msgpack.Decoder(Message).decode


@contextmanager
def open_traces(settings: Settings) -> Iterator[Traces]:
    """The functions that remove a customer from all of them.

    Raises:
        SettingsError: No Redis is set.
    """
    with ExitStack() as closes:
        index = closes.enter_context(closing(RedisDueIndex(settings)))
        sent = closes.enter_context(closing(RedisSentDue(settings)))
        letters = closes.enter_context(closing(RedisLetters(settings)))

        def forget_index(customer_id: str) -> Sequence[Finding]:
            removed = index.forget([customer_id])
            return [Finding("index of due customers in Redis", removed, removed)]

        def forget_sent(customer_id: str) -> Sequence[Finding]:
            removed = sent.forget(customer_id)
            return [Finding("lists of due customers in Redis", removed, removed)]

        progress = closes.enter_context(closing(RedisRefreshProgress(settings)))
        yield Traces(
            derived=(forget_index, forget_sent, lambda customer_id: [forget_progress(progress, customer_id)]),
            received=(lambda customer_id: [forget_letters(letters, customer_id)],),
        )


def forget_progress(progress: RefreshProgress, customer_id: str) -> Finding:
    """Let refreshes whose last customer is this one begin their partition again, so that they name somebody else."""
    changed: dict[int, bytes] = {}
    for partition, packed in progress.load().items():
        shard = decode_shard(packed)
        if shard is not None and shard.walk is not None and shard.walk.position == customer_id:
            shard.walk.position, shard.walk.done = "", 0
            changed[partition] = encode_shard(shard)
    if changed:
        progress.save(changed)
    return Finding("progress of refreshes in Redis", len(changed), len(changed))


def forget_letters(letters: LetterSpool, customer_id: str) -> Finding:
    """Remove the dead letters of a customer that are set aside."""
    found = [position for position, packed in letters.first(MAX_LETTERS).items() if _mentions(packed, customer_id)]
    if found:
        letters.drop(found)
    return Finding("dead letters set aside in Redis", len(found), len(found))


def _mentions(packed: bytes, customer_id: str) -> bool:
    """Whether a letter as it is stored is of a customer; one that cannot be read is, where it has the id anywhere."""
    try:
        return _is_of(_read_letter(packed), customer_id)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return customer_id.encode() in packed


def _is_of(letter: Message, customer_id: str) -> bool:
    """Whether a dead letter is of a customer, by its key, value, or a header of its event such as ``ce_subject``."""
    written = customer_id.encode()
    in_headers = any(value == written for name, value in letter.headers if name not in OWN_HEADERS)
    return letter.key == written or in_headers or mentions(letter.value, customer_id)
