"""The certificate: made once, for this machine's names, renewed in time; an own one is kept."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from edge.console.certificate import DAYS, CertificateUnusable, ensure
from tests.support.console_site import ConsoleClock

HOST = "192.0.2.30"


@pytest.fixture
def clock() -> ConsoleClock:
    return ConsoleClock()


def names(path: Path) -> list[str]:
    found = x509.load_pem_x509_certificate(path.read_bytes())
    alternatives = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return [str(one.value) for one in alternatives]


def test_it_is_made_once_and_private(tmp_path: Path, clock: ConsoleClock) -> None:
    first = ensure(tmp_path / "state", HOST, clock)
    assert first.key.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700
    assert {"localhost", "127.0.0.1", HOST} <= set(names(first.certificate))
    clock.sleep(86_400 * (DAYS - 40))
    assert ensure(tmp_path / "state", HOST, clock) == first


def test_it_is_made_anew_before_its_end_and_for_another_address(
    tmp_path: Path, clock: ConsoleClock
) -> None:
    first = ensure(tmp_path, HOST, clock)
    moved = ensure(tmp_path, "192.0.2.31", clock)
    assert moved.fingerprint != first.fingerprint
    assert "192.0.2.31" in names(moved.certificate)
    clock.sleep(86_400 * (DAYS - 20))
    assert ensure(tmp_path, "192.0.2.31", clock).fingerprint != moved.fingerprint
    assert ensure(tmp_path, "0.0.0.0", clock)


def test_one_that_people_put_there_is_kept(tmp_path: Path, clock: ConsoleClock) -> None:
    made = ensure(tmp_path, HOST, clock)
    key = ec.generate_private_key(ec.SECP256R1())
    own = x509.load_pem_x509_certificate(made.certificate.read_bytes())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "console.example")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(own.not_valid_before_utc)
        .not_valid_after(own.not_valid_before_utc + timedelta(days=2))
        .sign(key, own.signature_hash_algorithm)  # type: ignore[arg-type]
    )
    made.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    with pytest.raises(CertificateUnusable, match="not the key"):
        ensure(tmp_path, HOST, clock)
    content = certificate.public_bytes(serialization.Encoding.PEM)
    made.certificate.write_bytes(content)
    ensure(tmp_path, HOST, clock)
    assert made.certificate.read_bytes() == content
    made.key.chmod(0o644)
    with pytest.raises(CertificateUnusable, match="read by others"):
        ensure(tmp_path, HOST, clock)
    made.key.chmod(0o600)
    made.key.write_bytes(b"damaged")
    with pytest.raises(CertificateUnusable, match="damaged"):
        ensure(tmp_path, HOST, clock)
