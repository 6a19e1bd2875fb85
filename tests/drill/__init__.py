"""``make install-drill``: the package lived with in a clean Debian, booted with systemd."""
