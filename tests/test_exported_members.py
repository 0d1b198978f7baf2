"""What each package offers under its own name. A change here is a change of the public surface: make it on purpose."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

EXPORTS = {
    "state": """
        DAY HALF_LIVES SHARE_HALF_LIVES THOUSAND AddedInvoice ApplyResult Basket CustomerHistory CustomerRefused
        CustomerUpdate DemandChange Dialect HeldInvoice HeldLine InvalidEvent Invoice Item ItemChanges ItemState Line
        ModelVersion NextPurchase PriorRecommendation Reason Recommendation Settings SettingsError StateError Store
        StoreRefused StoreUnavailable Topics Trigger add_invoice baskets canonical_json count_sale demand_at
        dialect_named exclusion_reason line_text load_settings observe_sale record_sale shares_at to_datetime to_iso
        to_seconds
    """,
    "training.data.simulator": """
        GIFTS GROCERIES SHOP_PROFILES SMALL ShopProfile simulate simulate_blocks write_parquet write_parts
    """,
    "training.eda": """
        BYTES_A_ROW build_report
    """,
    "training.features": """
        GlobalStatistics ItemTable Retrieval View build_view
    """,
    "training.models": """
        BASELINES MODELS Fitted Model check_name installed make_model options_of
    """,
    "training.models.basket_lstm": """
        BasketLstm FittedBasketLstm
    """,
    "training.models.item_lstm": """
        FittedItemLstm ItemLstm
    """,
    "training.registry": """
        BundleRefused DataWindow Decision Manifest NothingToRollBack Promotion Registry RegistryError
        RegistryUnavailable Signatures UnknownVersion decide read_vocabulary verify write_vocabulary
    """,
    "training.report": """
        HALF STRIP WIDE Figure Page Section Table draw render save_pictures
    """,
}

PACKAGES = {
    ".".join(path.parent.relative_to(ROOT).parts): path
    for name in ("state", "training", "stream")
    for path in sorted((ROOT / name).rglob("__init__.py"))
}


def exported(package: str) -> list[str] | None:
    """``__all__`` of a package, read without importing it (one of them imports TensorFlow)."""
    for node in ast.parse(PACKAGES[package].read_text()).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "__all__":
            names: list[str] = ast.literal_eval(node.value)
            return names
    return None


def bound(package: str) -> set[str]:
    """Public names that the package's own modules, imported or written in ``__init__``, give it."""
    names: set[str] = set()
    for node in ast.parse(PACKAGES[package].read_text()).body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(package + "."):
            names |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {target.id for target in targets if isinstance(target, ast.Name)}
    return {name for name in names if not name.startswith("_")}


def test_no_package_starts_or_stops_exporting_unnoticed() -> None:
    assert {package for package in PACKAGES if exported(package) is not None} == set(EXPORTS)


@pytest.mark.parametrize("package", sorted(EXPORTS))
def test_a_package_exports_what_is_written_down(package: str) -> None:
    names = exported(package)
    assert names is not None
    assert set(names) == set(EXPORTS[package].split())
    assert len(names) == len(set(names))


@pytest.mark.parametrize("package", sorted(EXPORTS))
def test_what_a_package_gathers_is_what_it_exports(package: str) -> None:
    assert bound(package) == set(exported(package) or [])


@pytest.mark.parametrize("package", sorted(PACKAGES))
def test_a_package_says_what_it_is(package: str) -> None:
    assert ast.get_docstring(ast.parse(PACKAGES[package].read_text()))
