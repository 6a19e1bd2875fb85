"""A camera nobody here wrote: GStreamer's RTSP server, looping pre-encoded clips.

Runs under the system's Python (Debian: python3-gi, gir1.2-gst-rtsp-server-1.0), not in the venv:

    /usr/bin/python3 gst_rtsp_server.py [--user U --password P] [--port N] name=clip.mkv ...

Prints one JSON line, ``{"port": N, "mounts": ["name", ...]}``, once it listens on 127.0.0.1, and
ends when its standard input closes. Nothing is decoded or encoded: the clip's packets are read once
and pushed again and again, the time stamps rising for ever. A mount named ``name@SECONDS`` plays
that many seconds and ends, as a camera that leaves cleanly does. Only the pictures are offered
unless the name holds ``+audio``: this server sometimes sends nothing at all to a client that sets
up one of two streams (ffmpeg waits in vain as well).
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
from dataclasses import dataclass, field

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstApp", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstApp, GstRtsp, GstRtspServer  # noqa: E402, F401

PAYLOADERS = {
    "video/x-h264": ("h264parse", "video/x-h264,stream-format=avc,alignment=au", "rtph264pay"),
    "video/x-h265": ("h265parse", "video/x-h265,stream-format=hvc1,alignment=au", "rtph265pay"),
    "audio/mpeg": ("aacparse", "audio/mpeg", "rtpmp4gpay"),
    "audio/x-alaw": ("identity", "audio/x-alaw", "rtppcmapay"),
    "audio/x-mulaw": ("identity", "audio/x-mulaw", "rtppcmupay"),
}


@dataclass
class Stream:
    """One elementary stream: its caps, and packets ``(bytes, pts, dts, duration, is_delta)``."""

    caps: str
    packets: list[tuple[bytes, int, int | None, int, bool]] = field(default_factory=list)

    @property
    def kind(self) -> str:
        return self.caps.split(",", 1)[0]


@dataclass
class Clip:
    streams: list[Stream]
    length_ns: int


def read_clip(path: str) -> Clip:
    """All packets of a Matroska clip, video first; ValueError when it has none."""
    pipeline = Gst.parse_launch(f'filesrc location="{path}" ! matroskademux name=demux')
    sinks: list[Gst.Element] = []
    all_pads = threading.Event()

    def on_pad(_demux: Gst.Element, pad: Gst.Pad) -> None:
        parser, caps, _ = PAYLOADERS[pad.get_current_caps().get_structure(0).get_name()]
        branch = Gst.parse_bin_from_description(
            f'{parser} ! capsfilter caps="{caps}" ! appsink name=sink sync=false async=false', True
        )
        pipeline.add(branch)
        branch.sync_state_with_parent()
        pad.link(branch.get_static_pad("sink"))
        sinks.append(branch.get_by_name("sink"))

    demux = pipeline.get_by_name("demux")
    demux.connect("pad-added", on_pad)
    demux.connect("no-more-pads", lambda _demux: all_pads.set())
    pipeline.set_state(Gst.State.PLAYING)
    if not all_pads.wait(10):
        raise ValueError(f"{path} is no clip that can be sent")
    streams = [drain(sink) for sink in sinks]
    pipeline.set_state(Gst.State.NULL)
    streams = sorted(
        (s for s in streams if s.packets), key=lambda s: not s.kind.startswith("video")
    )
    if not streams:
        raise ValueError(f"{path} holds no packet that can be sent")
    pictures = streams[0].packets
    return Clip(streams=streams, length_ns=max(p[1] for p in pictures) + pictures[-1][3])


def drain(sink: Gst.Element) -> Stream:
    """Waits for every packet of one stream; its queue is unbounded, so no stream waits for it."""
    stream = Stream(caps="")
    while (sample := sink.emit("pull-sample")) is not None:
        buffer = sample.get_buffer()
        stream.caps = sample.get_caps().to_string()
        dts = None if buffer.dts == Gst.CLOCK_TIME_NONE else buffer.dts
        delta = bool(buffer.get_flags() & Gst.BufferFlags.DELTA_UNIT)
        data = buffer.extract_dup(0, buffer.get_size())
        stream.packets.append((data, buffer.pts, dts, buffer.duration, delta))
    return stream


class Player:
    """Pushes one stream of a clip into an appsrc, round after round."""

    def __init__(
        self, source: Gst.Element, stream: Stream, clip: Clip, until_ns: int | None
    ) -> None:
        self.stream, self.clip, self.until_ns, self.next = stream, clip, until_ns, 0
        source.set_property("caps", Gst.Caps.from_string(stream.caps))
        source.set_property("format", Gst.Format.TIME)
        source.set_property("max-bytes", 200_000)
        source.connect("need-data", self.push)

    def push(self, source: Gst.Element, _hint: int) -> None:
        lap, index = divmod(self.next, len(self.stream.packets))
        data, pts, dts, duration, delta = self.stream.packets[index]
        offset = lap * self.clip.length_ns
        if self.until_ns is not None and pts + offset >= self.until_ns:
            source.emit("end-of-stream")
            return
        buffer = Gst.Buffer.new_wrapped(data)
        buffer.pts = pts + offset
        buffer.dts = Gst.CLOCK_TIME_NONE if dts is None else dts + offset
        buffer.duration = duration
        if delta:
            buffer.set_flags(Gst.BufferFlags.DELTA_UNIT)
        self.next += 1
        source.emit("push-buffer", buffer)


class ClipFactory(GstRtspServer.RTSPMediaFactory):  # type: ignore[misc]
    """One mount: each client gets a media of its own that starts at the clip's beginning."""

    def __init__(self, clip: Clip, until_ns: int | None) -> None:
        super().__init__()
        self.clip, self.until_ns = clip, until_ns
        self.players: list[Player] = []

    def do_create_element(self, _url: object) -> Gst.Element:
        branches = [
            f"appsrc name=src{index} ! queue ! {PAYLOADERS[stream.kind][2]} name=pay{index} "
            f"pt={96 + index}"
            for index, stream in enumerate(self.clip.streams)
        ]
        element = Gst.parse_launch("( " + " ".join(branches) + " )")
        for index, stream in enumerate(self.clip.streams):
            source = element.get_by_name(f"src{index}")
            self.players.append(Player(source, stream, self.clip, self.until_ns))
        return element


def protect(server: GstRtspServer.RTSPServer, user: str, password: str) -> None:
    """Digest authentication only (RFC 2326, clause 14; RFC 2617)."""
    auth = GstRtspServer.RTSPAuth.new()
    auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
    token = GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", "viewer")
    auth.add_digest(user, password, token)
    server.set_auth(auth)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", default="0")
    parser.add_argument("--user")
    parser.add_argument("--password", default="")
    parser.add_argument("mounts", nargs="+")
    arguments = parser.parse_args()
    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(arguments.port)
    if arguments.user:
        protect(server, arguments.user, arguments.password)
    names = []
    for mount in arguments.mounts:
        name, path = mount.split("=", 1)
        seconds = name.partition("@")[2]
        clip = read_clip(path)
        if "+audio" not in name:
            del clip.streams[1:]
        factory = ClipFactory(clip, int(float(seconds) * 1e9) if seconds else None)
        if arguments.user:
            permissions = GstRtspServer.RTSPPermissions()
            permissions.add_permission_for_role("viewer", "media.factory.access", True)
            permissions.add_permission_for_role("viewer", "media.factory.construct", True)
            factory.set_permissions(permissions)
        server.get_mount_points().add_factory(f"/{name}", factory)
        names.append(name)
    if server.attach(None) == 0:
        raise SystemExit("cannot listen")
    loop = GLib.MainLoop()
    GLib.io_add_watch(sys.stdin.fileno(), GLib.IO_HUP, lambda *_: loop.quit())
    print(json.dumps({"port": server.get_bound_port(), "mounts": names}), flush=True)
    loop.run()


if __name__ == "__main__":
    main()
