"""What the package offers is a promise: a change of it is a decision."""

import state

PUBLIC = """
DAY HALF_LIVES SHARE_HALF_LIVES THOUSAND ApplyResult Basket Count CustomerHistory Dialect HeldInvoice HeldLine InvalidEvent
Invoice Item ItemChanges ItemState Line Model NextPurchase Reason Recommendation Settings SettingsError PriorRecommendation
StateError Store StoreRefused StoreUnavailable Taken Topics CustomerUpdate Trigger add baskets canonical count demand_at
dialect_named left_out line_text load_settings observe sell shares_at take to_datetime to_iso to_seconds
"""


def test_the_public_names() -> None:
    assert sorted(state.__all__) == sorted(PUBLIC.split())
    assert all(hasattr(state, name) for name in state.__all__)
