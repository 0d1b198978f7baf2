"""The errors of ``state``.

StateError
├── SettingsError        a setting is unknown or impossible: the program does not start
│   └── DialectDiffers   a bundle or a store was made in another dialect: it is not used
├── InvalidEvent         an event breaks the wire contract: it goes to the dead letters
│   └── EventAhead       it is dated ahead of the clock: either may be wrong
├── StoreUnavailable     the store is unavailable: wait and try again, nothing is lost
│   └── StoreForbids     it does not allow this user a command: give the right that the message names, or wait for it
└── StoreRefused         the store refuses the operation: trying again does not help
    ├── AccessRefused    because of who asks: a program that had access waits until it has it again
    │   ├── PasswordRefused     because of the user or the password
    │   └── CertificateRefused  because of a certificate, that of the store or that of this client
    └── CustomerRefused  because of what it holds for one customer: the events of others are not concerned

The names state the problem; a suffix "Error" would add nothing (hence N818).
"""


class StateError(Exception):
    """Base of the errors of this package; the message contains what to do next."""


class SettingsError(StateError):
    """A setting is unknown or impossible; the message names it and its possible values."""


class DialectDiffers(SettingsError):
    """A bundle or a store was made in another dialect (or with other unsellable codes); the message names both."""


class InvalidEvent(StateError):
    """An event breaks the wire contract; the message is the reason that goes into the dead letter.

    ``field``: the first wrong field, such as ``lines[0].quantity``; None where the event as a whole is wrong.
    """

    def __init__(self, reason: str, field: str | None = None) -> None:
        super().__init__(reason)
        self.field = field


class EventAhead(InvalidEvent):
    """An event is dated ahead of the clock."""


class StoreUnavailable(StateError):
    """The store is unavailable (connection, loading, fail-over, memory, a forbidden command): retry with backoff."""


class StoreForbids(StoreUnavailable):
    """The store does not allow the user a command or a key; the message names it. Somebody has to give the right."""


class StoreRefused(StateError):
    """The store refuses the operation (password, foreign data among the items): retrying does not help."""


class AccessRefused(StoreRefused):
    """The store does not let this program in; it did before, where the program has used it."""


class PasswordRefused(AccessRefused):
    """The store refuses the user or the password."""


class CertificateRefused(AccessRefused):
    """A certificate is not accepted, that of the store or that of this client; the message says what to do."""


class CustomerRefused(StoreRefused):
    """What the store holds for a customer cannot be used (foreign data, newer schema): this customer's events wait."""
