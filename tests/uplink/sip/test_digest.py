"""Digest: the vectors of gb28181.md 11, RFC 2617 3.5 and RFC 7616 3.9.1."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uplink.sip.digest import Challenge, authorize, choose
from uplink.sip.headers import Malformed, parameter, parse_parameters, split, unquote

URI = "sip:34020000002000000001@3402000000"
NONCE = "9485904448344456af5449b51759016e"


def answer(challenge: str, **changes: str) -> dict[str, str]:
    """The parameters of our Authorization, unquoted."""
    given_ = {
        "username": "34020000001180000001",
        "password": "12345678",
        "method": "REGISTER",
        "uri": URI,
        "cnonce": "0a4f113b",
        **changes,
    }
    chosen = choose([challenge])
    assert chosen is not None
    text = authorize(chosen, **given_)
    assert text.startswith("Digest ")
    pairs = parse_parameters(split(text.removeprefix("Digest "), ","))
    return {name: unquote(value or "") for name, value in pairs}


def test_without_qop() -> None:
    got = answer(f'Digest realm="3402000000", nonce="{NONCE}"')
    assert got["response"] == "74d6114601ab5319bc509ea79003daa2"
    assert got["uri"] == URI
    assert got["realm"] == "3402000000"
    assert got["algorithm"] == "MD5"
    assert "qop" not in got
    assert "nc" not in got
    assert "cnonce" not in got


def test_with_qop() -> None:
    got = answer(f'Digest realm="3402000000",qop="auth",nonce="{NONCE}",algorithm=MD5')
    assert got["response"] == "fd237f64ca6ec7a8cdd1cc44f23102f2"
    assert (got["qop"], got["nc"], got["cnonce"]) == ("auth", "00000001", "0a4f113b")


def test_rfc_2617() -> None:
    got = answer(
        'Digest realm="testrealm@host.com", qop="auth,auth-int", '
        'nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", opaque="5ccc069c403ebaf9f0171e9517f40e41"',
        username="Mufasa",
        password="Circle Of Life",
        method="GET",
        uri="/dir/index.html",
    )
    assert got["response"] == "6629fae49393a05397450978507c4ef1"
    assert got["opaque"] == "5ccc069c403ebaf9f0171e9517f40e41"


@pytest.mark.parametrize(
    ("algorithm", "response"),
    [
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ],
)
def test_rfc_7616(algorithm: str, response: str) -> None:
    got = answer(
        f'Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm={algorithm}, '
        'nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", '
        'opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"',
        username="Mufasa",
        password="Circle of Life",
        method="GET",
        uri="/dir/index.html",
        cnonce="f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
    )
    assert got["response"] == response
    assert got["algorithm"] == algorithm


@pytest.mark.parametrize(
    "text",
    [
        f"digest nonce={NONCE},algorithm=md5 , realm = 3402000000",
        f'DIGEST  Nonce="{NONCE}",REALM="3402000000"',
        f'Digest realm="3402000000", domain="sip:a, b", nonce="{NONCE}", stale=FALSE',
    ],
)
def test_as_platforms_write_it(text: str) -> None:
    got = answer(text)
    assert got["response"] == "74d6114601ab5319bc509ea79003daa2"
    assert got["algorithm"] == "MD5"


def test_the_strongest_is_taken() -> None:
    weak, strong = (
        f'Digest realm="r",nonce="{NONCE}"',
        'Digest realm="r",nonce="n",algorithm=SHA-256',
    )
    chosen = choose([weak, strong])
    assert chosen is not None
    assert chosen.algorithm == "SHA-256"


@pytest.mark.parametrize(
    "text",
    [
        'Unidirection algorithm="A:SM2"',  # GB 35114
        'Digest realm="r"',
        'Digest nonce="n"',
        'Digest realm="r",nonce="n",algorithm=SM3',
        'Digest realm="r",nonce="n",algorithm=MD5-sess',
        'Digest realm="r",nonce="n",qop="auth-int"',
        "",
    ],
)
def test_what_cannot_be_answered_is_not(text: str) -> None:
    assert choose([text]) is None


@given(st.text(max_size=80))
def test_no_challenge_raises_anything_else(text: str) -> None:
    for prefix in ("", "Digest ", 'Digest realm="r",nonce="n",'):
        try:
            challenge = Challenge.parse(prefix + text)
        except Malformed:
            continue
        if challenge.is_supported:
            value = authorize(
                challenge, username="u", password="p", method="REGISTER", uri=URI, cnonce="c"
            )
            pairs = parse_parameters(split(value.removeprefix("Digest "), ","))
            assert unquote(parameter(pairs, "realm") or "") == challenge.realm
