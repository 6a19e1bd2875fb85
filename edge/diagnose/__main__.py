"""``python -m edge.diagnose -c FILE``: the service, as ``xueliang run`` starts it."""

import sys

from config.service import serve
from edge.diagnose.service import run_diagnose

if __name__ == "__main__":
    sys.exit(serve("diagnose", "picture diagnosis service", run_diagnose))
