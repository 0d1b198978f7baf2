"""What the registry package offers."""

import training.registry


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
        "Signatures",
        "UnknownVersion",
        "decide",
        "read_vocabulary",
        "verify",
        "write_vocabulary",
    ]
