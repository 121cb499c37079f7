"""The rehearsal world: machines, registry, base images and stand-ins that let the unchanged deploy run offline."""

from lab.identity import LabError
from lab.machine import Machine
from lab.world import Lab, leftovers

__all__ = ["Lab", "LabError", "Machine", "leftovers"]
