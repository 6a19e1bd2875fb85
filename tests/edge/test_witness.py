"""The outside witness: a real HTTP server that is there, away, slow, or somebody else's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from config.schema import Evidence
from edge.messenger import Receiver, Unreachable, post
from edge.witness import Witness
from retention.export_verifier import is_statement
from retention.index.read import Index
from retention.keys import signing_key
from retention.waiting import Waiting
from retention.witness import FOLDER, WAITING_MAX, statement
from tests.retention.evidence import make_store
from tests.retention.writing import wait_until
from tests.support.box import free_port
from tests.support.witness import WitnessServer, witness_server


def _certificate(folder: Path) -> tuple[Path, Path]:
    """A self-signed one of 127.0.0.1 with its key, and alone."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "witness")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    alone, both = folder / "ca.pem", folder / "both.pem"
    alone.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    both.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + alone.read_bytes()
    )
    return both, alone


@contextmanager
def _witness(folder: Path, url: str, counts: list[str], retry_s: float = 0.05) -> Iterator[Witness]:
    settings = Evidence(witness_url=url)
    one = Witness(folder, lambda: settings, counts.append, retry_s=retry_s)
    one.start()
    try:
        yield one
    finally:
        one.stop(5.0)


def _names(server: WitnessServer) -> list[int]:
    return [json.loads(body)["number"] for body in server.bodies]


def test_statements_arrive_in_order(tmp_path: Path) -> None:
    counts: list[str] = []
    with witness_server() as server:
        url = f"http://127.0.0.1:{server.server_port}/heads?site=3"
        with _witness(tmp_path, url, counts) as one:
            for number in range(5):
                one.tell({"number": number})
            wait_until(lambda: len(server.bodies) == 5)
        assert _names(server) == [0, 1, 2, 3, 4]
        assert set(server.paths) == {"/heads?site=3"}
    assert counts == ["ok"] * 5
    assert Waiting(tmp_path / FOLDER, WAITING_MAX).oldest() is None


def test_an_outage_and_a_restart_lose_nothing_and_hold_nobody_up(tmp_path: Path) -> None:
    counts: list[str] = []
    port = free_port()
    url = f"http://127.0.0.1:{port}/"
    with _witness(tmp_path, url, counts) as one:
        one.tell({"number": 1})
        wait_until(lambda: "failed" in counts)
        one.tell({"number": 2})
    with witness_server(port) as server, _witness(tmp_path, url, counts) as one:
        one.tell({"number": 3})
        wait_until(lambda: len(server.bodies) == 3)
        assert _names(server) == [1, 2, 3]


def test_it_comes_back_by_itself(tmp_path: Path) -> None:
    counts: list[str] = []
    with witness_server() as server:
        server.status = 503
        with _witness(tmp_path, f"http://127.0.0.1:{server.server_port}", counts) as one:
            one.tell({"number": 1})
            wait_until(lambda: counts.count("failed") >= 2)
            server.status = 200
            wait_until(lambda: "ok" in counts)
        assert _names(server) == [1]


def test_what_waits_is_bounded_and_the_oldest_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.witness.WAITING_MAX", 3)
    counts: list[str] = []
    port = free_port()
    with _witness(tmp_path, f"http://127.0.0.1:{port}/", counts, retry_s=60) as one:
        for number in range(5):
            one.tell({"number": number})
    assert counts.count("lost") == 2
    oldest = Waiting(tmp_path / FOLDER, WAITING_MAX).oldest()
    assert oldest is not None
    assert json.loads(oldest[1]) == {"number": 2}


def test_without_a_witness_nothing_is_kept(tmp_path: Path) -> None:
    with _witness(tmp_path, "", []) as one:
        one.tell({"number": 1})
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_never_answers_costs_only_its_own_thread(tmp_path: Path) -> None:
    with witness_server() as server:
        server.hangs = True
        with pytest.raises(Unreachable, match="does not answer"):
            post(Receiver(url=f"http://127.0.0.1:{server.server_port}/"), b"{}", timeout_s=0.2)


def test_a_redirect_is_not_followed(tmp_path: Path) -> None:
    with witness_server() as other, witness_server() as server:
        server.status, server.location = 307, f"http://127.0.0.1:{other.server_port}/"
        with pytest.raises(Unreachable, match="answers 307"):
            post(Receiver(url=f"http://127.0.0.1:{server.server_port}/"), b"{}")
        assert other.bodies == []


def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path: Path) -> None:
    both, alone = _certificate(tmp_path)
    with witness_server(certificate=both) as server:
        url = f"https://127.0.0.1:{server.server_port}/"
        with pytest.raises(Unreachable, match="certificate verify failed"):
            post(Receiver(url=url), b'{"number": 1}')
        assert server.bodies == []
        post(Receiver(url=url, ca_file=alone), b'{"number": 1}')
        assert _names(server) == [1]
        with pytest.raises(Unreachable, match="(?i)mismatch|not valid for"):
            post(Receiver(url=f"https://localhost:{server.server_port}/", ca_file=alone), b"{}")


def test_a_statement_says_where_journal_and_chains_end(tmp_path: Path) -> None:
    site = make_store(tmp_path / "box")
    key = signing_key(site.index_path.parent)
    with Index.open_read(site.index_path) as index:
        told = index.read(lambda connection: statement(connection, "园", 5, key))
    assert told is not None
    assert told["cameras"]["gate"]["position"] == 6
    assert told["cameras"]["hall"]["position"] == 1
    assert told["key"] == key.public_key().public_bytes_raw().hex()
    assert is_statement(told)
    assert not is_statement({**told, "at_us": 6})
    assert not is_statement({})
    assert not is_statement({"key": 3, "signature": []})
