"""An event as Clerk would sign it, that nothing follows from: whoever can deliver it has proved the way from outside to the worker."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime
from typing import Any

from standardwebhooks import Webhook

from tenant_manager import SELF_TEST, WEBHOOK_PATH
from tenant_manager.settings import Settings


def signed(settings: Settings) -> dict[str, Any]:
    """``{path, headers, body}`` of one delivery, signed now with the secret that Clerk signs with; the secret itself stays here."""
    message_id, now = f"msg_{uuid.uuid4().hex}", datetime.now(UTC)
    body = json.dumps({"type": SELF_TEST, "object": "event", "data": {}, "timestamp": int(now.timestamp() * 1000)})
    headers = {
        "content-type": "application/json",
        "svix-id": message_id,
        "svix-timestamp": str(int(now.timestamp())),
        "svix-signature": Webhook(settings.clerk_webhook_secret[0].get_secret_value()).sign(message_id, now, body),
    }
    return {"path": WEBHOOK_PATH, "headers": headers, "body": body}
