"""Certificate authority of a lab, and the certificates that it signs; made at run time, valid for a month."""

from __future__ import annotations

import datetime as dt
import ipaddress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

VALID = dt.timedelta(days=30)
RENEW = dt.timedelta(days=1)


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _write(path: Path, data: bytes, mode: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.touch(mode=mode)
    path.write_bytes(data)


def _write_pair(directory: Path, stem: str, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> None:
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    _write(directory / f"{stem}.key", pem, 0o600)
    _write(directory / f"{stem}.crt", certificate.public_bytes(serialization.Encoding.PEM), 0o644)


def _builder(subject: str, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + VALID)
    )


def _valid(path: Path) -> bool:
    if not path.exists():
        return False
    certificate = x509.load_pem_x509_certificate(path.read_bytes())
    return certificate.not_valid_after_utc - dt.datetime.now(dt.UTC) > RENEW


def ensure_ca(directory: Path, common_name: str) -> Path:
    """``ca.crt`` and ``ca.key`` in the directory, made when missing or about to expire. Returns the certificate's path."""
    if not _valid(directory / "ca.crt") or not (directory / "ca.key").exists():
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = (
            _builder(common_name, _name(common_name), key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(
                x509.KeyUsage(
                    digital_signature=False, content_commitment=False, key_encipherment=False, data_encipherment=False,
                    key_agreement=False, key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False,
                ),
                critical=True,
            )
            .sign(key, hashes.SHA256())
        )  # fmt: skip
        _write_pair(directory, "ca", key, certificate)
        for old in directory.glob("*.crt"):
            if old.name != "ca.crt":
                old.unlink()
    return directory / "ca.crt"


def ensure_certificate(directory: Path, stem: str, names: list[str]) -> tuple[Path, Path]:
    """A server certificate for host names and IP addresses, signed by the CA in the directory: (certificate, key) paths."""
    wanted = x509.SubjectAlternativeName(
        [x509.IPAddress(ipaddress.ip_address(n)) if _is_ip(n) else x509.DNSName(n) for n in names]
    )
    certificate_file, key_file = directory / f"{stem}.crt", directory / f"{stem}.key"
    if _valid(certificate_file) and key_file.exists():
        current = x509.load_pem_x509_certificate(certificate_file.read_bytes())
        if current.extensions.get_extension_for_class(x509.SubjectAlternativeName).value == wanted:
            return certificate_file, key_file
    ca = x509.load_pem_x509_certificate((directory / "ca.crt").read_bytes())
    ca_key = serialization.load_pem_private_key((directory / "ca.key").read_bytes(), None)
    if not isinstance(ca_key, ec.EllipticCurvePrivateKey):
        raise TypeError(f"{directory / 'ca.key'} is not a key of this lab's CA")
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        _builder(names[0], ca.subject, key.public_key())
        .add_extension(wanted, critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
        .add_extension(x509.ExtendedKeyUsage([x509.oid.ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    _write_pair(directory, stem, key, certificate)
    return certificate_file, key_file


def _is_ip(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
