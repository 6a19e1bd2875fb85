"""Proofs of a password: the examples of RFC 2617 3.5 and RFC 7616 3.9.1, and what cameras write."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.camera.rtsp.auth import authorization, choose

RFC2617 = (
    'Digest realm="testrealm@host.com", qop="auth,auth-int", '
    'nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", opaque="5ccc069c403ebaf9f0171e9517f40e41"'
)
RFC7616 = (
    'Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm=SHA-256, '
    'nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", '
    'opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"'
)


def prove(*fields: str, username: str, password: str, url: str, cnonce: str) -> str:
    challenge = choose(fields)
    assert challenge is not None
    return authorization(
        challenge,
        username=username,
        password=password,
        method="GET",
        url=url,
        cnonce=cnonce,
        count=1,
    )


def test_md5_as_in_rfc_2617() -> None:
    value = prove(
        RFC2617,
        username="Mufasa",
        password="Circle Of Life",
        url="/dir/index.html",
        cnonce="0a4f113b",
    )
    assert 'response="6629fae49393a05397450978507c4ef1"' in value
    assert 'opaque="5ccc069c403ebaf9f0171e9517f40e41"' in value
    assert "algorithm" not in value


def test_sha_256_as_in_rfc_7616_and_before_md5() -> None:
    value = prove(
        RFC7616.replace("SHA-256", "MD5"),
        RFC7616,
        username="Mufasa",
        password="Circle of Life",
        url="/dir/index.html",
        cnonce="f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
    )
    assert "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1" in value


@pytest.mark.parametrize(
    ("fields", "begins"),
    [
        (['Basic realm="x"', 'Digest realm="r", nonce="n"'], "Digest "),
        (['Basic realm="x"'], "Basic dTpw"),
        (["digest realm=r,nonce=n"], 'Digest username="u", realm="r", nonce="n"'),
    ],
)
def test_the_strongest_that_is_offered_is_taken(fields: list[str], begins: str) -> None:
    value = prove(*fields, username="u", password="p", url="rtsp://h/", cnonce="c")
    assert value.startswith(begins)


@pytest.mark.parametrize("text", ["Negotiate", "Digest realm=x", 'Digest nonce="n", algorithm=X'])
def test_what_cannot_be_answered_is_not(text: str) -> None:
    assert choose([text]) is None


@given(st.lists(st.text(max_size=80) | st.text(max_size=60).map('Digest nonce="n",'.__add__)))
def test_any_challenge_is_answered_or_left(fields: list[str]) -> None:
    challenge = choose(fields)
    if challenge is not None:
        authorization(
            challenge, username="ü", password="密", method="PLAY", url="u", cnonce="", count=1
        )


@pytest.mark.timeout(10)
def test_a_word_without_end_is_read_once() -> None:
    """At the square of its length this took minutes."""
    assert choose(["Digest " + "a" * 60_000] * 4) is None
