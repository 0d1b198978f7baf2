"""What a reader of a stored history refuses."""

from state.errors import CustomerRefused


def check_schema(customer_id: str, schema: int, known: int) -> None:
    """Raises ``CustomerRefused`` for a history that a newer version wrote."""
    if schema > known:
        raise CustomerRefused(
            f"The history of customer {customer_id} has schema {schema} and this version reads up to {known}: "
            "a newer version wrote it; run that one."
        )
