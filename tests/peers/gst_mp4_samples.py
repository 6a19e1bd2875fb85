"""Prints what GStreamer's qtdemux reads of an MP4 file, as JSON: per stream [[time_ns, sha256]].

Run by the system's Python (/usr/bin/python3), which has gi: ``gst_mp4_samples.py FILE``. Any error
or warning of the pipeline ends it with status 1.
"""

from __future__ import annotations

import hashlib
import json
import sys
from typing import Any

import gi

gi.require_version("Gst", "1.0")
from gi.repository import Gst  # noqa: E402


def main(path: str) -> int:
    Gst.init(None)
    pipeline = Gst.parse_launch("filesrc name=source ! qtdemux name=demux")
    pipeline.get_by_name("source").set_property("location", path)
    streams: dict[str, list[list[Any]]] = {}

    def handoff(_sink: Any, buffer: Any, pad: Any, name: str) -> None:
        # the edit list stands in the segment, so it is stream time that counts
        segment = pad.get_sticky_event(Gst.EventType.SEGMENT, 0).parse_segment()
        at = segment.to_stream_time(Gst.Format.TIME, buffer.pts)
        data = buffer.extract_dup(0, buffer.get_size())
        streams[name].append([at, hashlib.sha256(data).hexdigest()])

    def pad_added(_demux: Any, pad: Any) -> None:
        name = pad.get_current_caps().get_structure(0).get_name()
        streams[name] = []
        sink = Gst.ElementFactory.make("fakesink")
        sink.set_property("signal-handoffs", True)
        sink.set_property("async", False)
        sink.set_property("sync", False)
        sink.connect("handoff", handoff, name)
        pipeline.add(sink)
        sink.sync_state_with_parent()
        pad.link(sink.get_static_pad("sink"))

    pipeline.get_by_name("demux").connect("pad-added", pad_added)
    pipeline.set_state(Gst.State.PLAYING)
    wanted = Gst.MessageType.EOS | Gst.MessageType.ERROR | Gst.MessageType.WARNING
    message = pipeline.get_bus().timed_pop_filtered(20 * Gst.SECOND, wanted)
    pipeline.set_state(Gst.State.NULL)
    if message is None or message.type != Gst.MessageType.EOS:
        print(message and message.parse_error() or "time-out", file=sys.stderr)
        return 1
    print(json.dumps(streams))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
