"""Faults of the registry, and what is published there."""

import random
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from tests.faults.kinds.fault import Fault
from tests.faults.shop import STALL_S, Mark, Shop
from tests.integration.test_swap import training_log
from training.models.baselines.model import Baseline


class RegistryFault(Fault):
    """Hits the registry."""

    part = "registry"

    def _publish(self, shop: Shop, name: str) -> str:
        """Publish a small model, without promoting it."""
        folder = shop.folder / f"fitted-{name}"
        if not folder.exists():
            folder.mkdir()
            Baseline(name, calibrate=False).fit(training_log(shop.storefront), until=2_000_000_000).save(folder)
        return shop.registry.publish(
            folder,
            name=name,
            data_from=datetime(2011, 1, 1, tzinfo=UTC),
            data_until=datetime(2011, 12, 10, tzinfo=UTC),
            metrics={},
            created=_now(),
        )


def _now() -> datetime:
    return datetime.fromtimestamp(int(time.time()), UTC)


class ModelPublished(RegistryFault):
    """A new model is promoted."""

    name = "model-new"
    logged = ("serves from the next batch",)
    counted = ("model_swaps_total",)

    def begin(self, shop: Shop, rng: random.Random) -> None:
        shop.registry.promote(self._publish(shop, rng.choice(["gp_topfreq", "count_demand"])), at=_now())


class ModelDamaged(RegistryFault):
    """The promoted model is damaged: workers refuse it and serve the one before."""

    name = "model-damaged"
    logged = ("^Model .* is refused, .* stays in use",)
    counted = ("models_refused_total",)

    def begin(self, shop: Shop, rng: random.Random) -> None:
        version = self._publish(shop, "gp_topfreq")
        registry = Path(shop.settings.registry_url)
        files = [file for file in (registry / "versions" / version).iterdir() if file.name != "manifest.json"]
        damaged = max(files)
        damaged.write_bytes(damaged.read_bytes()[:-1] + b"?")
        (registry / "current").write_text(version)  # promote would refuse it

    def after(self, shop: Shop, mark: Mark) -> None:
        super().after(shop, mark)
        shop.registry.promote(self._publish(shop, "gp_topfreq"), at=_now())


class ModelRolledBack(RegistryFault):
    """The promotion before the last one is in force again."""

    name = "model-rollback"
    logged = ("serves from the next batch",)
    counted = ("model_swaps_total",)

    def begin(self, shop: Shop, rng: random.Random) -> None:
        for name in ("gp_topfreq", "count_demand"):
            shop.registry.promote(self._publish(shop, name), at=_now())
        shop.registry.rollback(at=_now())


PUBLISH = """
import resource, sys
from datetime import UTC, datetime
from pathlib import Path

from training.registry import Registry

resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
date = datetime(2011, 1, 1, tzinfo=UTC)
Registry(sys.argv[1]).publish(
    Path(sys.argv[2]), name="gp_topfreq", data_from=date, data_until=date, metrics={}, created=datetime.now(UTC)
)
"""


class RegistryFull(RegistryFault):
    """The disk of the registry takes no more than the first bytes of a bundle: no version appears, nothing changes."""

    name = "registry-full"

    def begin(self, shop: Shop, rng: random.Random) -> None:
        self._publish(shop, "gp_topfreq")
        before = [manifest.version for manifest in shop.registry.versions()], shop.registry.current()
        done = subprocess.run(
            [sys.executable, "-c", PUBLISH, str(shop.folder / "registry"), str(shop.folder / "fitted-gp_topfreq")],
            capture_output=True,
            text=True,
            check=False,
            timeout=STALL_S,
        )
        assert done.returncode != 0, "a bundle was published onto a full disk"
        assert "File too large" in done.stderr, done.stderr
        after = [manifest.version for manifest in shop.registry.versions()], shop.registry.current()
        assert after == before
