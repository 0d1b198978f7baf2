"""What to do where TLS with a service fails by the certificates, from the text of the error of OpenSSL."""

import re

_UNTRUSTED = re.compile(r"certificate verify failed: ([^()]+?)\s*(?:\(|$)")
_REFUSED = re.compile(
    r"ALERT_(\w*CERTIFICATE\w*|UNKNOWN_CA|HANDSHAKE_FAILURE|ACCESS_DENIED|DECRYPT_ERROR)", re.IGNORECASE
)
"""The alerts of a server that wants another certificate of the client, or one at all."""


def certificate_problem(text: str, *, address: str, authorities: str, certificate: str) -> str | None:
    """Why a service cannot be used until somebody repairs a certificate, and what to do; None for another failure.

    Args:
        text: The error, as Python's ``ssl`` words it.
        address: The setting with the host, as the sentence names it.
        authorities: The setting with the authorities that are trusted.
        certificate: The settings with the certificate of the client and its key.
    """
    if match := _UNTRUSTED.search(text):
        reason = match[1].strip().rstrip(".")
        if "expired" in reason or "not yet valid" in reason:
            return f"its certificate is not accepted ({reason}): renew it on the server, or set the clock right"
        if "mismatch" in reason:
            return (
                f"its certificate is not accepted ({reason}): use a name that the certificate has in {address}, or "
                "issue it for this one"
            )
        return f"its certificate is not accepted ({reason}): {authorities} must have the authority that issued it"
    if match := _REFUSED.search(text):
        alert = match[1].lower().replace("_", " ")
        return f"it does not accept the certificate of this client, or misses it ({alert}); see {certificate}"
    return None
