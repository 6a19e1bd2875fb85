"""Kamailio (Debian's package) as a registrar with digest, over UDP and TCP on one loopback port."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.box import free_port, wait_for

_CONFIG = """#!KAMAILIO
debug=2
log_stderror=yes
children=1
tcp_children=1
auto_aliases=no
alias="{domain}"
listen=udp:127.0.0.1:{port}
listen=tcp:127.0.0.1:{port}
loadmodule "sl.so"
loadmodule "pv.so"
loadmodule "xlog.so"
loadmodule "textops.so"
loadmodule "tm.so"
loadmodule "usrloc.so"
loadmodule "registrar.so"
loadmodule "auth.so"
modparam("auth", "qop", "auth")
modparam("auth", "nonce_expire", 30)
modparam("usrloc", "db_mode", 0)
modparam("registrar", "min_expires", 60)
modparam("registrar", "max_expires", 60)
request_route {{
    if (is_method("REGISTER")) {{
        if (!pv_www_authenticate("{domain}", "{password}", "0")) {{
            auth_challenge("{domain}", "1");
            exit;
        }}
        save("location");
        xlog("L_ERR", "saved $fU contact $ct expires $hdr(Expires)\\n");
        exit;
    }}
    if (is_method("MESSAGE")) {{
        if (!registered("location", "$fu")) {{
            sl_send_reply("403", "Not registered");
            exit;
        }}
        xlog("L_ERR", "message of $fU\\n");
        sl_send_reply("200", "OK");
        exit;
    }}
    sl_send_reply("405", "Method Not Allowed");
}}
"""


@dataclass(slots=True, kw_only=True)
class Kamailio:
    folder: Path
    domain: str
    password: str
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> Kamailio:
        self.folder.mkdir(exist_ok=True)
        config = self.folder / "kamailio.cfg"
        config.write_text(
            _CONFIG.format(domain=self.domain, password=self.password, port=self.port)
        )
        with (self.folder / "kamailio.log").open("wb") as log:
            self.process = subprocess.Popen(
                ["kamailio", "-f", str(config), "-DD", "-E", "-m", "16", "-M", "4",
                 "-Y", str(self.folder), "-P", str(self.folder / "kamailio.pid")],
                stdout=log,
                stderr=log,
                start_new_session=True,
            )  # fmt: skip
        return self

    @property
    def log(self) -> str:
        return (self.folder / "kamailio.log").read_text(errors="replace")

    def wait_for(self, what: str, count: int = 1) -> None:
        """Until its log holds ``what`` so often."""
        try:
            wait_for(f"{count} x {what!r}", lambda: self.log.count(what) >= count)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.log[-3000:]}") from None

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def __enter__(self) -> Kamailio:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()
