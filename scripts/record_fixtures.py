"""Records what a real Redis answers, byte for byte, with what the bytes mean.

    record_fixtures.py PORT FOLDER

The decoder here shares nothing with the Swift one, so that each checks the other. It favours plainness over speed.
The Redis must be a throw-away one: all its data is deleted, again before each fixture.
"""

import base64
import json
import pathlib
import re
import socket
import struct
import sys


# --- Decoding ---------------------------------------------------------------------------------------------------------


class Incomplete(Exception):
    """The bytes end before the reply does."""


class ProtocolError(Exception):
    """The bytes are no RESP."""


INTEGER = re.compile(rb"0|-?[1-9][0-9]*")
BIG_NUMBER = re.compile(rb"[+-]?[0-9]+")
DOUBLE = re.compile(rb"[+-]?[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]+)?")
SPECIAL_DOUBLES = {b"inf": float("inf"), b"-inf": float("-inf")}
NOT_A_NUMBER = {b"nan", b"-nan"}  # Redis before 7.2 sends what C's printf makes of a NaN, "-nan" included


def text(data):
    return base64.b64encode(data).decode("ascii")


class Decoder:
    def __init__(self, data):
        self.data = data
        self.at = 0

    def node(self):
        """One reply, as the tree that a fixture holds."""
        kind = self.take(1)
        if kind == b"$":
            data = self.counted_bytes(nullable=True)
            return {"type": "null"} if data is None else {"type": "bulk", "value_b64": text(data)}
        if kind == b"!":
            return {"type": "error", "message_b64": text(self.counted_bytes()), "blob": True}
        if kind == b"=":
            data = self.counted_bytes()
            if len(data) < 4 or data[3:4] != b":":
                raise ProtocolError(f"a verbatim string without its format: {data!r}")
            return {"type": "verbatim", "format": data[:3].decode("ascii"), "value_b64": text(data[4:])}
        if kind == b"*":
            count = self.count(nullable=True)
            return {"type": "null"} if count is None else {"type": "array", "items": self.nodes(count)}
        if kind in (b"~", b">"):
            return {"type": "set" if kind == b"~" else "push", "items": self.nodes(self.count())}
        if kind == b"%":
            return {"type": "map", "entries": self.entries()}
        if kind == b"|":
            return {"type": "attribute", "entries": self.entries(), "value": self.node()}
        return self.one_line_node(kind, self.line())

    def one_line_node(self, kind, line):
        if kind == b"+":
            return {"type": "simple", "value_b64": text(line)}
        if kind == b"-":
            return {"type": "error", "message_b64": text(line)}
        if kind == b":":
            return {"type": "integer", "value": integer(line)}
        if kind == b"_" and line == b"":
            return {"type": "null"}
        if kind == b"#" and line in (b"t", b"f"):
            return {"type": "boolean", "value": line == b"t"}
        if kind == b"," and line in NOT_A_NUMBER:
            return {"type": "double", "bits": "nan"}
        if kind == b"," and (line in SPECIAL_DOUBLES or DOUBLE.fullmatch(line)):
            value = SPECIAL_DOUBLES[line] if line in SPECIAL_DOUBLES else float(line)
            return {"type": "double", "bits": struct.pack(">d", value).hex()}
        if kind == b"(" and BIG_NUMBER.fullmatch(line):
            return {"type": "bignumber", "value_b64": text(line)}
        raise ProtocolError(f"no reply begins with {kind + line!r}")

    def nodes(self, count):
        return [self.node() for _ in range(count)]

    def entries(self):
        return [[self.node(), self.node()] for _ in range(self.count())]

    def counted_bytes(self, nullable=False):
        count = self.count(nullable)
        if count is None:
            return None
        data = self.take(count)
        if self.take(2) != b"\r\n":
            raise ProtocolError("a bulk string that does not end with CR LF")
        return data

    def count(self, nullable=False):
        value = integer(self.line())
        if value == -1 and nullable:
            return None
        if value < 0:
            raise ProtocolError(f"a length of {value}")
        return value

    def line(self):
        end = self.data.find(b"\r\n", self.at)
        if end < 0:
            raise Incomplete
        line = self.data[self.at : end]
        if b"\r" in line or b"\n" in line:
            raise ProtocolError(f"CR or LF inside a line: {line!r}")
        self.at = end + 2
        return line

    def take(self, count):
        if len(self.data) - self.at < count:
            raise Incomplete
        self.at += count
        return self.data[self.at - count : self.at]


def integer(line):
    if not INTEGER.fullmatch(line) or not -(2**63) <= int(line) < 2**63:
        raise ProtocolError(f"no 64-bit integer: {line!r}")
    return int(line)


def decode(data, replies):
    """The reply trees in `data`, which holds `replies` of them and pushes between, and nothing else."""
    decoder, nodes = Decoder(data), []
    while replies > 0:
        nodes.append(decoder.node())
        if nodes[-1]["type"] != "push":
            replies -= 1
    if decoder.at != len(data):
        raise ProtocolError(f"bytes behind the last reply: {data[decoder.at:]!r}")
    return nodes


# --- Talking to Redis -------------------------------------------------------------------------------------------------


def words(command):
    """A command as bytes: `"GET key"`, or a list of words where one holds a space or is not text."""
    parts = command.split(" ") if isinstance(command, str) else command
    return [part.encode() if isinstance(part, str) else part for part in parts]


def encode(command):
    return b"".join([b"*%d\r\n" % len(command)] + [b"$%d\r\n%s\r\n" % (len(word), word) for word in command])


class Connection:
    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)

    def ask(self, commands, replies):
        """The bytes that answer the commands, which are sent at once, and the trees in them."""
        self.socket.sendall(b"".join(encode(words(command)) for command in commands))
        data = b""
        while True:
            received = self.socket.recv(1 << 20)
            if not received:
                raise ProtocolError(f"Redis closed the connection after {data!r}")
            data += received
            try:
                return data, decode(data, replies)
            except Incomplete:
                pass

    def run(self, *commands):
        """The trees that answer commands which are not expected to fail."""
        _, nodes = self.ask(commands, len(commands))
        for command, node in zip(commands, nodes):
            if node["type"] == "error":
                raise ProtocolError(f"{command}: {base64.b64decode(node['message_b64'])!r}")
        return nodes

    def close(self):
        self.socket.close()


# --- What is recorded -------------------------------------------------------------------------------------------------


class Pipeline(list):
    """Commands that are sent in one go."""


BINARY = b"\xff\x00\r\n$-1\r\n\xfe"
BIG = bytes((i * 31 + i // 251) % 256 for i in range(70_000))

SEED = [
    "RPUSH follow:1 f0 f1 f2 f3 f4 f5 f6 f7 f8 f9",
    ["RPUSH", "mixed:1", "", "x", BINARY, "na\u00efve \U0001f40e", b"caf\xe9", "-1"],
    ["RPUSH", "many:1"] + [f"element {i}" for i in range(200)],
    ["HSET", "user:1", "name", "Ada", "age", "36", "empty", "", "avatar", BINARY, "latin", b"caf\xe9"],
    ["SET", "plain", "a plain string"],
    ["SET", "empty", ""],
    ["SET", "big", BIG],
    "SET counter 41",
    "SET max 9223372036854775806",
    "SET min -9223372036854775807",
    "SADD numbers 3 1 2",  # a set of integers is kept sorted; the order of any other would be random
    "ZADD scores -inf lowest 1.5 middle inf highest",
    "XADD stream:1 1-1 name Ada age 36",
    ["XADD", "stream:1", "2-1", "avatar", BINARY],
    "ACL SETUSER tester on resetpass >secret ~* &* +@all",
]

TEN_MIXED = Pipeline([
    "PING",
    "HGET user:1 name",
    "HGET user:1 absent",
    "LRANGE follow:1 0 2",
    "INCR counter",
    "HGET plain name",
    ["GET", "empty"],
    "HMGET user:1 name absent avatar",
    "LRANGE absent 0 -1",
    ["ECHO", BINARY],
])

TRANSACTION = Pipeline([
    "MULTI",
    "SET key value",
    "INCR counter",
    "LPUSH plain x",
    "LRANGE follow:1 0 1",
    "HMGET user:1 name absent",
    "GET absent",
    "LRANGE absent 0 -1",
    "EXEC",
])

ODD_COMMAND = [b"NO\r\nSUCH\x00\xff", b"a b", BINARY, ""]
NESTED = "return {1, {-2, {'three', {}}, 'four'}, false, {ok='FINE'}, {err='ODD inner error'}, {{{{{5}}}}}}"
DEEP = "local t = {} for i = 1, 60 do t = {t} end return t"

# Each name with the command that is sent on a new connection, or a pipeline of commands that are sent at once.
BOTH = {
    "blpop_timeout": "BLPOP absent 0.01",
    "command_info": "COMMAND INFO get no-such-command",
    "config_get": "CONFIG GET maxmemory-policy",
    "config_get_nothing": "CONFIG GET no-such-parameter",
    "error_arity": "HGET user:1",
    "error_not_an_integer": "INCR plain",
    "error_select_out_of_range": "SELECT 99",
    "error_unknown_command": ["NOSUCH", "x"],
    "error_unknown_command_odd_bytes": ODD_COMMAND,
    "error_wrong_password": "AUTH tester wrong",
    "error_wrong_type_hget": "HGET plain name",
    "error_wrong_type_lrange": "LRANGE user:1 0 4",
    "exec_aborted_by_watch": Pipeline(["WATCH plain", "SET plain x", "MULTI", "GET plain", "EXEC"]),
    "exec_discarded_after_error": Pipeline(["MULTI", "NOSUCH", "EXEC"]),
    "exec_mixed": TRANSACTION,
    "hget_absent_field": "HGET user:1 absent",
    "hget_absent_key": "HGET absent name",
    "hget_binary": "HGET user:1 avatar",
    "hget_empty": "HGET user:1 empty",
    "hget_not_utf8": "HGET user:1 latin",
    "hget_present": "HGET user:1 name",
    "hgetall": "HGETALL user:1",
    "hgetall_absent": "HGETALL absent",
    "hmget_absent_key": "HMGET absent name age",
    "hmget_mixed": "HMGET user:1 name absent empty avatar age",
    "lrange_0_4": "LRANGE follow:1 0 4",
    "lrange_absent": "LRANGE absent 0 4",
    "lrange_mixed_bytes": "LRANGE mixed:1 0 -1",
    "lrange_out_of_range": "LRANGE follow:1 100 200",
    "nested": ["EVAL", NESTED, "0"],
    "null_in_array": "GEOPOS absent a b",
    "ping": "PING",
    "ping_message": ["PING", "hello there"],
    "pipeline_of_ten": TEN_MIXED,
    "set_get": ["SET", "key", "value", "GET"],
    "set_ok": "SET key value",
    "smembers": "SMEMBERS numbers",
    "smembers_absent": "SMEMBERS absent",
    "xrange": "XRANGE stream:1 - +",
    "xread": "XREAD COUNT 10 STREAMS stream:1 0",
    "zrange_with_scores": "ZRANGE scores 0 -1 WITHSCORES",
    "zscore": "ZSCORE scores middle",
}

RESP2 = {
    "auth_and_select": Pipeline(["AUTH tester secret", "SELECT 2"]),
    "auth_without_password_set": "AUTH secret",
    "bulk_70000_bytes": "GET big",
    "error_integer_overflow": Pipeline(["INCR max", "INCR max"]),
    "hscan": "HSCAN user:1 0",
    "integer_maximum": "INCR max",
    "integer_minimum": "DECR min",
    "integer_minus_one": "TTL plain",
    "integer_minus_two": "TTL absent",
    "integer_positive": "INCR counter",
    "integer_zero": "HLEN absent",
    "lrange_many": "LRANGE many:1 0 -1",
    "nested_deep": ["EVAL", DEEP, "0"],
    "reset": "RESET",
    "scan": "SCAN 0 MATCH user:* COUNT 1000",
    "type": "TYPE user:1",
}

# HELLO goes first: its reply tells the connection's id, which is then the same whatever else is recorded.
RESP3 = {
    "hello": "HELLO 3",
    "hello_auth_select": Pipeline(["HELLO 3 AUTH tester secret", "SELECT 2"]),
}
RESP3.update(
    ("debug_" + kind, "DEBUG PROTOCOL " + kind)
    for kind in "string integer double null array set map attrib push verbatim true false bignum".split()
)
RESP3.update(
    {
        "booleans": ["EVAL", "redis.setresp(3) return {true, false, {true}}", "0"],
        "client_tracking_push": Pipeline(["CLIENT TRACKING ON", "GET plain", "SET plain x", "PING"]),
        "doubles": [
            "EVAL",
            "local r = {} for i, n in ipairs(ARGV) do r[i] = {double=tonumber(n)} end return r",
            "0",
            *"0 -0.0 0.1 -1.5 1e300 5e-324 3 inf -inf".split(),
        ],
        "double_minus_nan": ["EVAL", "return {double=tonumber('-nan')}", "0"],
        "double_nan": ["EVAL", "return {double=tonumber('nan')}", "0"],
        "hello_unsupported_version": "HELLO 9",
        "lolwut": "LOLWUT",
        "map_of_sets": ["EVAL", "return {map={letters={set={a=true}}}}", "0"],
        "pubsub_pushes": Pipeline(["SUBSCRIBE news", ["PUBLISH", "news", BINARY], "UNSUBSCRIBE news", "PING"]),
        "verbatim_info": "INFO cluster",
        "verbatim_txt": ["EVAL", "return {verbatim_string={format='txt', string='two\\r\\nlines'}}", "0"],
        "zscore_absent": "ZSCORE scores absent",
        "zscore_inf": "ZSCORE scores highest",
        "zscore_minus_inf": "ZSCORE scores lowest",
    }
)

# Commands whose only answer is a push, so that their fixtures have fewer replies than requests.
ANSWERED_BY_PUSH = ("SUBSCRIBE", "UNSUBSCRIBE")



# --- Recording --------------------------------------------------------------------------------------------------------


def record(name, commands, protocol, port, server):
    connection = Connection(port)
    if protocol == 3:
        connection.run("HELLO 3")
    pipeline = commands if isinstance(commands, Pipeline) else Pipeline([commands])
    answered_by_push = sum(words(command)[0].decode("latin-1") in ANSWERED_BY_PUSH for command in pipeline)
    data, nodes = connection.ask(pipeline, len(pipeline) - answered_by_push)
    connection.close()

    requests = [[text(word) for word in words(command)] for command in pipeline]
    fixture = {"name": name, "server": server, "protocol": protocol, "reply_b64": text(data), "replies": nodes}
    if isinstance(commands, Pipeline):
        fixture["requests"] = requests
    else:
        fixture["request"] = requests[0]
    return fixture


def write(fixture, folder):
    path = folder / f"{fixture['name']}.json"
    path.write_text(json.dumps(fixture, indent=1, sort_keys=True) + "\n", encoding="ascii")


def use_up_connection_ids(port, last):
    """How often the server was asked whether it is up must not show in what HELLO answers."""
    connection_id = 0
    while connection_id < last:
        connection = Connection(port)
        connection_id = connection.run("CLIENT ID")[0]["value"]
        connection.close()


def main(port, root):
    admin = Connection(port)
    info = base64.b64decode(admin.run("INFO server")[0]["value_b64"]).decode()
    server = "redis " + re.search(r"redis_version:(\S+)", info).group(1)
    use_up_connection_ids(port, 1000)

    for protocol, fixtures in ((3, {**RESP3, **BOTH}), (2, {**RESP2, **BOTH})):
        folder = root / f"resp{protocol}"
        folder.mkdir(parents=True, exist_ok=True)
        for stale in folder.glob("*.json"):
            stale.unlink()
        for name, commands in fixtures.items():
            admin.run("FLUSHALL", *SEED)
            write(record(name, commands, protocol, port, server), folder)
        print(f"{folder}: {len(fixtures)} fixtures")


if __name__ == "__main__":
    main(int(sys.argv[1]), pathlib.Path(sys.argv[2]))
