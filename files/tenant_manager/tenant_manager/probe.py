"""``python -m tenant_manager.probe``: the container's health. 0 when the service says that it is ready, else 1 with its words."""

from __future__ import annotations

import http.client
import os
import sys


def main() -> int:
    host, _, port = os.environ.get("INTERNAL_LISTEN", "127.0.0.1:9100").rpartition(":")
    connection = http.client.HTTPConnection("127.0.0.1" if host == "0.0.0.0" else host, int(port), timeout=8)  # noqa: S104
    try:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        words = answer.read().decode()
    except OSError as error:
        print(f"no answer: {error}")
        return 1
    finally:
        connection.close()
    print(words)
    return 0 if answer.status == 200 else 1


if __name__ == "__main__":
    sys.exit(main())
