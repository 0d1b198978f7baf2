"""A TCP forwarder: an endpoint whose server can be swapped behind it."""

import itertools
import socket
import threading
from contextlib import suppress


class Relay:
    """Forwards a port to an address while the context lasts.

    ``target`` may be changed: new connections go to the new address, open ones stay where they are. After
    ``connections`` of them further ones are refused. With ``record`` all bytes are in ``recorded``, an entry a
    connection and direction.
    """

    def __init__(
        self, port: int, host: str, target: int, *, connections: int | None = None, record: bool = False
    ) -> None:
        self.target = (host, target)
        self.recorded: list[bytearray] = []
        self._record = record
        self._connections = connections
        self.port = port
        self._listener = socket.create_server(("127.0.0.1", port))
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._accepting = threading.Thread(target=self._accept)

    def url(self, scheme: str) -> str:
        """The address for clients."""
        return f"{scheme}://127.0.0.1:{self.port}"

    def __enter__(self) -> "Relay":
        self._accepting.start()
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):  # it is closed after the last connection
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
        self._accepting.join()
        for one in self._open:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for one in (self._listener, *self._open):
            one.close()

    def _accept(self) -> None:
        with suppress(OSError):
            for _ in itertools.repeat(None) if self._connections is None else range(self._connections):
                here, _address = self._listener.accept()
                try:
                    there = socket.create_connection(self.target)
                except OSError:  # nobody listens there now
                    here.close()
                    continue
                self._open += [here, there]
                for source, sink in ((here, there), (there, here)):
                    self._threads.append(threading.Thread(target=self._pass, args=(source, sink)))
                    self._threads[-1].start()
            self._listener.close()

    def _pass(self, source: socket.socket, sink: socket.socket) -> None:
        recorded = bytearray()
        if self._record:
            self.recorded.append(recorded)
        with suppress(OSError):
            while data := source.recv(65_536):
                if self._record:
                    recorded += data
                sink.sendall(data)
        with suppress(OSError):  # also after a reset, so that the other side does not wait
            sink.shutdown(socket.SHUT_WR)
