"""What the worker's image delivers: a list in CycloneDX's form from the lock file, and the licence of each package.

Advisories need a network, so the audit is a workflow (.github/workflows/audit.yml) and no test.
"""

import json
import re
import subprocess
import sys
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
LOCK = ROOT / "requirements-worker.lock"
LOCKED = re.compile(r"^([a-z0-9._-]+)(?:\[[^]]*\])?==([^ \\;]+)", re.MULTILINE)
COPYLEFT = re.compile(r"\b(A?GPL|SSPL)|GNU (Affero )?General Public|Commons Clause|Business Source", re.IGNORECASE)
"""Licences under which nothing may be delivered with a work under another; the LGPL and the MPL allow it."""


@pytest.fixture(scope="module")
def bill(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The list, as .github/workflows/audit.yml makes it."""
    file = tmp_path_factory.mktemp("sbom") / "sbom.json"
    command = ["requirements", str(LOCK), "--pyproject", str(ROOT / "pyproject.toml"), "--of", "JSON", "-o", str(file)]
    done = subprocess.run(
        [sys.executable, "-m", "cyclonedx_py", *command], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    loaded: dict[str, Any] = json.loads(file.read_text())
    return loaded


def locked() -> dict[str, str]:
    return dict(LOCKED.findall(LOCK.read_text()))


def licence(package: Distribution) -> str:
    """What the package says of itself: an expression, its classifiers, or its text."""
    metadata = package.metadata
    classifiers = [one for one in metadata.get_all("Classifier") or () if one.startswith("License ::")]
    said = [*(metadata.get_all("License-Expression") or ()), *classifiers, *(metadata.get_all("License") or ())]
    return said[0] if said else ""


def test_the_list_has_every_locked_package_with_its_version_and_hashes(bill: dict[str, Any]) -> None:
    assert bill["bomFormat"] == "CycloneDX"
    assert bill["metadata"]["component"]["name"] == "nextbasket"
    assert {one["name"]: one["version"] for one in bill["components"]} == locked()
    for one in bill["components"]:
        assert one["purl"].startswith(f"pkg:pypi/{one['name']}@"), one["name"]
        assert any(reference.get("hashes") for reference in one["externalReferences"]), one["name"]


def test_each_package_has_a_licence_that_lets_it_be_delivered() -> None:
    unknown, forbidden = [], {}
    for name in locked():
        try:
            said = licence(distribution(name))
        except PackageNotFoundError:  # for another system or Python
            continue
        if not said:
            unknown.append(name)
        elif COPYLEFT.search(said.replace("LGPL", "")):
            forbidden[name] = said[:100]
    assert unknown == []
    assert forbidden == {}
