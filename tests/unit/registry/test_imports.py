"""Workers use the registry, so it may not bring what they must not load."""

import subprocess
import sys

import training.registry


def test_the_registry_brings_neither_tensorflow_nor_pandas() -> None:
    code = "import sys, training.registry; print({'tensorflow', 'keras', 'pandas', 'pyarrow'} & set(sys.modules))"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert ended.stdout.strip() == "set()"


def test_what_is_public() -> None:
    assert sorted(training.registry.__all__) == [
        "BundleRefused",
        "DataWindow",
        "Decision",
        "Manifest",
        "NothingToRollBack",
        "Promotion",
        "Registry",
        "RegistryError",
        "RegistryUnavailable",
        "UnknownVersion",
        "decide",
        "read_vocabulary",
        "verify",
        "write_vocabulary",
    ]
