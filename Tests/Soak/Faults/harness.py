"""Starts a Redis and proxies, runs the load on them, and injects faults while the load says so.

usage: harness.py PROGRAM SECONDS SEED
"""

import asyncio
import os
import random
import signal
import socket
import sys

from proxy import CuttingProxy, MarkingProxy, RoughProxy
from server import Server

# The warm-up, the checks at the end, and waiting for what is late.
EXTRA_SECONDS = 150
# glibc gives the free end of its first arena back to the kernel, and keeps that of the others: resident memory would say
# little about what is in use.
ONE_ARENA = {"MALLOC_ARENA_MAX": "1"}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Harness:
    def __init__(self, program, seconds, seed):
        self.program, self.seconds, self.seed = program, seconds, seed
        self.counts = {}
        self.random = random.Random(seed)
        self.server = Server(free_port(), self.child(), self.counts)
        self.proxies = [kind(self.server.port, self.child(), self.counts)
                        for kind in (RoughProxy, CuttingProxy, MarkingProxy)]
        # Bound and not listening: connecting to it is refused, and nobody else gets it.
        self.dead = socket.socket()
        self.dead.bind(("127.0.0.1", 0))

    def child(self):
        return random.Random(self.random.getrandbits(64))

    def arguments(self):
        rough, cutting, marking = (str(proxy.port) for proxy in self.proxies)
        return ["--seconds", str(self.seconds), "--seed", str(self.seed), "--redis", str(self.server.port),
                "--socket", self.server.socket_path, "--rough", rough, "--cutting", cutting, "--marked", marking,
                "--dead", str(self.dead.getsockname()[1])]

    async def run(self):
        tasks, program = [], None
        try:
            await self.server.start()
            jobs = [proxy.serve() for proxy in self.proxies] + [self.server.trouble()]
            tasks = [asyncio.create_task(job) for job in jobs]
            program = await asyncio.create_subprocess_exec(
                self.program, *self.arguments(), env=os.environ | ONE_ARENA,
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=1 << 20)
            talk = asyncio.create_task(self.talk(program))
            done, _ = await asyncio.wait([talk, *tasks], timeout=self.seconds + EXTRA_SECONDS,
                                         return_when=asyncio.FIRST_COMPLETED)
            if talk in done:
                return await talk
            for task in done:
                task.result()
            print("error: the load has not ended: it hangs", flush=True)
            return 1
        finally:
            if program is not None and program.returncode is None:
                program.kill()
                await program.communicate()  # it ends with the last byte of its output, read or not
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self.server.close()

    async def talk(self, program):
        """Passes the program's lines on and answers those that are for the harness, until it ends."""
        while line := await program.stdout.readline():
            text = line.decode(errors="replace").rstrip("\n")
            if not text.startswith("@"):
                print(text, flush=True)
                continue
            program.stdin.write((await self.answer(text[1:]) + "\n").encode())
        status = await program.wait()
        if status < 0:
            print(f"error: the load was ended by {signal.Signals(-status).name}", flush=True)
        return 0 if status == 0 else 1

    async def answer(self, word):
        if word == "begin":
            for one in (*self.proxies, self.server):
                one.active = True
        elif word == "calm":
            for proxy in self.proxies:
                proxy.calm()
            await self.server.calm()
        elif word == "stop":
            self.server.signal(signal.SIGSTOP)
        elif word == "go":
            self.server.signal(signal.SIGCONT)
        elif word == "counts":
            return " ".join(f"{kind.replace(' ', '_')}={count}" for kind, count in sorted(self.counts.items()))
        return "done"


async def main():
    program, seconds, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    task = asyncio.current_task()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, task.cancel)
    return await Harness(program, seconds, seed).run()


if __name__ == "__main__":
    try:
        sys.exit(asyncio.run(main()))
    except asyncio.CancelledError:
        sys.exit(130)
