"""docs/reference/settings.md names every setting with its default, and nothing else."""

import re
from pathlib import Path

from pydantic import SecretStr

from state.settings import PREFIX, Settings

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "settings.md"
ROW = re.compile(r"^\| `NEXTBASKET_(\w+)` \| (.*?) \|", re.MULTILINE)


def _shown(field: str) -> str:
    default = Settings.model_fields[field].get_default(call_default_factory=True)
    if isinstance(default, SecretStr):
        default = default.get_secret_value()
    return f"`{default}`" if default not in ("", None) else "(none)"


def test_the_page_lists_every_setting_with_its_default() -> None:
    listed = dict(ROW.findall(PAGE.read_text(encoding="utf-8")))
    assert listed.pop("CACHE") == "the platform's cache folder"
    assert listed == {field.upper(): _shown(field) for field in Settings.model_fields if field != "cache"}, (
        f"change docs/reference/settings.md so that its rows are the fields of Settings (prefix {PREFIX})"
    )
