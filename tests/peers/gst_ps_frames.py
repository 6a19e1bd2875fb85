"""Decodes a program stream with GStreamer and counts pictures. Runs under the system's Python."""

import json
import sys

import gi

gi.require_version("Gst", "1.0")
from gi.repository import Gst  # noqa: E402

Gst.init(None)


def main(path: str) -> None:
    pipeline = Gst.parse_launch(f"filesrc location={path} ! queue ! mpegpsdemux name=demux")
    counts = {"video": 0}

    def count(_pad, _info):  # type: ignore[no-untyped-def]
        counts["video"] += 1
        return Gst.PadProbeReturn.OK

    def added(_demux, pad):  # type: ignore[no-untyped-def]
        name = pad.get_current_caps().get_structure(0).get_name()
        is_video = name.startswith("video")
        decoder = "h264parse ! avdec_h264" if "h264" in name else "h265parse ! avdec_h265"
        parts = ["queue max-size-buffers=0 max-size-bytes=0 max-size-time=0"]
        parts += (
            [decoder, "fakesink sync=false async=false name=out"]
            if is_video
            else ["fakesink async=false"]
        )
        branch = Gst.parse_bin_from_description(" ! ".join(parts), True)
        pipeline.add(branch)
        if is_video:
            branch.get_by_name("out").get_static_pad("sink").add_probe(
                Gst.PadProbeType.BUFFER, count
            )
        branch.sync_state_with_parent()
        pad.link(branch.get_static_pad("sink"))

    pipeline.get_by_name("demux").connect("pad-added", added)
    pipeline.set_state(Gst.State.PLAYING)
    bus = pipeline.get_bus()
    errors = []
    kinds = Gst.MessageType.EOS | Gst.MessageType.ERROR | Gst.MessageType.WARNING
    while True:
        message = bus.timed_pop_filtered(30 * Gst.SECOND, kinds)
        if message is None:
            errors.append("no end")
            break
        if message.type == Gst.MessageType.EOS:
            break
        errors.append(message.get_structure().to_string())
        if message.type == Gst.MessageType.ERROR:
            break
    pipeline.set_state(Gst.State.NULL)
    print(json.dumps({"video": counts["video"], "errors": errors}))


main(sys.argv[1])
