"""edge.camera.discovery: what anybody on the camera network may send, and what comes of it."""

from __future__ import annotations

import socket
import threading
import time
import uuid
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.camera.description import TEXT_CHARS_MAX
from edge.camera.discovery import (
    DATAGRAM_BYTES_MAX,
    GROUP,
    MATCHES_MAX,
    Announcement,
    announcements,
    probe,
)
from edge.camera.discovery_probe import FOUND_MAX, discover
from edge.camera.plain_xml import read_xml
from edge.demo import discovery as demo
from edge.demo import soap
from edge.demo.plan import CameraPlan

ID = str(uuid.UUID(int=7))
IDS = frozenset({ID})
SENDER = "192.0.2.10"
RIGHT = demo.probe_match(CameraPlan(id="gate"), "192.0.2.10:8000", f"uuid:{ID}")
#: As a maker's firmware of 2019 writes it: other prefixes, several addresses, scopes with escapes.
STRANGER = f"""<?xml version="1.0" encoding="UTF-8"?>
<env:Envelope xmlns:env="http://www.w3.org/2003/05/soap-envelope"
 xmlns:wsadis="http://schemas.xmlsoap.org/ws/2004/08/addressing"
 xmlns:d="http://schemas.xmlsoap.org/ws/2005/04/discovery">
<env:Header><wsadis:MessageID>urn:uuid:5d1a9a00-0000-1000-8000-44a642000001</wsadis:MessageID>
<wsadis:RelatesTo>uuid:{ID.upper()}</wsadis:RelatesTo>
<d:AppSequence InstanceId="1" MessageNumber="3"/></env:Header><env:Body><d:ProbeMatches>
<d:ProbeMatch><wsadis:EndpointReference>
<wsadis:Address>urn:uuid:5D1A9A00-0000-1000-8000-44A642000001</wsadis:Address>
</wsadis:EndpointReference><d:Types>dn:NetworkVideoTransmitter tds:Device</d:Types>
<d:Scopes>onvif://www.onvif.org/type/video_encoder onvif://www.onvif.org/hardware/DS-2CD%201
 onvif://www.onvif.org/name/%E6%B5%B7%E5%BA%B7 onvif://www.onvif.org/location/city/nanchang
</d:Scopes>
<d:XAddrs>http://[fe80::46a6]/onvif/device_service http://169.254.3.4/onvif/device_service
 http://192.0.2.10:81/onvif/device_service</d:XAddrs>
<d:MetadataVersion>10</d:MetadataVersion></d:ProbeMatch></d:ProbeMatches></env:Body></env:Envelope>
""".encode()


def test_a_probe_is_one_for_a_device_that_nobody_here_wrote_the_reader_of() -> None:
    assert soap.probe_of(probe(ID)) == (f"uuid:{ID}", "NetworkVideoTransmitter")
    assert soap.probe_of(probe(ID, "tds:Device"))[1] == "Device"
    assert read_xml(probe(ID, "")).first("Types") is None


def test_an_announcement_is_read() -> None:
    (found,) = announcements(RIGHT, SENDER, IDS)
    assert str(found.address) == "192.0.2.10:8000"
    assert (found.name, found.hardware) == ("Xueliang", "Demo camera")
    assert found.endpoint == demo.endpoint_of(CameraPlan(id="gate")).replace("-", "")


def test_another_makers_too() -> None:
    (found,) = announcements(STRANGER, SENDER, IDS)
    assert str(found.address) == "192.0.2.10:81"
    assert (found.name, found.hardware, found.location) == ("海康", "DS-2CD 1", "city/nanchang")
    assert found.endpoint == "5d1a9a0000001000800044a642000001"


def test_nobody_can_send_us_to_another_host() -> None:
    (found,) = announcements(RIGHT.replace(b"192.0.2.10", b"198.51.100.9"), SENDER, IDS)
    assert str(found.address) == "192.0.2.10:8000"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (ID.encode(), str(uuid.UUID(int=8)).encode()),  # an answer to somebody else
        (b"ProbeMatch", b"Hello"),
        (b"http://", b"https://"),
        (b"192.0.2.10:8000", b"192.0.2.10:99999"),
        (b"<d:XAddrs>", b"<d:Others>"),
        (b"<e:Envelope", b"<!DOCTYPE e><e:Envelope"),
    ],
)
def test_what_is_no_answer_is_left_alone(old: bytes, new: bytes) -> None:
    assert announcements(RIGHT.replace(old, new), SENDER, IDS) == []


def test_many_matches_and_long_texts_are_bounded() -> None:
    match = RIGHT[RIGHT.index(b"<d:ProbeMatch>") : RIGHT.index(b"</d:ProbeMatches>")]
    many = RIGHT.replace(match, match * 40)
    assert len(many) < DATAGRAM_BYTES_MAX
    assert len(announcements(many, SENDER, IDS)) == MATCHES_MAX
    (found,) = announcements(RIGHT.replace(b"Xueliang", b"x%0A" * 5000), SENDER, IDS)
    assert len(found.name) <= TEXT_CHARS_MAX
    assert found.name.isprintable()


def sane(found: Announcement) -> bool:
    texts = (found.name, found.hardware, found.location, found.endpoint)
    return (
        found.address.host == SENDER
        and 0 < found.address.port < 65536
        and all(text.isprintable() and len(text) <= TEXT_CHARS_MAX for text in texts)
    )


@given(
    st.sampled_from([RIGHT, STRANGER]),
    st.floats(0, 1),
    st.integers(0, 60),
    st.binary(max_size=30) | st.none(),
)
def test_mutations_never_raise(
    right: bytes, place: float, length: int, patch: bytes | None
) -> None:
    start = int(place * len(right))
    piece = right[start : start + length]
    data = right[:start] + (piece * 2 if patch is None else patch) + right[start + length :]
    assert all(map(sane, announcements(data, SENDER, IDS)))


@given(
    st.lists(st.text(alphabet="htp:/0123456789.[]@ ab?#%", max_size=30), max_size=5),
    st.text(alphabet="onvif:/w.rgameh%20é\n", max_size=60),
    st.text(max_size=40),
)
def test_any_texts_in_it_are_bounded(xaddrs: list[str], scopes: str, endpoint: str) -> None:
    body = soap.element(
        "d:ProbeMatch",
        soap.element("a:EndpointReference", soap.text("a:Address", endpoint)),
        soap.text("d:Scopes", scopes),
        soap.text("d:XAddrs", " ".join(xaddrs)),
    )
    start, end = RIGHT.index(b"<d:ProbeMatch>"), RIGHT.index(b"</d:ProbeMatches>")
    data = RIGHT[:start] + body.encode() + RIGHT[end:]
    assert all(map(sane, announcements(data, SENDER, IDS)))


# Over sockets ----------------------------------------------------------------------------------


class Hostile(threading.Thread):
    """Answers each probe with whatever ``answers`` makes of its message id."""

    def __init__(self, answers: Callable[[str], list[bytes]]) -> None:
        super().__init__()
        self._answers = answers
        self._over = threading.Event()
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((GROUP, 0))
        self._socket.settimeout(0.05)
        self.port: int = self._socket.getsockname()[1]
        group = socket.inet_aton(GROUP) + socket.inet_aton("127.0.0.1")
        self._socket.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group)

    def run(self) -> None:
        while not self._over.is_set():
            try:
                data, sender = self._socket.recvfrom(65536)
            except TimeoutError:
                continue
            for answer in self._answers(soap.probe_of(data)[0]):
                self._socket.sendto(answer, sender)

    def __enter__(self) -> Hostile:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self.join()
        self._socket.close()


@pytest.mark.integration
def test_a_flood_of_nonsense_costs_neither_time_nor_the_honest_answer() -> None:
    plan = CameraPlan(id="gate")

    def answers(message_id: str) -> list[bytes]:
        right = demo.probe_match(plan, "127.0.0.1:8000", message_id)
        noise = [bytes([n % 256]) * (n * 7 % 1400) for n in range(200)]
        cut = [right[: len(right) * n // 100] for n in range(100)]
        return [*noise, *cut, right, right.replace(b"<d:Probe", b"<!DOCTYPE x><d:Probe")]

    with Hostile(answers) as peer:
        began_s = time.monotonic()
        found = discover(2, ["127.0.0.1", "198.51.100.1"], port=peer.port)
        assert time.monotonic() - began_s < 20
    assert [str(one.address) for one in found] == ["127.0.0.1:8000"]


@pytest.mark.integration
def test_devices_without_end_are_bounded() -> None:
    def answers(message_id: str) -> list[bytes]:
        return [
            demo.probe_match(CameraPlan(id=f"c{n}"), f"127.0.0.1:{1 + n}", message_id)
            for n in range(300)
        ]

    with Hostile(answers) as peer:
        found = discover(0.6, ["127.0.0.1"], port=peer.port)
    assert 0 < len(found) <= FOUND_MAX
    assert len({one.address for one in found}) == len(found)  # each once, however often it answers
