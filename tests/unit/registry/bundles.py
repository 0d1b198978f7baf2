"""Small bundles for the tests of the registry."""

from datetime import UTC, datetime
from pathlib import Path

from minisign import KeyPair

from training.registry import Registry, write_vocabulary

CLOCK = datetime(2011, 12, 10, 6, 0, tzinfo=UTC)
DATA_FROM = datetime(2010, 12, 1, 8, 26, tzinfo=UTC)
DATA_UNTIL = datetime(2011, 12, 9, 13, 0, tzinfo=UTC)


class Keys:
    """A pair of keys, as files of minisign have them."""

    def __init__(self, folder: Path, name: str = "nextbasket") -> None:
        pair = KeyPair.generate()
        self.public = pair.public_key.to_base64().decode()
        self.file = folder / f"{name}.key"
        pair.secret_key.untrusted_comment = "a key of a test"
        self.file.write_bytes(bytes(pair.secret_key) + b"\n")


def model_files(folder: Path, weights: bytes = b"weights") -> Path:
    """What a fitted model saves: a vocabulary and weights."""
    folder.mkdir(parents=True)
    write_vocabulary(folder, ["22613", "85123A"])
    (folder / "weights.npz").write_bytes(weights)
    return folder


def publish(registry: Registry, folder: Path, *, ndcg: float = 0.3, until: datetime = DATA_UNTIL) -> str:
    """Publish a folder with plausible facts."""
    return registry.publish(
        folder,
        name="basket_lstm",
        data_from=DATA_FROM,
        data_until=until,
        metrics={"basket_lstm": {"ndcg@10": ndcg}, "gp_topfreq": {"ndcg@10": 0.2869}},
        created=CLOCK,
    )
