#!/usr/bin/env python3
"""Whether the ops port of this container answers 200 to a path; for health checks, so it imports little."""

import http.client
import os
import sys

port = int(os.environ.get("SURFACE_OPS__PORT") or 8009)
path = sys.argv[1] if len(sys.argv) > 1 else "/livez"
try:
    asked = http.client.HTTPConnection("127.0.0.1", port, timeout=4)
    asked.request("GET", path)
    sys.exit(asked.getresponse().status != 200)
except OSError as error:
    sys.exit(f"127.0.0.1:{port}: {error}")
