"""Building our images on the builder and pushing them, with messages that say what to do when it fails."""

from __future__ import annotations

import re
import shlex
import subprocess
import tarfile
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from pyinfra import host, logger

from twentyops import operations as ops
from twentyops import prune, ssh
from twentyops.image import Image
from twentyops.plan import Plan

WORK = "/var/lib/twentyops/build"
BUILD_TIMEOUT_S = 5400
FIRST_BUILD = (
    r"s/ERROR: failed to configure registry cache importer: ([^ ]+): not found$/no build cache in the registry yet: \1/; "
    r"/^ > importing cache manifest from /d"
)
"""sed's program: what BuildKit calls an error is a first build, and takes no harm."""
VISIBLE = r"^(#[0-9]+ (\[|DONE|ERROR|no build cache|CACHED|exporting|naming|writing|pushing|importing)|ERROR|error:| > )"
CAUSES = (
    (r"(?i)no space left on device|ENOSPC", "the builder's disk is full: docker builder prune, or a larger disk"),
    (
        r"exit code: 137|JavaScript heap out of memory|signal: killed|Killed$|oom-kill|cannot allocate memory|exit code: 134",
        "the build ran out of memory: the front build needs about 8 GB; name a larger machine in BUILDER_HOST",
    ),
    (r"401 Unauthorized|unauthorized|denied", "the registry refused the builder: check REGISTRY_USERNAME and REGISTRY_PASSWORD and their rights"),
    (r"(?i)operation is unsupported|405 method not allowed|readonly", "the registry takes no pushes: is it read-only, or may REGISTRY_USERNAME only read there?"),
    (r"(dial tcp|lookup|getaddrinfo|ECONNREFUSED|ETIMEDOUT|i/o timeout|TLS handshake)", "the builder could not reach a registry: check its network and DNS, then deploy again"),
    (r"failed to solve", "a step of the Dockerfile failed: the lines above are its output"),
)  # fmt: skip


def explain(log: str) -> str:
    """The lines of a build log that matter and a remedy. Pure."""
    lines = log.splitlines()
    errors = [i for i, line in enumerate(lines) if re.search(r"ERROR|error|ENOSPC|Killed|denied|unauthorized", line)]
    shown = sorted(
        {j for i in errors[-8:] for j in range(max(0, i - 2), min(len(lines), i + 3))}
        | set(range(max(0, len(lines) - 12), len(lines)))
    )
    remedy = next((text for pattern, text in CAUSES if re.search(pattern, log, re.MULTILINE)), "see the whole log")
    return "\n".join(f"    {lines[i]}" for i in shown[-45:]) + f"\n  {remedy}"


def build_command(image: Image, tree: str, log: str, context: Path, cache_export: bool) -> str:
    """Shell command that builds from ``tree`` with BuildKit, keeps the whole log and shows its landmarks. Pure.

    ``context``: the same tree on this machine. ``cache_export``: every layer goes to the registry as cache too; only Docker's
    containerd image store can do that. Without ``--provenance=false`` that store makes an index whose digest differs at every
    build of the same content.
    """
    cache = f"{image.repository}:{image.cache_tag}"
    words = ["docker", "buildx", "build", "--progress=plain", "--file", f"{tree}/{image.dockerfile}", "--tag", image.name]
    for name, value in sorted(image.arguments().items()):
        words += ["--build-arg", f"{name}={value}"]
    for name, reference in sorted(image.replaced(context).items()):
        words += [
            "--build-context",
            f"{name}=docker-image://{reference}",
            "--label",
            f"org.opencontainers.image.base.digest={reference}",
        ]
    words += ["--provenance=false", "--cache-from", f"type=registry,ref={cache}"]
    words += ["--cache-to", f"type=registry,ref={cache},mode=max,ignore-error=true" if cache_export else "type=inline"]
    words += ["--load", tree]
    build = " ".join(shlex.quote(word) for word in words)
    script = (
        f"set -o pipefail; mkdir -p {shlex.quote(str(Path(log).parent))}; "
        f"{build} 2>&1 | tee {shlex.quote(log)} | sed -u -E {shlex.quote(FIRST_BUILD)} | {{ grep --line-buffered -E {shlex.quote(VISIBLE)} || :; }}"
    )
    return f"bash -c {shlex.quote(script)}"


def build(plan: Plan, image: Image) -> str | None:
    """Bring an image's context to the builder and build it there; a text is the reason why it failed."""
    context = image.context()
    log = f"{WORK}/{image.tag}.log"
    there = str(context)
    if not plan.settings.builder_is_local:
        there = f"{WORK}/{image.tag}"
        if problem := _send(context, there):
            return problem
    logger.info(f"{host.print_prefix}building {image.name}; whole log: {log} on the builder")
    exports = ops.remote("docker info --format '{{json .DriverStatus}}' | grep -q containerd.snapshotter")[0]
    command = build_command(image, there, log, context, exports)
    succeeded, output = ops.remote(command, timeout=BUILD_TIMEOUT_S, show=True)
    if succeeded:
        return None
    _, text = ops.remote(f"tail -n 400 {shlex.quote(log)}")
    return f"{image.title} could not be built:\n{explain(text or output)}\n  whole log: {log} on the builder"


def _send(tree: Path, destination: str) -> str | None:
    """Copy a tree to the builder as one archive; there already, nothing is sent."""
    if ops.remote(f"test -f {destination}/.complete")[0]:
        return None
    with TemporaryDirectory(prefix="twentyops-") as directory:
        archive = Path(directory) / "tree.tar.gz"
        with tarfile.open(archive, "w:gz", compresslevel=1) as tar:
            tar.add(tree, arcname=".", filter=lambda entry: None if entry.name.endswith("__pycache__") else entry)
        size = archive.stat().st_size / 1e6
        logger.info(f"{host.print_prefix}sending {tree.name} ({size:.0f} MB)")
        ops.remote(f"mkdir -p {WORK} && chmod 700 {WORK}")
        if not host.put_file(str(archive), f"{destination}.tar.gz", **({"_sudo": True} if ops.host_data().get("_sudo") else {})):
            return f"{tree.name} could not be sent to {host.name}: check its disk and network"
    unpack = (
        f"rm -rf {destination} && mkdir -p {destination} && tar -xzf {destination}.tar.gz -C {destination} --no-same-owner "
        f"&& rm {destination}.tar.gz && touch {destination}/.complete"
    )
    succeeded, output = ops.remote(unpack)
    return None if succeeded else f"{tree.name} could not be unpacked on {host.name}: {output[-500:]}"


def docker_answers(plan: Plan) -> str | None:
    """Whether images can be pushed from the builder, asked before minutes of building; a text is the reason and the remedy."""
    import docker  # here: a third of the start of every command, and most push nothing

    if plan.settings.builder_is_local:
        return None
    user = ops.host_data()["ssh_user"]
    try:
        with ssh.docker_socket(ops.host_data()) as url:
            docker.DockerClient(base_url=url, timeout=30).ping()
    except (docker.errors.DockerException, OSError, subprocess.SubprocessError) as error:
        if ops.remote("docker version", sudo=False)[0]:
            return (
                f"sshd on the builder forwards no sockets ({error}): in its sshd_config set AllowStreamLocalForwarding yes and take out "
                "DisableForwarding, then systemctl reload ssh"
            )
        return f"{user} may not use Docker on the builder ({error}): usermod --append --groups docker {user}, there"
    return None


def push(plan: Plan, image: Image) -> str | None:
    """Push a built image and read its digest back; a text is the reason why it failed.

    Through the Docker SDK: it reports a refused push as an event of the stream, never as an exception. The digest comes in
    ``aux`` from Docker's classic image store and in a status line from the containerd one.
    """
    import docker

    s = plan.settings
    login = {"username": s.registry_username, "password": s.registry_password.get_secret_value()}
    digest = ""
    with ExitStack() as stack:
        url = None if s.builder_is_local else stack.enter_context(ssh.docker_socket(ops.host_data()))
        try:
            client = docker.DockerClient(base_url=url, timeout=600) if url else docker.from_env(timeout=600)
            for event in client.images.push(image.repository, tag=image.tag, stream=True, decode=True, auth_config=login):
                if "error" in event:
                    return f"the registry refused the push of {image.name}: {event['error']}\n{explain(event['error'])}"
                told = re.search(r"digest: (sha256:[0-9a-f]{64})", event.get("status", ""))
                digest = event.get("aux", {}).get("Digest") or (told[1] if told else digest)
        except docker.errors.DockerException as error:
            return f"Docker on the builder could not push {image.name}: {error}\n  A user other than root must be in the group docker there."
    if not digest:
        return f"the push of {image.name} ended without a digest; deploy again"
    there = plan.registry().digest(s.image_name, image.tag)
    if there != digest:
        return f"pushed {digest}, but the registry says {there} for {image.name}: does somebody else push there?"
    image.digest = digest
    logger.info(f"{host.print_prefix}pushed {image.reference}")
    prune.built_images(ops.remote, s.repository, s.release_retention * len(plan.built))
    return None
