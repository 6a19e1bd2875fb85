"""The signed report: ``acceptance.json`` for machines, ``acceptance.html`` for people. Core.

The document is signed as the manifest of an export is: ``signature`` (hex) is Ed25519 of the key
``key`` over the document without ``signature``, as JSON with sorted keys and separators "," and
":". The page is made from the document alone, so it can be made again and compared.
"""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from edge.acceptance.items import Item, Result, is_accepted
from edge.terminal_text import columns, wrapped
from retention.export_verifier import canonical, fingerprint_of

RESULT_COLUMNS = 20
FORMAT = "xueliang acceptance 1"
JSON_NAME, HTML_NAME = "acceptance.json", "acceptance.html"
_RESULTS_ZH = {
    Result.PASSED: "通过",
    Result.FAILED: "不通过",
    Result.NOT_YET: "尚未可判",
    Result.MANUAL: "人工检查",
    Result.SKIPPED: "不适用",
}


def signed(
    key: Ed25519PrivateKey, *, site: str, at: str, version: str, items: Sequence[Item], by: str
) -> dict[str, Any]:
    """The document with its signature."""
    public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    document: dict[str, Any] = {
        "format": FORMAT,
        "site": site,
        "at": at,
        "by": by,
        "version": version,
        "accepted": is_accepted(items),
        "items": [item.as_json() for item in items],
        "key": base64.b64encode(public).decode(),
    }
    document["signature"] = key.sign(canonical(document)).hex()
    return document


def fingerprint(document: dict[str, Any]) -> str:
    """Of the key that the document names. Raises :class:`ValueError`."""
    try:
        return fingerprint_of(base64.b64decode(document["key"], validate=True))
    except (KeyError, TypeError) as error:
        raise ValueError("it names no key") from error


def faults_of(document: Any) -> list[str]:
    """Why a document is not what its key signed; none where it is."""
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        return ["it is no acceptance report"]
    try:
        key = Ed25519PublicKey.from_public_bytes(base64.b64decode(document["key"], validate=True))
        bare = {name: value for name, value in document.items() if name != "signature"}
        key.verify(bytes.fromhex(document["signature"]), canonical(bare))
    except (KeyError, TypeError, ValueError):
        return ["its key or signature cannot be read"]
    except InvalidSignature:
        return ["it is not what its key signed"]
    return []


def text_of(document: dict[str, Any]) -> str:
    """For a terminal."""
    lines = [f"{document['site']}  {document['at']}  {document['version']}", ""]
    for item in document["items"]:
        result = Result(item["result"])
        told = f"{_RESULTS_ZH[result]} {result.value}"
        head = f"{item['number']:>3}  {told}{' ' * (RESULT_COLUMNS - columns(told))}"
        lines += wrapped(f"{item['zh']} {item['en']}", head, " " * columns(head))
        for fact in item["found"]:
            lines += wrapped(fact, "       ", "         ")
        if item["mend"]:
            lines += wrapped(item["mend"], "       → ", "         ")
    verdict = "可机检项目全部通过" if document["accepted"] else "有不通过项"
    told = "all that a machine can check" if document["accepted"] else "some items failed"
    lines += ["", f"{verdict} {told}", f"密钥 key {fingerprint(document)}"]
    return "\n".join(lines)


def html_of(document: dict[str, Any]) -> str:
    """One page without anything from elsewhere."""
    rows = []
    for item in document["items"]:
        result = Result(item["result"])
        found = "<br>".join(html.escape(one) for one in item["found"])
        mend = f"<p class=mend>{html.escape(item['mend'])}</p>" if item["mend"] else ""
        rows.append(
            f"<tr class={result.value}><td>{html.escape(item['number'])}</td>"
            f"<td>{html.escape(item['zh'])}<br><small>{html.escape(item['en'])}</small></td>"
            f"<td>{_RESULTS_ZH[result]}<br><small>{result.value}</small></td>"
            f"<td>{found}{mend}</td></tr>"
        )
    verdict = "可机检项目全部通过" if document["accepted"] else "有不通过项"
    return f"""<!doctype html>
<html lang="zh-CN"><meta charset="utf-8"><title>验收报告 {html.escape(document["site"])}</title>
<style>
body{{font:16px/1.5 sans-serif;margin:2em auto;max-width:60em;padding:0 1em}}
table{{border-collapse:collapse;width:100%}}
td,th{{border:1px solid #999;padding:.4em;text-align:left;vertical-align:top}}
tr.failed td:nth-child(3){{background:#fbb}}tr.passed td:nth-child(3){{background:#cfc}}
tr.not_yet td:nth-child(3){{background:#ffd}}.mend{{margin:.3em 0 0;font-weight:bold}}
code{{overflow-wrap:anywhere}}
</style>
<h1>验收报告 Acceptance report</h1>
<p>{html.escape(document["site"])}, {html.escape(document["at"])}, {html.escape(document["by"])},
版本 version {html.escape(document["version"])}</p>
<p><strong>{verdict}</strong>。标为“人工检查”的项目须由人检查。
Items marked manual are for people.</p>
<table><tr><th>编号<th>项目 item<th>结果 result<th>所见 found</tr>
{chr(10).join(rows)}
</table>
<p>签名密钥 signing key <code>{fingerprint(document)}</code><br>
签名 signature <code>{document["signature"]}</code><br>
校验 verify: <code>xueliang accept --verify 本文件夹 this folder</code></p>
</html>
"""
