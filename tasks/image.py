"""Phase 5: build and push our images, unless the registry has them already."""

from functools import partial

from pyinfra import host
from pyinfra.api import deploy

from twentyops import builder, operations, plan
from twentyops.deploying import is_deploy_file


@deploy("Image")
def publish() -> None:
    """Build, push, read the digest back; nothing at all for an image whose content-hash tag is there."""
    current = plan.current()
    if not all(image.digest for image in current.built):
        operations.control_step(
            name="Images can be pushed from here", function=partial(builder.docker_answers, current), description="Docker answers"
        )
    for image in current.built:
        missing = not image.digest
        operations.control_change(name=f"Build {image.name}", wanted=missing, function=partial(builder.build, current, image))
        operations.control_change(name=f"Push {image.title}", wanted=missing, function=partial(builder.push, current, image))


@deploy("Image")
def known() -> None:
    """A barrier on every host: what comes after it finds the images in the registry."""
    current = plan.current()

    def check() -> str | None:
        if missing := [image.name for image in current.built if not image.digest]:
            names = " and ".join(missing)
            return f"{names} not in the registry: run the deploy without --limit, so that the builder makes what is missing"
        return None

    operations.control_step(name="Images are in the registry", function=check, description="known")


if is_deploy_file(__name__) and "builder" in host.groups:
    publish()
