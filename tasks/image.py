"""Phase 5: build and push the image, unless the registry has it already."""

from pyinfra import host
from pyinfra.api import deploy

from twentyops import image, operations, plan
from twentyops.deploying import is_deploy_file


@deploy("Image")
def publish() -> None:
    """Build from the patched tree, push, read the digest back; nothing at all where the content-hash tag is there."""
    current = plan.current()
    missing = not current.image_digest
    operations.control_change(name=f"Build {current.image_tag}", wanted=missing, function=lambda: image.build(current))
    operations.control_change(name="Push the image", wanted=missing, function=lambda: image.push(current))


@deploy("Image")
def known() -> None:
    """A barrier on every host: what comes after it finds the image in the registry."""
    current = plan.current()

    def check() -> str | None:
        if current.image_digest:
            return None
        return f"{current.image_tag} is not in the registry: run the deploy without --limit, so that the builder makes it"

    operations.control_step(name="Image is in the registry", function=check, description="known")


if is_deploy_file(__name__) and "builder" in host.groups:
    publish()
