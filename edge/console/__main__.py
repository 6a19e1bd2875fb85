"""``python -m edge.console -c FILE``: the service, as ``xueliang run`` starts it."""

import sys

from config.service import serve
from edge.console.daemon import run_console

if __name__ == "__main__":
    sys.exit(serve("console", "local web page", run_console))
