"""Proxies between the client and Redis that do to bytes and connections what networks do to them."""

import asyncio
import socket
import struct

PIECE = 65536
MAX_CONNECTIONS = 400
UNASKED = [b"+nobody asked\r\n", b":1\r\n", b"$3\r\nabc\r\n", b"*1\r\n:1\r\n", b"$-1\r\n"]
UNASKED_ERRORS = [b"-ERR nobody asked\r\n", b"-LOADING nobody asked\r\n"]
GARBAGE = [b"HTTP/1.1 200 OK\r\n", b"\x00\xff\x00", b":12x\r\n", b"$-2\r\n", b"*03\r\n", b"$4\r\nabcdef\r\n"]
MARKS = {  # at the end of a reply: what follows it, and when
    b"<late:reply>\r\n": (UNASKED, True),
    b"<late:garbage>\r\n": (GARBAGE, True),
    b"<late:error>\r\n": (UNASKED_ERRORS, True),
    b"<now:reply>\r\n": (UNASKED, False),
    b"<now:garbage>\r\n": (GARBAGE, False),
}


class Connection:
    """One connection of a client and its counterpart to the server."""

    def __init__(self, proxy, client):
        self.proxy, self.client, self.server = proxy, client, None
        self.stalled_until = {"up": 0.0, "down": 0.0}
        self.delay_until = self.trickle_until = 0.0
        self.delay = 0.0
        self.ended = asyncio.Event()

    async def run(self):
        tasks = []
        try:
            if not await self.proxy.welcome(self):
                return
            self.server = socket.socket()
            self.server.setblocking(False)
            await asyncio.get_running_loop().sock_connect(self.server, ("127.0.0.1", self.proxy.upstream))
            for side in (self.client, self.server):
                side.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            jobs = [self.pump(self.client, self.server, "up"), self.pump(self.server, self.client, "down")]
            jobs += [self.proxy.trouble(self), self.ended.wait()]
            tasks = [asyncio.create_task(job) for job in jobs]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        except OSError:
            pass
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for side in (self.client, self.server):
                if side is not None:
                    side.close()

    async def pump(self, source, sink, way):
        loop = asyncio.get_running_loop()
        try:
            while True:
                await self.stall(way)
                data = await loop.sock_recv(source, PIECE)
                if not data:
                    return
                await self.stall(way)
                if self.delay_until > loop.time():
                    await asyncio.sleep(self.delay)
                await self.proxy.forward(self, sink, data, way)
        except OSError:
            return

    async def stall(self, way):
        """While it lasts nothing is read and nothing written in this direction."""
        while (rest := self.stalled_until[way] - asyncio.get_running_loop().time()) > 0:
            await asyncio.sleep(min(rest, 0.05))

    def heal(self):
        self.stalled_until = {"up": 0.0, "down": 0.0}
        self.delay_until = self.trickle_until = 0.0

    def reset(self):
        """Lets the next close be a reset instead of an orderly end."""
        self.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


class Proxy:
    """Passes everything on as it comes."""

    def __init__(self, upstream, random, counts):
        self.upstream, self.random, self.counts = upstream, random, counts
        self.active = False
        self.connections, self.tasks = set(), set()
        self.listener = self.listen(0)
        self.port = self.listener.getsockname()[1]

    @staticmethod
    def listen(port):
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(256)
        listener.setblocking(False)
        return listener

    def count(self, kind):
        self.counts[kind] = self.counts.get(kind, 0) + 1

    async def serve(self):
        self.open()
        await asyncio.Event().wait()

    def open(self):
        asyncio.get_running_loop().add_reader(self.listener, self.accept)

    def shut(self):
        asyncio.get_running_loop().remove_reader(self.listener)
        self.listener.close()

    def accept(self):
        try:
            client, _ = self.listener.accept()
        except OSError:  # it has gone away again
            return
        client.setblocking(False)
        if len(self.connections) >= MAX_CONNECTIONS:
            client.close()
            return
        task = asyncio.create_task(self.attend(client))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def attend(self, client):
        connection = Connection(self, client)
        self.connections.add(connection)
        try:
            await connection.run()
        finally:
            self.connections.discard(connection)

    def calm(self):
        self.active = False
        for connection in list(self.connections):
            connection.heal()

    async def welcome(self, connection):
        return True

    async def trouble(self, connection):
        await asyncio.Event().wait()

    async def forward(self, connection, sink, data, way):
        await asyncio.get_running_loop().sock_sendall(sink, data)


class RoughProxy(Proxy):
    """Breaks, delays, trickles and stalls connections at random moments."""

    async def welcome(self, connection):
        if not self.active or self.random.random() > 0.2:
            return True
        kind = self.random.choice(["end at accept", "reset at accept", "silence at accept"])
        self.count(kind)
        if kind == "reset at accept":
            connection.reset()
        if kind == "silence at accept":
            until = asyncio.get_running_loop().time() + self.random.uniform(0.05, 1.5)
            while self.active and asyncio.get_running_loop().time() < until:
                await asyncio.sleep(0.02)
        return False

    async def trouble(self, connection):
        kinds = ["end", "reset", "half-close", "stop reading", "stop writing", "stop both", "delay", "trickle"]
        while True:
            await asyncio.sleep(self.random.expovariate(1 / 0.7))
            if self.active:
                kind = self.random.choice(kinds)
                self.count(kind)
                if self.apply(connection, kind):
                    connection.ended.set()
                    return

    def apply(self, connection, kind):
        """Does it, and says whether it is the connection's end."""
        now = asyncio.get_running_loop().time()
        if kind == "end":
            return True
        if kind == "reset":
            connection.reset()
            return True
        if kind == "half-close":
            try:
                connection.client.shutdown(socket.SHUT_WR)
            except OSError:
                pass
        if kind in ("stop reading", "stop both"):
            connection.stalled_until["up"] = now + self.random.uniform(0.05, 1.5)
        if kind in ("stop writing", "stop both"):
            connection.stalled_until["down"] = now + self.random.uniform(0.05, 1.5)
        if kind == "delay":
            connection.delay, connection.delay_until = self.random.uniform(0.001, 0.1), now + 1
        if kind == "trickle":
            connection.trickle_until = now + self.random.uniform(0.1, 0.8)
        return False

    async def forward(self, connection, sink, data, way):
        loop = asyncio.get_running_loop()
        while data and connection.trickle_until > loop.time():
            size = self.random.randint(1, 20)
            piece, data = data[:size], data[size:]
            await loop.sock_sendall(sink, piece)
            await asyncio.sleep(0.001)
        # A part of it first: whatever ends the connection then ends it in the middle of something.
        if self.active and len(data) > 1 and self.random.random() < 0.3:
            cut = self.random.randint(1, len(data) - 1)
            piece, data = data[:cut], data[cut:]
            await loop.sock_sendall(sink, piece)
            await asyncio.sleep(0)
        await loop.sock_sendall(sink, data)

    async def serve(self):
        """Accepts, and refuses connections now and then: nobody listens then."""
        self.open()
        while True:
            await asyncio.sleep(self.random.expovariate(1 / 4))
            if self.active:
                self.count("refuse connections")
                self.shut()
                await asyncio.sleep(self.random.uniform(0.05, 0.5))
                self.listener = self.listen(self.port)
                self.open()


class CuttingProxy(Proxy):
    """Loses nothing and cuts everything into pieces at random places."""

    async def forward(self, connection, sink, data, way):
        loop = asyncio.get_running_loop()
        cuts = self.random.randint(1, 12) if self.active else 0
        for _ in range(cuts):
            size = self.random.choice([1, 1, 2, 3, 5, 17, 100, 4096])
            piece, data = data[:size], data[size:]
            if not data:
                data = piece
                break
            await loop.sock_sendall(sink, piece)
            self.count("cut")
            await asyncio.sleep(0)
        await loop.sock_sendall(sink, data)


class MarkingProxy(Proxy):
    """Adds bytes that nobody asked for behind the replies that ask for them.

    The client has nothing in flight then, or gets bytes that are no reply: it could not tell a reply that nobody asked
    for from the right one.
    """

    async def forward(self, connection, sink, data, way):
        if way == "up":
            return await super().forward(connection, sink, data, way)
        connection.rest = getattr(connection, "rest", b"") + data
        while (found := self.first_mark(connection.rest)) is not None:
            end, (choices, is_late) = found
            head, connection.rest = connection.rest[:end], connection.rest[end:]
            extra = self.random.choice(choices)
            self.count("unasked error" if choices is UNASKED_ERRORS else
                       "garbage" if choices is GARBAGE else "unasked reply")
            if is_late:
                await super().forward(connection, sink, head, way)
                await asyncio.sleep(self.random.uniform(0.001, 0.03))
                head = b""
            await super().forward(connection, sink, head + extra, way)
        # What might be the beginning of a mark waits for the rest of it: a whole reply ends in CR LF.
        if connection.rest.endswith(b"\r\n"):
            rest, connection.rest = connection.rest, b""
            await super().forward(connection, sink, rest, way)

    @staticmethod
    def first_mark(data):
        found = [(data.find(mark) + len(mark), rule) for mark, rule in MARKS.items() if mark in data]
        return min(found, key=lambda item: item[0]) if found else None
