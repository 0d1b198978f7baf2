"""Sessions of the page: a random id in a cookie, in place of the API key that was entered once.

Sessions are in the memory of one process. A key that is removed ends its sessions.
"""

import hmac
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from fastapi import Request, Response

from stream.api.access import Access, client_address
from stream.api.keys import Caller
from stream.api.problems import Problem

COOKIE = "nextbasket_session"
LIFETIME_S = 12 * 3_600.0
MAX_SESSIONS = 2_000


class Session:
    """What one browser may do.

    Attributes:
        id: Random; the value of the cookie.
        caller: Who entered the key, or the address where there are no keys.
        token: Random; every form has it, and no other site can read it.
        message: What the last form did, shown once.
    """

    def __init__(self, caller: Caller, expires: float) -> None:
        self.id = secrets.token_urlsafe(32)
        self.caller = caller
        self.token = secrets.token_urlsafe(32)
        self.expires = expires
        self.message: str | None = None

    def has_token(self, token: str) -> bool:
        """Whether a form came from a page of this session."""
        return hmac.compare_digest(token.encode(), self.token.encode())

    def take_message(self) -> str | None:
        """The message, once."""
        message, self.message = self.message, None
        return message


class Sessions:
    """The sessions of a process; where there are too many, those not used for longest end.

    Args:
        access: Finds who has a key.
        clock: Seconds, monotonic.
    """

    def __init__(self, access: Access, clock: Callable[[], float] = time.monotonic) -> None:
        self.access = access
        self._clock = clock
        self._sessions: OrderedDict[str, Session] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, request: Request) -> Session:
        """The session of a request. Where there are no keys, a new one if it has none.

        Raises:
            Problem: 401 without a session.
        """
        session = self._find(request.cookies.get(cookie_name(request), ""))
        keys = self.access.keys
        if session is not None and (not len(keys) or keys.has(session.caller)):
            return session
        if len(keys):
            raise Problem(401, "no-session", "A key is needed", "Sign in with an API key.")
        return self.open(self.access.identify(None, client_address(request)))

    def open(self, caller: Caller) -> Session:
        """A new session."""
        session = Session(caller, self._clock() + LIFETIME_S)
        with self._lock:
            self._sessions[session.id] = session
            while len(self._sessions) > MAX_SESSIONS:
                self._sessions.popitem(last=False)
        return session

    def close(self, session: Session) -> None:
        """End a session."""
        with self._lock:
            self._sessions.pop(session.id, None)

    def _find(self, session_id: str) -> Session | None:
        with self._lock:
            session = self._sessions.get(session_id)
            if session is None:
                return None
            if session.expires < self._clock():
                del self._sessions[session_id]
                return None
            self._sessions.move_to_end(session_id)
            return session


def cookie_name(request: Request) -> str:
    """The cookie of this server: browsers send cookies to every port of a host."""
    return f"{COOKIE}_{request.url.port or 'default'}"


def set_cookie(response: Response, session: Session, request: Request) -> None:
    """Let the browser send the session from now on; no script can read it, and no form of another site sends it."""
    response.set_cookie(
        cookie_name(request), session.id, path="/", httponly=True, samesite="lax", secure=request.url.scheme == "https"
    )
