"""Typed, frozen settings from ``NEXTBASKET_*`` environment variables, and the topic, key and group names they imply.

``load_settings`` reads them; docs/reference/settings.md lists them.
"""

import difflib
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo

import msgspec
import platformdirs
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)

from state.errors import SettingsError

PREFIX = "NEXTBASKET_"
TEST_PREFIX = "NEXTBASKET_TEST_"
"""Prefix of the test suite's variables, which are not settings."""

REGISTRY_NAMES = ("claims", "current", "promotions", "signatures", "versions")
"""The folders and files at the top of a registry; the registry of a namespace is a folder next to them."""

REDIS_SCHEMES = ("redis", "rediss", "unix", "redis+cluster", "rediss+cluster", "redis+sentinel", "rediss+sentinel")


class Topics(msgspec.Struct, frozen=True):
    """Names of the Kafka topics, the namespace included."""

    invoices: str
    dead_letter: str
    scores: str
    recommendations: str
    items: str
    rules: str
    due: str
    customers: str


def default_cache() -> Path:
    """The platform's cache folder for this program."""
    return platformdirs.user_cache_path("nextbasket", appauthor=False)


def _brokers(value: str) -> str:
    for broker in filter(None, value.split(",")):
        host, _, port = broker.strip().rpartition(":")
        if not host or not port.isdecimal() or not 0 < int(port) < 65536:
            raise ValueError(f"{without_credentials(broker.strip())!r} is not host:port")
    return value


def _redis_url(value: str) -> str:
    if value and value.partition("://")[0] not in REDIS_SCHEMES:  # the rest may hold a password
        raise ValueError(f"it must begin with one of {', '.join(scheme + '://' for scheme in REDIS_SCHEMES)}")
    return value


def _namespace(value: str) -> str:
    if value and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", value):
        raise ValueError("it may have letters, digits, '.', '_' and '-', begins with a letter or digit, at most 100")
    if value.lower() in REGISTRY_NAMES:
        raise ValueError(f"{', '.join(REGISTRY_NAMES)} are names within a model registry; choose another")
    return value


def _timezone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (KeyError, ValueError, OSError):
        raise ValueError("no such time zone; names look like 'UTC' or 'Europe/London'") from None
    return value


def check_date_format(value: str) -> str:
    """The format of dates of a table.

    Raises:
        ValueError: It is none.
    """
    if value not in ("", "dmy", "mdy", "ymd") and "%" not in value:
        raise ValueError("it must be dmy, mdy, ymd, or a format such as %d/%m/%y %H:%M")
    return value


def _unsellable_codes(value: str) -> str:
    if any(set(pattern.strip()) == {"*"} for pattern in value.split(",")):
        raise ValueError("the pattern * is every stock code; name those that cannot be sold, such as POST*,VOUCHER")
    return value


def _api_version(value: str) -> str:
    if value and not re.fullmatch(r"\d+(\.\d+){0,3}", value):
        raise ValueError("it must look like 2.3, or be empty so that client and broker negotiate")
    return value


def _refresh_at(value: str) -> str:
    if value != "never" and not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", value):
        raise ValueError("it must be a time of day such as 03:00, or never")
    return value


def _upper(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


_URLS = ("kafka_brokers", "redis_url", "registry", "data", "text_encoder")
"""Settings that may hold user and password."""


def without_credentials(url: str) -> str:
    """A URL, or a list of addresses, without user, password and query, all of which may hold a secret."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        return ",".join(address.rpartition("@")[2] for address in url.split(","))
    return f"{scheme}{separator}{rest.partition('?')[0].rpartition('@')[2]}"


class Settings(BaseModel):
    """Every setting with its default. The variable of a field is ``NEXTBASKET_`` and the field's name in capitals."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    # Locations; empty means none.
    kafka_brokers: Annotated[str, AfterValidator(_brokers)] = ""
    redis_url: Annotated[str, AfterValidator(_redis_url)] = ""
    redis_password: SecretStr = SecretStr("")
    sentinel_username: str = ""
    sentinel_password: SecretStr = SecretStr("")
    registry: Annotated[str, Field(min_length=1)] = "registry"
    namespace: Annotated[str, AfterValidator(_namespace)] = ""
    data: Path | None = None
    cache: Path = Field(default_factory=default_cache)
    text_encoder: Annotated[str, Field(min_length=1)] = "offline"
    ray_address: str = ""

    # Kafka.
    kafka_security_protocol: Annotated[
        Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"], BeforeValidator(_upper)
    ] = "PLAINTEXT"
    kafka_sasl_mechanism: Annotated[
        Literal["", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"], BeforeValidator(_upper)
    ] = ""
    kafka_sasl_username: str = ""
    kafka_sasl_password: SecretStr = SecretStr("")
    kafka_sasl_token_file: Path | None = None
    kafka_ssl_cafile: str = ""
    kafka_ssl_certfile: str = ""
    kafka_ssl_keyfile: str = ""
    kafka_api_version: Annotated[str, AfterValidator(_api_version)] = ""
    partitions: Annotated[int, Field(ge=1, le=10_000)] = 8
    replication: Annotated[int, Field(ge=1, le=100)] = 1
    retention_days: Annotated[int, Field(ge=0)] = 365

    # Bounds and format of an event.
    dialect: Literal["plain", "uci"] = "plain"
    timezone: Annotated[str, AfterValidator(_timezone)] = "UTC"
    date_format: Annotated[str, AfterValidator(check_date_format)] = ""
    decimal_mark: Literal["", ".", ","] = ""
    anonymous_ids: str = ""
    unsellable_codes: Annotated[str, AfterValidator(_unsellable_codes)] = ""
    max_event_bytes: Annotated[int, Field(ge=1, le=16_000_000)] = 1_000_000
    max_code_chars: Annotated[int, Field(ge=1)] = 100
    max_description_chars: Annotated[int, Field(ge=1)] = 1_000
    max_number: Annotated[int, Field(ge=1, le=1_000_000_000)] = 10_000_000
    max_lines: Annotated[int, Field(ge=1)] = 10_000
    max_days_ahead: Annotated[int, Field(ge=0)] = 1
    max_clock_difference_seconds: Annotated[float, Field(ge=0)] = 60.0

    # Bounds of a customer's history.
    window: Annotated[int, Field(ge=1, le=10_000)] = 100
    history_ttl_days: Annotated[int, Field(ge=0, le=36_500)] = 1095
    max_history_lines: Annotated[int, Field(ge=1)] = 200_000
    allow_eviction: bool = False

    # The worker.
    top_k: Annotated[int, Field(ge=1, le=100)] = 10
    batch_max: Annotated[int, Field(ge=1, le=10_000)] = 512
    batch_wait_ms: Annotated[int, Field(ge=0, le=60_000)] = 4
    settle_ms: Annotated[int, Field(ge=0, le=10_000)] = 0
    customer_cache_mb: Annotated[int, Field(ge=1, le=100_000)] = 40
    fetch_wait_ms: Annotated[int, Field(ge=1, le=10_000)] = 500
    registry_poll_seconds: Annotated[float, Field(gt=0)] = 5.0
    dead_letters: Literal["wait", "redis"] = "wait"
    valid_days: Annotated[int, Field(ge=1)] = 30
    unknown_stock: Literal["offer", "exclude"] = "offer"
    refresh_at: Annotated[str, AfterValidator(_refresh_at)] = "03:00"
    refresh_share: Annotated[float, Field(gt=0, le=1)] = 0.5
    refresh_delay_seconds: Annotated[float, Field(ge=0)] = 10.0
    seed: Annotated[int, Field(ge=0)] = 7

    # Erasure.
    erasure_key: SecretStr = SecretStr("")
    erasure_key_file: Path | None = None

    # Signatures of bundles.
    signing_public_keys: str = ""
    signing_key_file: Path | None = None

    # HTTP.
    api_keys: SecretStr = SecretStr("")
    api_keys_file: Path | None = None
    api_rate: Annotated[str, Field(min_length=1)] = "1000/second"
    api_origins: str = ""
    api_max_body_bytes: Annotated[int, Field(ge=1)] = 10_000_000
    api_max_age_seconds: Annotated[float, Field(gt=0)] = 60.0
    api_worker_metrics: str = ""

    # Metrics and logs.
    metrics_port: Annotated[int, Field(ge=0, le=65_535)] = 0
    metrics_host: str = "127.0.0.1"
    log_format: Literal["auto", "json", "console"] = "auto"
    log_level: Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"], BeforeValidator(_upper)] = "INFO"

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        """The fields that ``repr`` shows: URLs without user, password and options."""
        for name, value in super().__repr_args__():
            yield name, without_credentials(value) if name in _URLS and isinstance(value, str) else value

    @model_validator(mode="after")
    def _check_sasl(self) -> Self:
        if self.kafka_security_protocol.startswith("SASL") and not self.kafka_sasl_mechanism:
            raise ValueError("NEXTBASKET_KAFKA_SASL_MECHANISM is needed with a SASL security protocol")
        if self.kafka_sasl_mechanism and not self.kafka_security_protocol.startswith("SASL"):
            raise ValueError(
                "NEXTBASKET_KAFKA_SECURITY_PROTOCOL must be SASL_PLAINTEXT or SASL_SSL with a SASL mechanism"
            )
        if (self.kafka_sasl_mechanism == "OAUTHBEARER") != (self.kafka_sasl_token_file is not None):
            raise ValueError(
                "NEXTBASKET_KAFKA_SASL_MECHANISM=OAUTHBEARER and NEXTBASKET_KAFKA_SASL_TOKEN_FILE need each other"
            )
        return self

    @property
    def brokers(self) -> list[str]:
        """The brokers as a list of ``host:port``."""
        return [broker.strip() for broker in self.kafka_brokers.split(",") if broker.strip()]

    @property
    def anonymous_customers(self) -> frozenset[str]:
        """The customer ids that stand for customers who are not known."""
        return frozenset(filter(None, (each.strip() for each in self.anonymous_ids.split(","))))

    @property
    def unsellable_patterns(self) -> tuple[str, ...]:
        """The patterns of stock codes that cannot be sold, sorted, so that equal lists compare equal."""
        return tuple(sorted(set(filter(None, (each.strip() for each in self.unsellable_codes.split(","))))))

    @property
    def worker_metrics(self) -> list[str]:
        """The addresses of the workers' metrics as ``["host:port", …]``."""
        return [address.strip() for address in self.api_worker_metrics.split(",") if address.strip()]

    @property
    def public_keys(self) -> list[str]:
        """The keys of minisign by which bundles are checked."""
        return [key.strip() for key in self.signing_public_keys.split(",") if key.strip()]

    @property
    def origins(self) -> list[str]:
        """The web origins that browsers may call the API from."""
        return [origin.strip() for origin in self.api_origins.split(",") if origin.strip()]

    @property
    def topics(self) -> Topics:
        """The names of the topics, each with the namespace and a dot in front."""
        prefix = f"{self.namespace}." if self.namespace else ""
        return Topics(
            invoices=f"{prefix}invoices",
            dead_letter=f"{prefix}invoices.dead-letter",
            scores=f"{prefix}recommendation-scores",
            recommendations=f"{prefix}recommendations",
            items=f"{prefix}items",
            rules=f"{prefix}rules",
            due=f"{prefix}due-customers",
            customers=f"{prefix}customers",
        )

    @property
    def group(self) -> str:
        """The consumer group of the workers."""
        return f"{self.namespace}.nextbasket-worker" if self.namespace else "nextbasket-worker"

    @property
    def key_prefix(self) -> str:
        """The prefix of every Redis key."""
        return f"{self.namespace}:" if self.namespace else ""

    @property
    def registry_url(self) -> str:
        """The model registry of the namespace: ``registry``, or a folder in it."""
        return f"{self.registry.rstrip('/')}/{self.namespace}" if self.namespace else self.registry


def load_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """Settings from an environment, by default that of the process. An empty variable counts as not set.

    Raises:
        SettingsError: A ``NEXTBASKET_`` variable is unknown or its value invalid; the message names the variable and
            never contains the value of a secret.
    """
    environ = os.environ if environ is None else environ
    known = {PREFIX + field.upper(): field for field in Settings.model_fields}
    values: dict[str, str] = {}
    for name, value in environ.items():
        if not name.startswith(PREFIX) or name.startswith(TEST_PREFIX):
            continue
        if name not in known:
            near = similar_settings(name)
            hint = (
                f"did you mean {' or '.join(near)}?"
                if near
                else "the settings are listed on docs/reference/settings.md."
            )
            raise SettingsError(f"{name} is not a setting; {hint}")
        if value.strip():
            values[known[name]] = value if name.endswith("_PASSWORD") else value.strip()
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        raise SettingsError(_sentence(error)) from None


def similar_settings(name: str) -> list[str]:
    """Settings that a misspelt name may mean, at most three, the most similar first.

    Compared without the prefix, which makes all names similar. A setting is similar where few letters differ, or where
    it is one of a few that have all words of the name, such as KAFKA_BROKERS for BROKERS.
    """
    given = name.removeprefix(PREFIX)
    fields = [field.upper() for field in Settings.model_fields]
    near = difflib.get_close_matches(given, fields, n=3, cutoff=0.8)
    words = set(given.split("_"))
    whole = [field for field in fields if words < set(field.split("_"))]
    return [PREFIX + field for field in dict.fromkeys([*near, *(whole if len(whole) <= 3 else [])])][:3]


def _sentence(error: ValidationError) -> str:
    """One sentence for the first validation error; it contains no value, which may be a secret."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    message = first["msg"].removeprefix("Value error, ")
    if not first["loc"]:
        return f"{message}."
    return f"{PREFIX}{str(first['loc'][0]).upper()} cannot be used: {message[:1].lower()}{message[1:]}."
