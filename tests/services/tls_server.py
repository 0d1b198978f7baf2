"""A TLS server that shakes hands and answers nothing, for clients that must not get further."""

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def tls_server(certificate: tuple[Path, Path], *, clients_of: Path | None = None) -> Iterator[int]:
    """Serves on the port that is returned.

    Args:
        certificate: Files of the server's certificate and key.
        clients_of: The authority of the client certificates that are asked for; None: none are.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*certificate)
    if clients_of is not None:
        context.load_verify_locations(clients_of)
        context.verify_mode = ssl.CERT_REQUIRED

    def serve() -> None:
        with suppress(OSError):  # the listener is closed
            while True:
                connection, _ = listener.accept()
                connection.settimeout(5)
                with context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False) as secured:
                    try:
                        while secured.recv(4_096):  # shakes hands first
                            pass
                    except OSError:
                        time.sleep(0.1)  # the client reads the alert before the connection is reset

    with socket.create_server(("127.0.0.1", 0)) as listener:
        serving = threading.Thread(target=serve)
        serving.start()
        try:
            yield listener.getsockname()[1]
        finally:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            serving.join()
