"""Scenarios of SIPp that hold many alike steps, written from a list of them.

``register.xml`` beside it is read by people; what follows a registration is made here: requests of
the platform with Call-IDs of their own (``word///[call_id]`` belongs to the call before the slashes
of SIPp), each with the status that must come.
"""

from __future__ import annotations

from html import escape

DEVICE = "34020000001180000001"
PLATFORM = "34020000002000000001"
DOMAIN = "3402000000"

_VERIFY = f'<verifyauth assign_to="valid" username="{DEVICE}" password="12345678"/>'
_COPIED = "[last_Via:]\n[last_From:]\n[last_To:]{tag}\n[last_Call-ID:]\n[last_CSeq:]\n"


def scenario(*steps: str, keepalive_status: str = "200 OK") -> str:
    """A platform that registers the device, goes through ``steps``, and answers meanwhile whatever
    the device sends outside of them with ``keepalive_status``."""
    return "\n".join(
        [
            '<?xml version="1.0" encoding="UTF-8"?>',
            '<scenario name="platform">',
            '<recv request="MESSAGE" optional="true" next="other"/>',
            '<recv request="REGISTER"/>',
            _reply(
                "401 Unauthorized",
                f'WWW-Authenticate: Digest realm="{DOMAIN}", nonce="47ebe028cda119c3"',
            ),
            f'<recv request="REGISTER"><action>{_VERIFY}</action></recv>',
            '<nop test="valid" next="accepted"/>',
            _reply("403 Forbidden", next_label="end"),
            '<label id="accepted"/>',
            _reply("200 OK", "Expires: 3600"),
            *steps,
            '<nop next="end"/>',
            '<label id="other"/>',
            _reply(keepalive_status, next_label="end"),
            '<label id="end"/>',
            "<nop/>",
            "</scenario>",
        ]
    )


def request(
    method: str,
    status: int,
    *,
    word: str,
    number: int = 1,
    target: str = DEVICE,
    fields: str = "",
    body: str = "",
    head: str = "",
    is_in_dialog: bool = False,
    checks: str = "",
) -> str:
    """One request of the platform and the final answer to it. ``head`` replaces what stands
    between the request line and the body."""
    tag = "[peer_tag_param]" if is_in_dialog else ""
    head = head or (
        f"Via: SIP/2.0/[transport] [local_ip]:[local_port];rport;branch=[branch]\n"
        f"From: <sip:{PLATFORM}@{DOMAIN}>;tag=p[call_number]\n"
        f"To: <sip:{target}@{DOMAIN}>{tag}\n"
        f"Call-ID: {word}///[call_id]\n"
        f"CSeq: {number} {method}\n"
        f"Contact: <sip:{PLATFORM}@[local_ip]:[local_port]>\n"
        f"Max-Forwards: 70\n{fields}Content-Length: [len]\n"
    )
    lines = f"\n{method} sip:{target}@[remote_ip]:[remote_port] SIP/2.0\n{head}\n{body}"
    provisional = '<recv response="100" optional="true"/>' if method == "INVITE" else ""
    acknowledge = ""
    if method == "INVITE":
        acknowledge = _ack(word, number, target)
    return (
        f'<send retrans="500"><![CDATA[\n{lines}\n]]></send>\n{provisional}'
        f'<recv response="{status}">{checks}</recv>\n{acknowledge}'
    )


def message(sn: int, body: str, status: int = 200, target: str = DEVICE) -> str:
    """A MESSAGE with MANSCDP."""
    return request(
        "MESSAGE",
        status,
        word=f"m{sn}",
        target=target,
        fields="Content-Type: Application/MANSCDP+xml\n",
        body=f'<?xml version="1.0" encoding="GB2312"?>\n{body}',
    )


def expect(method: str, **headers: str) -> str:
    """A request of the device inside one of the dialogs, whose header fields hold these patterns
    (names with _ for -); answered 200."""
    checks = "".join(
        f'<ereg regexp="{escape(pattern)}" search_in="hdr" header="{name.replace("_", "-")}:" '
        'check_it="true" assign_to="seen"/>'
        for name, pattern in headers.items()
    )
    return (
        f'<recv request="{method}" timeout="10000"><action>{checks}</action></recv>'
        f'<Reference variables="seen"/>{_reply("200 OK")}'
    )


def _ack(word: str, number: int, target: str) -> str:
    return (
        f"<send><![CDATA[\n\nACK sip:{target}@[remote_ip]:[remote_port] SIP/2.0\n"
        f"[last_Via:]\nFrom: <sip:{PLATFORM}@{DOMAIN}>;tag=p[call_number]\n"
        f"To: <sip:{target}@{DOMAIN}>[peer_tag_param]\nCall-ID: {word}///[call_id]\n"
        f"CSeq: {number} ACK\nContent-Length: 0\n\n]]></send>"
    )


def _reply(status: str, fields: str = "", next_label: str = "") -> str:
    jump = f' next="{next_label}"' if next_label else ""
    copied = _COPIED.format(tag="" if status.startswith("100") else ";tag=[call_number]")
    lines = f"\nSIP/2.0 {status}\n{copied}" + (f"{fields}\n" if fields else "")
    return f"<send{jump}><![CDATA[\n{lines}Content-Length: 0\n\n]]></send>"
