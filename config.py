"""pyinfra's own configuration."""

REQUIRE_PYINFRA_VERSION = "==3.10.0"
FAIL_PERCENT = 0
"""One host that fails ends the run: a droplet is not configured for an image that could not be built."""
