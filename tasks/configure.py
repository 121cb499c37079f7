"""Phase 6: secrets, images and the release's files lie ready beside the running release; nothing running is touched."""

from pyinfra import host
from pyinfra.api import deploy
from pyinfra.operations import files

from tasks import preflight
from twentyops import facts, operations, plan, stack
from twentyops.deploying import is_deploy_file


@deploy("Configure")
def release() -> None:
    """Compose file, one env file a container, Caddyfile: written beside, checked, then left for the next phase."""
    current = plan.current()
    recall(current)
    files.directory(name="Home of the stack", path=stack.HOME, mode="755", user="root", group="root")
    operations.generated_secrets(name="Generated secrets", directory=f"{stack.HOME}/secrets", names=stack.SECRETS)
    operations.control_step(name="Secrets are whole and distinct", function=lambda: read_secrets(current), description="read")
    operations.pulled_images(name="Images by digest", references=lambda: sorted(set(current.images.values())))
    text = stack.caddyfile(current.settings)
    # Caddy has the directory mounted, and need not be root in its container
    files.directory(
        name="Caddyfile's directory", path=stack.caddyfile_path(text).rpartition("/")[0], mode="755", user="root", group="root"
    )
    operations.checked_caddyfile(
        name="Caddyfile", path=stack.caddyfile_path(text), content=text, image=lambda: current.images["caddy"]
    )
    operations.release_files(name="Release files", directory=lambda: current.directory, content=current.files)


def recall(current: plan.Plan) -> None:
    """Read the droplet's secrets while planning, so that a plan is true; on a new host they are made in this run."""
    present = host.get_fact(facts.FileDigests, directory=f"{stack.HOME}/secrets")
    if all(name in present for name in stack.SECRETS):
        read_secrets(current)


def read_secrets(current: plan.Plan) -> str | None:
    """Bring the droplet's secrets into this process's memory; a text is what is wrong with them."""
    try:
        current.secrets = operations.read_secrets(f"{stack.HOME}/secrets", stack.SECRETS)
    except ValueError as error:
        return str(error)
    return None


if is_deploy_file(__name__):
    preflight.check()
    if "droplet" in host.groups:
        release()
