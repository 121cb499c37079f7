"""pyinfra's own configuration."""

from pyinfra import config

from twentyops import notify, reach

config.REQUIRE_PYINFRA_VERSION = "==3.10.0"
# one host that fails ends the run: a droplet is not configured for an image that could not be built
config.FAIL_PERCENT = 0
notify.at_end()
reach.refuse_nobody()
