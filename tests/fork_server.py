"""Start Python programs without waiting for their imports: each start is a fork of one process.

The server imports modules once. Its clients take `-m MODULE` or `-c CODE` and arguments, as Python
does, and have the standard streams, exit status and signals of the program that they start.
"""

import gc
import importlib
import os
import random
import runpy
import select
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path

CLIENT = """\
import os, signal, socket, sys

server = socket.socket(socket.AF_UNIX)
server.connect({address!r})
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(number, lambda number, _: server.send(bytes([number])))
words = [os.getcwd(), str(len(sys.argv) - 1), *sys.argv[1:]]
words += [f"{{name}}={{value}}" for name, value in os.environ.items()]
request = os.fsencode("\\0".join(words))
socket.send_fds(server, [len(request).to_bytes(4, "big")], [0, 1, 2])
server.sendall(request)
status = int.from_bytes(server.recv(2), "big", signed=True)
if status < 0:
    if status != -signal.SIGKILL:
        signal.signal(-status, signal.SIG_DFL)
    os.kill(os.getpid(), -status)
os._exit(status)
"""


def write_program(file, *words):
    """Write a program that runs these words and its own, through sh: `#!` cannot hold a space."""
    file.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n', "utf-8")
    file.chmod(0o700)


@contextmanager
def forking(*modules):
    """Run a server that has imported these modules; yield the path of its client."""
    with tempfile.TemporaryDirectory() as folder:
        client, address = Path(folder, "python"), f"{folder}/socket"
        write_program(client, sys.executable, "-ISc", CLIENT.format(address=address))
        command = [sys.executable, "-m", "tests.fork_server", address, *modules]
        root = Path(__file__).parents[1]
        with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE) as server:
            server.stdout.readline()  # it listens
            yield str(client)
            server.terminate()


def reap(*_):
    """Wait for the children that have ended."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def serve(address, modules):
    """Fork for each client; return the words of its program in the program's process."""
    for module in modules:
        importlib.import_module(module)
    gc.collect()
    gc.freeze()  # so that forks do not copy the imported modules
    signal.signal(signal.SIGCHLD, reap)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address)
    listener.listen()
    print("listening", flush=True)  # noqa: T201
    while True:
        client, _ = listener.accept()
        if not os.fork():
            listener.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            return supervise(client)
        client.close()


def supervise(client):
    """Start a client's program and pass on its signals and its status.

    Returns only in the program's process: the program's words.
    """
    size, streams, _, _ = socket.recv_fds(client, 4, 3)
    request, size = b"", int.from_bytes(size, "big")
    while len(request) < size:
        request += client.recv(size - len(request))
    folder, count, *words = os.fsdecode(request).split("\0")
    program = os.fork()
    if not program:
        client.close()
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(word.split("=", 1) for word in words[int(count) :])
        return words[: int(count)]
    for number, stream in enumerate(streams):
        os.close(stream)
        os.close(number)  # of the server
    threading.Thread(target=forward, args=(client, program), daemon=True).start()
    _, status = os.waitpid(program, 0)
    client.send(os.waitstatus_to_exitcode(status).to_bytes(2, "big", signed=True))
    os._exit(0)


def forward(client, program):
    """Send the client's signals to its program, SIGKILL if the client has ended."""
    while True:
        select.select([client], [], [])
        number = client.recv(1)
        os.kill(program, number[0] if number else signal.SIGKILL)
        if not number:
            return


def run(flag, program, *words):
    """Run a program as Python does with these words."""
    random.seed()
    tempfile.tempdir = None  # the environment's
    time.tzset()
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        number = getattr(sys, name).fileno()
        errors = "backslashreplace" if name == "stderr" else "strict"
        stream = open(number, mode, encoding="utf-8", errors=errors, closefd=False)  # noqa: SIM115
        stream.reconfigure(
            line_buffering=name == "stderr", write_through="PYTHONUNBUFFERED" in os.environ
        )
        setattr(sys, name, stream)
    sys.path[0] = str(Path.cwd())
    sys.argv = [flag, *words]
    if flag == "-m":
        runpy.run_module(program, run_name="__main__", alter_sys=True)
    else:
        space = {"__name__": "__main__", "__builtins__": __builtins__}
        exec(compile(program, "<string>", "exec"), space)  # noqa: S102


if __name__ == "__main__":
    run(*serve(sys.argv[1], sys.argv[2:]))
