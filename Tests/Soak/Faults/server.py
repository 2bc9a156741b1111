"""A throw-away Redis that is killed, stopped, paused, put to sleep and short of everything."""

import asyncio
import re
import signal
import subprocess
import tempfile


class Server:
    def __init__(self, port, random, counts):
        self.port, self.random, self.counts = port, random, counts
        self.directory = tempfile.TemporaryDirectory(prefix="soak-")
        self.socket_path = f"{self.directory.name}/redis.sock"
        self.process = None
        self.active = False
        self.stopped_for_good = False
        self.busy = asyncio.Lock()

    def count(self, kind):
        self.counts[kind] = self.counts.get(kind, 0) + 1

    # --- The process ---------------------------------------------------------------------------------------------

    @staticmethod
    def debug_options():
        text = subprocess.run(["redis-server", "--version"], capture_output=True, text=True, check=True).stdout
        version = re.search(r"v=(\d+)", text)
        return ["--enable-debug-command", "local"] if version and int(version.group(1)) >= 7 else []

    async def start(self):
        options = ["--bind", "127.0.0.1", "--port", str(self.port), "--unixsocket", self.socket_path]
        options += ["--dir", self.directory.name, "--save", "", "--appendonly", "no"] + self.debug_options()
        for _ in range(50):
            with open(f"{self.directory.name}/log", "ab") as log:
                self.process = subprocess.Popen(["redis-server", *options], stdout=log, stderr=log,
                                                stdin=subprocess.DEVNULL)
            for _ in range(200):
                if await self.tell("PING") == b"+PONG":
                    return
                if self.process.poll() is not None:
                    break
                await asyncio.sleep(0.02)
            self.kill()  # the port was not free yet, or it does not answer
            await asyncio.sleep(0.1)
        with open(f"{self.directory.name}/log", encoding="utf-8", errors="replace") as log:
            raise RuntimeError("redis-server did not start:\n" + log.read()[-2000:])

    def kill(self):
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
        if self.process is not None:
            self.process.wait()
        self.process = None

    def signal(self, number):
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)

    def close(self):
        self.kill()
        self.directory.cleanup()

    async def tell(self, *words):
        """Sends one command over the unix socket; the first line of the reply, or None."""
        try:
            return await asyncio.wait_for(self.exchange(words), 5)
        except (OSError, asyncio.TimeoutError):
            return None

    async def exchange(self, words):
        reader, writer = await asyncio.open_unix_connection(self.socket_path)
        try:
            command = b"*%d\r\n" % len(words)
            for word in words:
                command += b"$%d\r\n%s\r\n" % (len(word), word.encode())
            writer.write(command)
            return (await reader.readline()).rstrip()
        finally:
            writer.close()

    # --- Faults --------------------------------------------------------------------------------------------------

    async def trouble(self):
        faults = [self.be_killed, self.be_stopped, self.be_stopped, self.lose_clients, self.pause_clients,
                  self.sleep, self.refuse_clients, self.run_out_of_memory]
        while True:
            await asyncio.sleep(self.random.uniform(0.1, 1.5))
            async with self.busy:
                if self.active:
                    await self.random.choice(faults)()

    async def be_killed(self):
        self.count("kill -9 and restart")
        self.kill()
        await asyncio.sleep(self.random.uniform(0, 0.5))
        await self.start()

    async def be_stopped(self):
        self.count("SIGSTOP and SIGCONT")
        self.signal(signal.SIGSTOP)
        try:
            await asyncio.sleep(self.random.choice([0.01, 0.05, 0.2, 1.0, 2.2]))
            if self.random.random() < 0.2:  # what it had not read is never read
                self.count("kill -9 while stopped")
                self.kill()
                await self.start()
        finally:
            self.signal(signal.SIGCONT)

    async def lose_clients(self):
        self.count("CLIENT KILL")
        await self.tell("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")

    async def pause_clients(self):
        self.count("CLIENT PAUSE")
        mode = self.random.choice(["ALL", "WRITE"])
        await self.tell("CLIENT", "PAUSE", str(self.random.choice([20, 100, 500, 1500])), mode)

    async def sleep(self):
        self.count("DEBUG SLEEP")
        await self.tell("DEBUG", "SLEEP", str(self.random.choice([0.02, 0.1, 0.5, 1.2])))

    async def refuse_clients(self):
        self.count("maxclients")
        await self.tell("CONFIG", "SET", "maxclients", "1")
        await self.tell("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        await asyncio.sleep(self.random.uniform(0.05, 0.5))
        await self.restore("maxclients", "10000")

    async def run_out_of_memory(self):
        self.count("out of memory")
        await self.tell("CONFIG", "SET", "maxmemory", "1")
        await asyncio.sleep(self.random.uniform(0.02, 0.3))
        await self.restore("maxmemory", "0")

    async def restore(self, name, value):
        """Sets a limit back; with one client allowed it may take several attempts to be that one."""
        for _ in range(200):
            if await self.tell("CONFIG", "SET", name, value) == b"+OK":
                return
            await asyncio.sleep(0.02)
        await self.be_killed()

    async def calm(self):
        self.active = False
        async with self.busy:
            await self.tell("CLIENT", "UNPAUSE")
