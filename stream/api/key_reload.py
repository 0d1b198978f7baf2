"""Keys that are added to the file or removed from it are used without a restart of the server."""

import logging
from pathlib import Path

from state.errors import SettingsError
from state.settings import Settings
from stream.api.access import Access
from stream.api.keys import load_keys

logger = logging.getLogger(__name__)

INTERVAL_S = 1.0

_Signature = tuple[int, int, int]


class KeyReload:
    """Reads the file of keys again when it has changed; where it is invalid or empty, the keys before it stay.

    Args:
        settings: The file and the keys of the environment.
        access: Gets the keys.
    """

    def __init__(self, settings: Settings, access: Access) -> None:
        self._settings = settings
        self._access = access
        self._seen = _signature(settings.api_keys_file)

    def check(self) -> None:
        """Look whether the file has changed."""
        now = _signature(self._settings.api_keys_file)
        if now == self._seen:
            return
        self._seen = now
        try:
            keys = load_keys(self._settings)
        except SettingsError as error:
            logger.error("The API keys before the change stay in use: %s", error)
            return
        if not len(keys):
            # Without keys everybody would have every scope.
            logger.error("The file of NEXTBASKET_API_KEYS_FILE has no key any more; the keys before the change stay")
            return
        self._access.keys = self._access.keys.renewed(keys)
        logger.info("API keys were read again: %s", ", ".join(keys.names))


def _signature(file: Path | None) -> _Signature | None:
    """Changes with the file; None where it cannot be read."""
    if file is None:
        return None
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
