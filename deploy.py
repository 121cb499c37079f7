"""A bare Debian server to a verified CRM. Each line is one file in tasks/; the order is the story."""

from pyinfra import host

from tasks import configure, data_model, image, lock, preflight, provision, record, services, source, verify

preflight.check()

if "droplet" in host.groups:
    lock.acquire()
    provision.droplet()

if "builder" in host.groups:
    provision.builder()
    source.tell()
    image.publish()

image.known()  # on both: nothing below starts before the image is there

if "droplet" in host.groups:
    configure.release()
    services.roll_out()
    data_model.apply()
    verify.smoke_suite()
    record.release()
