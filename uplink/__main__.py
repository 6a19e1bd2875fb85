"""``python -m uplink -c FILE``: the service in the foreground, as ``xueliang run`` starts it."""

import sys

from config.service import serve
from uplink.daemon import run_uplink

if __name__ == "__main__":
    sys.exit(serve("uplink", "GB/T 28181 device service", run_uplink))
