"""Which versions of a registry are deleted: old ones, and those with vectors of customers who were erased since."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from state.events.dates import to_iso
from training.registry import Manifest

VECTORS = "neighbours.npz"


class Pruning(NamedTuple):
    """The versions to delete with the reason of each, and why the champion should be too, where it should."""

    deleted: dict[str, str]
    champion: str | None


def plan_pruning(
    manifests: Sequence[Manifest],
    champion: str | None,
    keep: int,
    erased: int | None,
    is_enumerable: Callable[[str], bool],
) -> Pruning:
    """Decide what to delete; the champion never is.

    Args:
        manifests: Of all versions, oldest first.
        champion: The version that serves.
        keep: Number of other versions that stay, the newest.
        erased: When the last customer was erased, in seconds since 1970; None: nobody was.
        is_enumerable: Whether the vectors of a version are under hashes that anybody can compute.
    """
    others = [each.version for each in manifests if each.version != champion]
    old = set(others[: max(0, len(others) - keep)])
    deleted: dict[str, str] = {}
    of_champion = None
    for manifest in manifests:
        reason = _vectors(manifest, erased, is_enumerable)
        if manifest.version == champion:
            of_champion = reason
        elif reason is not None:
            deleted[manifest.version] = reason
        elif manifest.version in old:
            deleted[manifest.version] = f"{keep} newer ones stay"
    return Pruning(deleted, of_champion)


def _vectors(manifest: Manifest, erased: int | None, is_enumerable: Callable[[str], bool]) -> str | None:
    if not any(path.rpartition("/")[2] == VECTORS for path in manifest.files):
        return None
    if erased is not None and manifest.created <= to_iso(erased):
        return "it has vectors of customers, and somebody was erased since"
    if is_enumerable(manifest.version):
        return "it has vectors of customers under hashes that anybody can compute"
    return None
