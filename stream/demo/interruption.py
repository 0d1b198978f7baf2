"""The end of the demo by Ctrl-C, SIGTERM or a closed terminal, at whatever point of its work."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_AGAIN_S = 2.0


class Interrupted(BaseException):
    """A signal ended the demo. Not KeyboardInterrupt: Python may end by SIGINT even where that was caught."""


@contextmanager
def raise_on_signals() -> Iterator[None]:
    """Raise ``Interrupted`` for a signal, and again until ``ignore_signals`` is called.

    Again, because Python drops an exception that is raised in the finalizer of an object.
    """

    def interrupt(*_: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, _AGAIN_S)
        raise Interrupted

    before = {number: signal.getsignal(number) for number in (*_SIGNALS, signal.SIGALRM)}
    try:
        for number in before:
            if number is not signal.SIGHUP or before[number] is not signal.SIG_IGN:  # nohup ignores it
                signal.signal(number, interrupt)
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)


def ignore_signals() -> None:
    """Ignore further signals, so that nothing disturbs the shutdown."""
    signal.setitimer(signal.ITIMER_REAL, 0)
    for number in (*_SIGNALS, signal.SIGALRM):
        signal.signal(number, signal.SIG_IGN)


@contextmanager
def postponed_signals() -> Iterator[None]:
    """Raise ``Interrupted`` only at the end for signals that come inside, so that no process starts unnoticed."""
    received: list[int] = []
    before = {
        number: signal.signal(number, lambda number, _: received.append(number))
        for number in _SIGNALS
        if signal.getsignal(number) is not signal.SIG_IGN
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if received:
        raise Interrupted
