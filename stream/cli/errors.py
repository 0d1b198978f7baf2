"""Errors as one sentence and an exit code."""

from stream.cli.exit_codes import ExitCode, Failure
from stream.cli.extras import describe_missing

_UNREACHABLE = "Is it running, and does {setting} point at it?"
_RIGHTS = "The user lacks Read or Write on it; docs/how-to/secure-kafka-and-redis.md has the rights of each command."
ERRORS: dict[str, tuple[ExitCode, str]] = {
    "state.errors:SettingsError": (ExitCode.SETTINGS, ""),
    "state.errors:InvalidEvent": (ExitCode.DATA, ""),
    "state.errors:StoreUnavailable": (ExitCode.UNREACHABLE, _UNREACHABLE.format(setting="NEXTBASKET_REDIS_URL")),
    "state.errors:StateError": (ExitCode.UNREACHABLE, ""),
    "state.errors:StoreForbids": (ExitCode.UNREACHABLE, ""),
    "stream.errors:RightMissing": (ExitCode.UNREACHABLE, ""),
    "stream.errors:BrokerRefused": (ExitCode.UNREACHABLE, ""),
    "stream.errors:TlsRefused": (ExitCode.UNREACHABLE, ""),
    "stream.errors:BrokerUnavailable": (
        ExitCode.UNREACHABLE,
        _UNREACHABLE.format(setting="NEXTBASKET_KAFKA_BROKERS"),
    ),
    "stream.errors:EndpointGone": (ExitCode.NEGATIVE, ""),
    "stream.errors:StreamError": (ExitCode.UNREACHABLE, ""),
    "training.data.errors:DataError": (ExitCode.DATA, ""),
    "training.errors:UnknownModel": (ExitCode.USAGE, ""),
    "training.errors:SplitError": (ExitCode.USAGE, ""),
    "training.errors:EngineUnavailable": (ExitCode.UNREACHABLE, ""),
    "training.errors:TrainingError": (ExitCode.DATA, ""),
    "training.registry.errors:RegistryError": (ExitCode.REGISTRY, ""),
    "kafka.errors:AuthorizationError": (ExitCode.UNREACHABLE, _RIGHTS),
    "kafka.errors:KafkaError": (ExitCode.UNREACHABLE, _UNREACHABLE.format(setting="NEXTBASKET_KAFKA_BROKERS")),
    "aiokafka.errors:KafkaError": (ExitCode.UNREACHABLE, _UNREACHABLE.format(setting="NEXTBASKET_KAFKA_BROKERS")),
    "cimpl:KafkaException": (ExitCode.UNREACHABLE, _UNREACHABLE.format(setting="NEXTBASKET_KAFKA_BROKERS")),
    "redis.exceptions:RedisError": (ExitCode.UNREACHABLE, _UNREACHABLE.format(setting="NEXTBASKET_REDIS_URL")),
    "builtins:ModuleNotFoundError": (ExitCode.SETTINGS, "Install the package, or run the command that needs none."),
    "builtins:OSError": (ExitCode.DATA, "Check the path and its permissions."),
}
"""Expected errors by ``module:class``: the exit code, and the advice to add where the message has none.

An error that is not listed counts as its nearest base class that is. They are listed by name because importing Kafka,
Redis and pandas for their error classes would take seconds.
"""


def describe_error(error: BaseException, command: str = "") -> tuple[ExitCode, str]:
    """The exit code of an error, and one sentence for the user of a command."""
    name = type(error).__name__
    message = " ".join(str(error).split()).removeprefix(f"{name}: ") or name
    if isinstance(error, Failure):
        return error.code, message
    if isinstance(error, KeyboardInterrupt):
        return ExitCode.INTERRUPTED, "Interrupted."
    if isinstance(error, ModuleNotFoundError) and (sentence := describe_missing(error, command)):
        return ExitCode.SETTINGS, sentence
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        message = f"{error.strerror}: {error.filename}"
    for base in type(error).__mro__:
        if expected := ERRORS.get(f"{base.__module__}:{base.__qualname__}"):
            code, advice = expected
            return code, _with_advice(message, advice)
    return ExitCode.INTERNAL, _with_advice(
        f"{name}: {message}",
        "This is a mistake in nextbasket; NEXTBASKET_LOG_LEVEL=debug shows where.",
    )


def _with_advice(message: str, advice: str) -> str:
    sentence = message if message.endswith((".", "!", "?")) else f"{message}."
    return f"{sentence} {advice}".rstrip()
