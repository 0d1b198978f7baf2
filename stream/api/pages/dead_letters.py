"""Dead letters by reason, with their bytes, and a button that sends them back."""

import asyncio
import unicodedata

from fastapi import APIRouter, Request, Response

from state.wording import count
from stream.api.feed import no_kafka
from stream.api.keys import Scope
from stream.api.letters import DeadLetterAccess
from stream.api.pages.forms import read_form
from stream.api.pages.rendering import PageRoute, reader, redirect, render
from stream.api.services import Services
from stream.tools.redrive import RedriveCounts, RedriveResult

router = APIRouter(route_class=PageRoute, include_in_schema=False)

MAX_SHOWN_BYTES = 4_000
"""Greatest number of bytes of a letter's value that are shown."""


@router.get("/dead-letters", response_class=Response)
async def dead_letters(request: Request) -> Response:
    """The letters that wait, by reason."""
    session = reader(request)
    summary = await asyncio.to_thread(_box(request).summary)
    return render(request, "dead_letters.html", session=session, summary=summary, show_bytes=show_bytes)


@router.post("/dead-letters/redrive", response_class=Response)
async def redrive(request: Request) -> Response:
    """Send the letters of one reason back to the topic that they came from."""
    session, fields = await read_form(request, Scope.ADMIN)
    result = await asyncio.to_thread(_box(request).redrive, fields.get("reason", ""))
    session.message = _outcome(result)
    return redirect("/dead-letters")


def _outcome(result: RedriveResult | None) -> str:
    counts = result.counts if result is not None else RedriveCounts(0, 0, 0)
    sentences = [f"{count(counts.sent, 'letter')} sent back; what is still invalid returns as a new dead letter."]
    if counts.impossible:
        sentences.append(
            f"{count(counts.impossible, 'letter')} cannot be sent back: from another topic, or without the value."
        )
    if result is not None and result.scattered:
        sentences.append("Some were left, because they lie too scattered: send those of other reasons back first.")
    return " ".join(sentences)


def _box(request: Request) -> DeadLetterAccess:
    services: Services = request.app.state.services
    if services.letters is None:
        raise no_kafka()
    return services.letters


def show_bytes(value: bytes | None) -> str:
    """Bytes as text where they are readable UTF-8, else in hexadecimal digits; the first ones of a long value."""
    if value is None:
        return "(no value)"
    shown = value[:MAX_SHOWN_BYTES]
    more = "" if len(shown) == len(value) else f" … and {len(value) - len(shown):,} more bytes"
    try:
        text = shown.decode("utf-8", "strict" if len(shown) == len(value) else "ignore")
    except UnicodeDecodeError:
        return shown.hex(" ") + more
    readable = all(each in "\n\t" or unicodedata.category(each)[0] != "C" for each in text)
    return (text if readable else shown.hex(" ")) + more
