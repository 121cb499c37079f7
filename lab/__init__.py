"""The rehearsal world: machines, registry, base images and stand-ins that let the unchanged deploy run offline."""
