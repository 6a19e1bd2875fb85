"""edge.demo.onvif_answers: what the device says, as XML."""

import xml.etree.ElementTree as ET

from edge.demo import onvif_answers, soap
from edge.demo.plan import CameraPlan
from retention.model import Codec, MediaFormat, VideoFormat

_TT = "{http://www.onvif.org/ver10/schema}"


def _read(body: str) -> ET.Element:
    return ET.fromstring(soap.envelope(body))


def _media(codec: Codec) -> MediaFormat:
    return MediaFormat(video=VideoFormat(codec=codec, width=640, height=360, parameter_sets=()))


def test_the_clock_is_utc_in_parts() -> None:
    root = _read(onvif_answers.system_date_and_time(1_795_474_249_364_000))
    names = ("Hour", "Minute", "Second", "Year", "Month", "Day")
    values = [root.findtext(f".//{_TT}UTCDateTime//{_TT}{name}") for name in names]
    assert values == ["22", "50", "49", "2026", "11", "23"]


def test_a_name_of_any_kind_stays_one_text() -> None:
    plan = CameraPlan(id="a", model="<&>" * 100)
    root = _read(onvif_answers.device_information(plan))
    assert root.findtext(".//{*}Model") == "<&>" * 100


def test_only_h264_has_an_encoder_in_media_version_10() -> None:
    plan = CameraPlan(id="a", profiles=("main", "sub"))
    for codec, count in ((Codec.H264, 2), (Codec.H265, 0)):
        root = _read(onvif_answers.profiles(plan, _media(codec)))
        assert [one.get("token") for one in root.iter() if one.tag.endswith("}Profiles")] == [
            "main",
            "sub",
        ]
        assert len(list(root.iter(f"{_TT}VideoEncoderConfiguration"))) == count


def test_services_name_their_addresses() -> None:
    text = onvif_answers.services("http://127.0.0.1:8")
    assert text.count("http://127.0.0.1:8/onvif/") == 2
    assert onvif_answers.capabilities("http://127.0.0.1:8").count("XAddr>http") == 2
