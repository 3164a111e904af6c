"""What reaches systemd's journal, in namespaces of our own where this script is the journal: `journal.py DAEMON CONFIG TOKEN`.
Prints the fields of each entry as a line of JSON once a recording has ended."""

import json
import os
import socket
import subprocess
import sys
import tempfile
import urllib.request

daemon, config, token = sys.argv[1:]
subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run"], check=True)
os.makedirs("/run/systemd/journal")
journal = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
journal.bind("/run/systemd/journal/socket")
journal.settimeout(20)


def fields(entry):
    """NAME=value lines, or NAME, a length in 8 bytes and the value."""
    found = {}
    while entry:
        line, _, entry = entry.partition(b"\n")
        if b"=" in line:
            name, value = line.split(b"=", 1)
        else:
            name, length = line, int.from_bytes(entry[:8], "little")
            value, entry = entry[8 : 8 + length], entry[9 + length :]
        found[name.decode()] = value.decode()
    return found


# Standard error is the stream that systemd would have made, and JOURNAL_STREAM names it.
with tempfile.TemporaryFile() as stream:
    stat = os.fstat(stream.fileno())
    environment = dict(os.environ, JOURNAL_STREAM=f"{stat.st_dev}:{stat.st_ino}")
    process = subprocess.Popen([daemon, "serve", "--config", config], stdout=subprocess.PIPE, stderr=stream, env=environment, text=True)
    try:
        base = process.stdout.readline().split()[-1]
        body = json.dumps({"playBeep": False, "maxRecordDurationInSeconds": 1}).encode()
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        urllib.request.urlopen(urllib.request.Request(f"{base}/app/calls/mic/record", body, headers))
        while True:
            entry = fields(journal.recv(65_536))
            print(json.dumps(entry))
            if "has ended" in entry.get("MESSAGE", ""):
                break
    finally:
        process.kill()
