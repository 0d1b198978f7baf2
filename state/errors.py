"""Everything ``state`` raises on purpose.

StateError
├── SettingsError        a setting is unknown or impossible: the program does not start
├── InvalidEvent         an event breaks the wire contract: it belongs in the dead letters
├── StoreUnavailable     the store does not answer now: wait and try again, nothing is lost
└── StoreRefused         the store answered that it cannot do this: trying again will not help

The names say what is the matter; "Error" behind each would add nothing (hence N818).
"""


class StateError(Exception):
    """Base of everything this package raises on purpose; the message says what to do next."""


class SettingsError(StateError):
    """A setting is unknown or impossible; the message names it and what it may be."""


class InvalidEvent(StateError):
    """An event breaks the wire contract; the message is the reason that goes into the dead letter."""


class StoreUnavailable(StateError):
    """The store does not answer now (connection, loading, fail-over, out of memory): retry with backoff."""


class StoreRefused(StateError):
    """The store answered that it cannot do this (foreign key, newer schema): retrying will not help."""
