"""Mutated messages at full speed: ``python -m tests.fuzz --seconds 240 [--seed N]``.

Beside hypothesis, which draws from the grammar a few thousand times a second at best: this one
takes what platforms send, breaks it, and counts on numbers. A find is written out as bytes, and
becomes a test. Targets: SIP parser and writer, stream framer, the whole user agent, MANSCDP.
"""

from __future__ import annotations

import argparse
import random
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.uplink.sip.test_message import QUERY
from tests.uplink.test_agent import SOURCE, Wire, ask
from uplink.effects import Asked, InfoAsked, Invited, SubscriptionAsked
from uplink.manscdp.message import MessageMalformed, read
from uplink.ports import Reply, SubscribeReply
from uplink.sip.headers import Malformed
from uplink.sip.message import Request, Response, parse
from uplink.sip.stream import Framer
from uplink.sip.transactions import Transmit

#: Inputs after which everything begins anew, so that a find can be told from its beginning.
ROUND = 2000
#: Growth of the resident set over a run, beyond what a warm interpreter takes.
GROWTH_BYTES_MAX = 24 * 2**20
EVENT = (("Event", "Catalog;id=1"), ("Expires", "600"))

SIP_SEEDS = [
    QUERY,
    QUERY.replace(b"\r\n", b"\n"),
    ask("INVITE", target="34020000001320000001", body=b"v=0\r\ns=Play\r\n").serialize(),
    ask("ACK", to_tag="t1").serialize(),
    ask("BYE", to_tag="t1").serialize(),
    ask("CANCEL").serialize(),
    ask("INFO", to_tag="t1", body=b"PLAY RTSP/1.0\r\nScale: 2.0\r\n").serialize(),
    ask("SUBSCRIBE", fields=EVENT, body=b"<Query/>").serialize(),
    Response.to_request(
        ask("REGISTER"), 401, fields=(("WWW-Authenticate", 'Digest realm="r", nonce="n"'),)
    ).serialize(),
    Response.to_request(ask("MESSAGE"), 200, to_tag="x").serialize(),
]
XML_SEEDS = [
    text.encode("gb18030")
    for text in (
        """<?xml version="1.0" encoding="GB2312"?>\r\n<Query>\r\n<CmdType>Catalog</CmdType>
        <SN>17</SN>\r\n<DeviceID>34020000001180000001</DeviceID>\r\n</Query>\r\n""",
        """<?xml version="1.0" encoding="UTF-8"?><Control><CmdType>DeviceControl</CmdType>
        <SN>1</SN><DeviceID>34020000001320000001</DeviceID><PTZCmd>A50F01020096004D</PTZCmd>
        <Info><ControlPriority>5</ControlPriority></Info></Control>""",
        "<Notify><CmdType>Alarm</CmdType><SN>9</SN><DeviceID>北门</DeviceID></Notify>",
    )
]
TOKENS = [
    b"\r\n", b"\n", b"\r\n\r\n", b"\0", b";", b",", b"<", b">", b'"', b"\\", b":", b"@", b"=", b" ",
    b"\t", b"%", b"Via: ", b"Content-Length: ", b"9999999999", b"-1", b"SIP/2.0", b"z9hG4bK",
    b"sip:", b";tag=", b"\xff", b"\xc3\x28", b"&#0;", b"<!DOCTYPE", b"<![CDATA[", b"&lt;", b"/>",
]  # fmt: skip


def mutate(chance: random.Random, seeds: list[bytes]) -> bytes:
    """One to six small disasters."""
    data = bytearray(chance.choice(seeds))
    for _ in range(chance.randint(1, 6)):
        at = chance.randrange(len(data) + 1)
        to = min(len(data), at + chance.randint(1, 40))
        what = chance.randrange(7)
        if what == 0 and data:
            data[at % len(data)] = chance.randrange(256)
        elif what == 1:
            data[at:at] = chance.choice(TOKENS)
        elif what == 2:
            del data[at:to]
        elif what == 3:
            data[at:at] = data[at:to] * chance.randint(1, 8)
        elif what == 4:
            other = chance.choice(seeds)
            begin = chance.randrange(len(other))
            data[at:to] = other[begin : begin + chance.randint(1, 80)]
        elif what == 5:
            data[at:to] = chance.choice(TOKENS) * chance.randint(1, 20)
        else:
            del data[at:]
    return bytes(data)


class Targets:
    """What inputs go into; state lives for a round."""

    def __init__(self) -> None:
        self._wire = Wire().online()
        self._framer = Framer()

    def sip(self, data: bytes) -> None:
        try:
            message = parse(data)
        except Malformed:
            return
        again = parse(message.serialize())
        assert again.cseq == message.cseq
        assert again.body == message.body
        if isinstance(message, Request):
            parse(Response.to_request(message, 200, to_tag="t").serialize())
        self._agent(message)

    def _agent(self, message: Request | Response) -> None:
        wire = self._wire
        wire.now_us += 10_000
        wire.agent.receive(message, SOURCE, now_us=wire.now_us, utc_us=wire.now_us)
        for effect in wire.agent.take_effects():
            if isinstance(effect, Asked | InfoAsked):
                wire.agent.answer(effect.key, Reply(), wire.now_us)
            elif isinstance(effect, SubscriptionAsked):
                reply = SubscribeReply(topic="Catalog")
                wire.agent.answer_subscription(effect.key, reply, 60, wire.now_us)
            elif isinstance(effect, Invited):
                wire.agent.accept(effect.call, b"v=0", wire.now_us)
            elif isinstance(effect, Transmit):
                parse(effect.data)
        due_us = wire.agent.next_us()
        if due_us is not None and due_us <= wire.now_us:
            wire.agent.handle_timers(wire.now_us)
        wire.agent.take_effects()
        assert wire.agent.size < 1000

    def stream(self, data: bytes) -> None:
        try:
            for message in self._framer.feed(data):
                try:
                    parse(message, is_stream=True)
                except Malformed:
                    continue
        except Malformed:
            self._framer = Framer()

    def manscdp(self, data: bytes) -> None:
        try:
            read(data)
        except MessageMalformed:
            return


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=240)
    parser.add_argument("--seed", type=int, default=time.time_ns())
    arguments = parser.parse_args()
    chance = random.Random(arguments.seed)
    end_s = time.monotonic() + arguments.seconds
    counts = {"sip": 0, "stream": 0, "manscdp": 0}
    early = 0
    while time.monotonic() < end_s:
        targets = Targets()
        kinds: list[tuple[str, Callable[[bytes], None], list[bytes]]] = [
            ("sip", targets.sip, SIP_SEEDS),
            ("stream", targets.stream, SIP_SEEDS),
            ("manscdp", targets.manscdp, XML_SEEDS),
        ]
        for _ in range(ROUND):
            name, target, seeds = kinds[chance.choices((0, 1, 2), (6, 1, 3))[0]]
            data = mutate(chance, seeds)
            try:
                target(data)
            except Exception:
                find = Path(f"fuzz-{name}-{counts[name]}.bin")
                find.write_bytes(data)
                print(f"{name} raised for {find} (seed {arguments.seed}): {data!r}")
                raise
            counts[name] += 1
        if not early and sum(counts.values()) >= 20 * ROUND:
            early = _resident_bytes()
    growth = _resident_bytes() - early if early else 0
    total = sum(counts.values())
    print(f"{total} inputs {counts}, {total / arguments.seconds:.0f} a second, "
          f"memory grew by {growth >> 10} KiB, seed {arguments.seed}")  # fmt: skip
    return 0 if growth < GROWTH_BYTES_MAX else 1


def _resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


if __name__ == "__main__":
    sys.exit(main())
