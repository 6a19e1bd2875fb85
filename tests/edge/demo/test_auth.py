"""edge.demo.auth: proofs of a password."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.demo import auth

# RFC 2617, section 3.5.
_EXAMPLE = (
    'Digest username="Mufasa", realm="testrealm@host.com", '
    'nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", uri="/dir/index.html", qop=auth, '
    'nc=00000001, cnonce="0a4f113b", response="6629fae49393a05397450978507c4ef1", '
    'opaque="5ccc069c403ebaf9f0171e9517f40e41"'
)


@pytest.mark.parametrize(
    ("password", "nonce", "right"),
    [
        ("Circle Of Life", "dcd98b7102dd2f0e8b11d0f600bfb0c093", True),
        ("circle of life", "dcd98b7102dd2f0e8b11d0f600bfb0c093", False),
        ("Circle Of Life", "stale", False),
    ],
)
def test_the_example_of_the_rfc(password: str, nonce: str, right: bool) -> None:
    found = auth.digest_is_right(
        auth.digest_parameters(_EXAMPLE),
        method="GET",
        realm="testrealm@host.com",
        nonce=nonce,
        username="Mufasa",
        password=password,
    )
    assert found is right


@given(st.text(max_size=100))
@settings(max_examples=50)
def test_no_header_is_taken_by_chance(header: str) -> None:
    for text in (header, "Digest " + header):
        assert not auth.digest_is_right(
            auth.digest_parameters(text),
            method="GET",
            realm="r",
            nonce="n",
            username="u",
            password="p",
        )


def test_a_challenge_offers_what_the_camera_can() -> None:
    assert "qop" not in auth.digest_challenge(realm="r", nonce="n", qop=False)
    assert auth.digest_challenge(realm="r", nonce="n", qop=True, stale=True).endswith("stale=true")


def test_the_example_of_the_onvif_application_programmers_guide() -> None:
    nonce = "LKqI6G/AikKCQrN0zqZFlg=="
    created = "2010-09-16T07:50:45Z"
    digest = "tuOSpGlFlIXsozq4HFNeeGeFLEI="
    assert auth.wsse_is_right(
        given=digest, nonce_base64=nonce, created=created, password="userpassword"
    )
    assert not auth.wsse_is_right(
        given=digest, nonce_base64=nonce, created=created, password="other"
    )
    assert not auth.wsse_is_right(given=digest, nonce_base64="?", created=created, password="x")
