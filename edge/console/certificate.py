"""The console's TLS certificate: made at the first start, or an own one put in its place. Shell.

``tls-key.pem`` (0600) and ``tls-cert.pem`` in the console's folder. Ours is self-signed (ECDSA
P-256), names this machine and the bound address, and is made anew a month before its end. One that
people put there (not self-signed by us) is used as it is and never replaced.
"""

from __future__ import annotations

import ipaddress
import os
import socket
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from config.errors import XueliangError
from edge.console.records_file import console_folder, write_private
from retention.clock import Clock

KEY_NAME = "tls-key.pem"
CERTIFICATE_NAME = "tls-cert.pem"
ORGANIZATION = "Xueliang Edge"
#: Browsers refuse own certificates of more than 825 days.
DAYS = 820
RENEW_DAYS = 30

_Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


class CertificateUnusable(XueliangError):
    """Key or certificate cannot be read, made, or do not belong together."""

    code = "certificate_unusable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """Where key and certificate stand, and what a person compares."""

    key: Path
    certificate: Path
    fingerprint: str  # SHA-256, colons, as browsers show it


def ensure(state_dir: Path, host: str, clock: Clock) -> Certificate:
    """The certificate to serve with; made if there is none, or ours ends.

    Args:
        host: the address that the console is bound to.

    Raises:
        CertificateUnusable, ConsoleFileUnusable: the console cannot serve.
    """
    folder = console_folder(state_dir)
    key, certificate = folder / KEY_NAME, folder / CERTIFICATE_NAME
    now = datetime.fromtimestamp(clock.utc_us() / 1e6, UTC)
    try:
        if not key.exists() or not certificate.exists():
            _make(key, certificate, host, now)
        found = x509.load_pem_x509_certificate(certificate.read_bytes())
        if _is_ours(found) and not _is_fresh(found, host, now):
            _make(key, certificate, host, now)
            found = x509.load_pem_x509_certificate(certificate.read_bytes())
        if os.stat(key).st_mode & 0o077:
            raise CertificateUnusable(
                f"the key {key} may be read by others", hint=f"run: chmod 600 {key}"
            )
        loaded = serialization.load_pem_private_key(key.read_bytes(), password=None)
    except OSError as error:
        raise CertificateUnusable(
            f"{error.filename or folder} cannot be used: {error.strerror}",
            hint="the console's folder must belong to the console's user",
        ) from error
    except (ValueError, TypeError) as error:
        raise CertificateUnusable(
            f"{key} or {certificate} is damaged",
            hint="put them back, or move both away: new ones are then made",
        ) from error
    if loaded.public_key() != found.public_key():
        raise CertificateUnusable(
            f"{key} is not the key of {certificate}", hint="put the matching pair there"
        )
    digest = found.fingerprint(hashes.SHA256())
    return Certificate(
        key=key, certificate=certificate, fingerprint=":".join(f"{byte:02X}" for byte in digest)
    )


def _is_ours(found: x509.Certificate) -> bool:
    names = found.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    return found.issuer == found.subject and [one.value for one in names] == [ORGANIZATION]


def _is_fresh(found: x509.Certificate, host: str, now: datetime) -> bool:
    ends_soon = now > found.not_valid_after_utc - timedelta(days=RENEW_DAYS)
    if ends_soon or now < found.not_valid_before_utc:
        return False
    alternatives = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return _name_of(host) is None or _name_of(host) in list(alternatives)


def _name_of(host: str) -> x509.GeneralName | None:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return x509.DNSName(host) if host.isascii() and host else None
    return None if address.is_unspecified else x509.IPAddress(address)


def _make(key_path: Path, certificate_path: Path, host: str, now: datetime) -> None:
    """The key stays where there is one: a power cut between two files leaves none that differ."""
    key = _key(key_path)
    machine = socket.gethostname()
    names = [x509.DNSName("localhost"), _name_of("127.0.0.1"), _name_of("::1")]
    names += [_name_of(machine), _name_of(host)]
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, ORGANIZATION),
            x509.NameAttribute(NameOID.COMMON_NAME, machine[:60] or "console"),
        ]
    )
    public = key.public_key()
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=DAYS))
        .add_extension(
            x509.SubjectAlternativeName(dict.fromkeys(name for name in names if name)), False
        )
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), False)
        .sign(key, hashes.SHA256())
    )
    write_private(certificate_path, certificate.public_bytes(serialization.Encoding.PEM))


def _key(path: Path) -> _Key:
    try:
        found = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except FileNotFoundError:
        made = ec.generate_private_key(ec.SECP256R1())
        encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
        write_private(path, made.private_bytes(encoding, form, serialization.NoEncryption()))
        return made
    if not isinstance(found, _Key):
        raise TypeError("no key that signs with SHA-256")
    return found
