"""The scripts that run in Redis: joined from Lua files, called by hash, and sent where Redis lacks them."""

import hashlib
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from redis.cluster import RedisCluster
from redis.exceptions import NoScriptError, ResponseError

Call = tuple[Sequence[str], Sequence[str | bytes]]
"""Keys of one slot, and arguments."""


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

    def each(self, client: Any, calls: Sequence[Call]) -> list[Any]:
        """Runs the script once for each call, pipelined; returns the replies, errors of Redis among them.

        On a Cluster each call is given its node: redis-py would ask a node for the keys of each, one after the other.
        """
        with client.pipeline(transaction=False) as pipeline:
            for keys, arguments in calls:
                node: dict[str, Any] = {}
                if isinstance(client, RedisCluster):
                    node["target_nodes"] = client.get_node_from_key(keys[0])  # type: ignore[no-untyped-call]
                pipeline.execute_command("EVALSHA", self.sha1, len(keys), *keys, *arguments, **node)
            replies: list[Any] = pipeline.execute(raise_on_error=False)
        for number, (keys, arguments) in enumerate(calls):
            if isinstance(replies[number], NoScriptError):  # the node does not have the script yet
                try:
                    replies[number] = self(client, keys, *arguments)
                except ResponseError as error:
                    replies[number] = error
        return replies

    def send(self, client: Any, keys: Sequence[str], *arguments: str | bytes) -> Any:
        """Runs the script by its text; Redis then has it."""
        return client.eval(self.text, len(keys), *keys, *arguments)
