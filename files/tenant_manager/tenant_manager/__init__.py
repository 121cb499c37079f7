"""The tenant manager: a Clerk organisation becomes a workspace of Twenty, and stays as Clerk says it is."""

WEBHOOK_PATH = "/webhooks/clerk"
SELF_TEST = "twentyops.self_test"
