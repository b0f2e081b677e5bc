"""Whether a URL answers 200; for the health checks of the full stack."""

import sys
from http.client import HTTPConnection
from urllib.parse import urlsplit

url = urlsplit(sys.argv[1])
try:
    connection = HTTPConnection(url.hostname or "", url.port, timeout=4)
    connection.request("GET", url.path)
    sys.exit(connection.getresponse().status != 200)
except OSError as error:
    sys.exit(str(error))
