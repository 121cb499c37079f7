"""Twenty CRM on a droplet: settings, patchset, releases, and the pyinfra facts and operations that put them there."""

__version__ = "0.1.0"
