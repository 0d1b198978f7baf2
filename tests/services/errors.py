"""What the service launchers raise."""


class ServiceError(Exception):
    """A service could not be fetched or started; the message says what is missing and what to do."""
