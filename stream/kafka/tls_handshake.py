"""Ends the TLS handshakes of kafka-python in time, and closes their sockets.

kafka-python 3.0.12 waits without a limit for a server that accepts a connection and then sends nothing, such as a
firewall or a port of another service: its constructors never return, whatever ``bootstrap_timeout_ms`` is. And it
leaves the socket of a handshake that fails or is given up open (``KafkaConnectionManager._build_transport``).
"""

import ssl
import time
from functools import cache
from typing import Any

LIMIT_S = 10.0
"""Time for a handshake; kafka-python gives a connection as long, ``socket_connection_setup_timeout_ms``."""


@cache
def bound_in_kafka_python() -> None:
    """Bound the handshakes of all clients of kafka-python in this process."""
    from kafka.net import manager
    from kafka.net.transport import KafkaSSLTransport

    class BoundedTransport(KafkaSSLTransport):  # type: ignore[misc]  # kafka-python has no types
        async def handshake(self) -> None:
            """Make the connection secure.

            Raises:
                KafkaTimeoutError: The server did not answer in time.
                OSError: The handshake failed, for example because a certificate is not trusted.
            """
            sock: Any = self._sock
            end = time.monotonic() + LIMIT_S
            try:
                while True:
                    try:
                        sock.do_handshake()
                    except ssl.SSLWantReadError:
                        await self._net.wait_read(sock, end)
                    except ssl.SSLWantWriteError:
                        await self._net.wait_write(sock, end)
                    else:
                        return
            except BaseException:  # also where the client is closed meanwhile
                sock.close()
                raise

    manager.KafkaSSLTransport = BoundedTransport
