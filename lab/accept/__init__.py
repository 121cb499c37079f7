"""``make accept``: every suite that needs a real Twenty, asked of the one that is deployed in the lab. See docs/accept.md."""
