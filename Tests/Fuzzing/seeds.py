#!/usr/bin/env python3
"""seeds.py FOLDER: writes inputs to start the fuzzers from, made of the recorded fixtures and of a few odd replies.

The first three bytes are as FuzzInput.swift says: flags, and the seed of the cuts.
"""
import base64
import json
import pathlib
import sys

RESP3 = 0x01
COMMAND = 0x80
BYTES_WORD = 11  # a kind of word in EncoderFuzz.swift: bytes as they are

ODD = {
    "depth-at-limit": b"*1\r\n" * 1023 + b"*0\r\n",
    "depth-null-at-limit": b"*1\r\n" * 1024 + b"*-1\r\n",
    "depth-over-limit": b"*1\r\n" * 1024 + b"*1\r\n",
    "depth-maps": b"%1\r\n+k\r\n" * 700 + b"%0\r\n",
    "attributes": b"|1\r\n+k\r\n+v\r\n|0\r\n:1\r\n*2\r\n|1\r\n+k\r\n~1\r\n:2\r\n:3\r\n:4\r\n",
    "attribute-in-attribute": b"|1\r\n|1\r\n+a\r\n+b\r\n+k\r\n+v\r\n:1\r\n",
    "attribute-push": b"|1\r\n+k\r\n+v\r\n>1\r\n+m\r\n+OK\r\n",
    "huge-array": b"*4294967295\r\n",
    "huge-bulk": b"$9223372036854775807\r\n",
    "huge-map": b"%4611686018427387904\r\n",
    "scalars": b"_\r\n#t\r\n#f\r\n,1.5e-7\r\n,inf\r\n,-nan\r\n(-123456789012345678901\r\n!5\r\nERR a\r\n=7\r\ntxt:a\r\n\r\n",
    "streamed": b"$?\r\n;1\r\na\r\n;0\r\n",
    "streamed-array": b"*?\r\n:1\r\n.\r\n",
}


def main(folder):
    folder.mkdir(parents=True, exist_ok=True)

    def write(name, flags, rest):
        (folder / name).write_bytes(bytes([flags, 1, 2]) + rest)

    for name, stream in ODD.items():
        write(name, RESP3, stream)
    for path in sorted(pathlib.Path("Fixtures").glob("resp[23]/*.json")):
        fixture = json.loads(path.read_text())
        name = f"{path.parent.name}-{path.stem}"
        stream = base64.b64decode(fixture["reply_b64"])
        if len(stream) <= 4096:
            write(name, RESP3 if fixture["protocol"] == 3 else 0, stream)
        words = b""
        for request in fixture.get("requests") or [fixture["request"]]:
            for word in map(base64.b64decode, request):
                words += bytes([BYTES_WORD, min(len(word), 255)]) + word[:255]
        write(f"{name}-request", COMMAND, words)


main(pathlib.Path(sys.argv[1]))
