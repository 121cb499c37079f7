"""Addresses on this machine that lead to ports of containers which the droplet publishes to nobody, by its own SSH."""

from __future__ import annotations

import socket
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

FRESH = 1.0  # s that an address of a container is believed; a container that was made anew has another one


class Door:
    """Listens on a loopback port; each connection becomes one channel of a shared SSH connection, which comes back by itself.

    + ssh: command up to the host's name, whose last word is that name
    + target: gives ``host:port`` as the droplet reaches it, empty while there is none
    + control: path of the shared connection's socket
    """

    def __init__(self, ssh: Sequence[str], target: Callable[[], str], control: Path) -> None:
        *self.ssh, self.host = ssh
        self.target, self.control = target, control
        self._known, self._asked_at = "", 0.0
        self._lock = threading.Lock()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._socket.getsockname()[1]}"
        self._children: list[subprocess.Popen[bytes]] = []
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._lead, args=(connection,), daemon=True).start()

    def _where(self) -> str:
        with self._lock:
            if time.monotonic() - self._asked_at > FRESH or not self._known:
                self._known, self._asked_at = self.target(), time.monotonic()
            return self._known

    def _lead(self, connection: socket.socket) -> None:
        with connection:
            where = self._where()
            if not where:
                return  # closed at once: the caller sees that nobody is there
            shared = ["-o", "ControlMaster=auto", "-o", f"ControlPath={self.control}", "-o", "ControlPersist=60"]
            child = subprocess.Popen(
                [*self.ssh, *shared, "-W", where, self.host],
                stdin=connection.fileno(),
                stdout=connection.fileno(),
                stderr=subprocess.DEVNULL,
            )
            with self._lock:
                self._children = [c for c in self._children if c.poll() is None] + [child]
        child.wait()

    def close(self) -> None:
        """Nobody is let in any more, and who is in is cut off."""
        self._socket.close()
        with self._lock:
            children, self._children = self._children, []
        for child in children:
            child.terminate()
            child.wait()
