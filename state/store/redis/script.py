"""The scripts that run in Redis: joined from Lua files, called by hash, and sent where Redis lacks them."""

import hashlib
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from redis.exceptions import NoScriptError


class Script:
    """A script made of several Lua files, one after the other."""

    def __init__(self, *names: str) -> None:
        folder = files("state.store.redis").joinpath("scripts")
        self.text = "\n".join(folder.joinpath(f"{name}.lua").read_text(encoding="utf-8") for name in names)
        self.sha1 = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()

    def __call__(self, client: Any, keys: Sequence[str], *arguments: str | bytes) -> Any:
        """Runs the script; sends its text if Redis does not have it (new, restarted, flushed)."""
        try:
            return client.evalsha(self.sha1, len(keys), *keys, *arguments)
        except NoScriptError:
            return self.send(client, keys, *arguments)

    def send(self, client: Any, keys: Sequence[str], *arguments: str | bytes) -> Any:
        """Runs the script by its text; Redis then has it."""
        return client.eval(self.text, len(keys), *keys, *arguments)
