"""Stands in for ssh between the ranks of one server, so that mpirun can start its daemons
in the containers of other nodes without an sshd or a key in them.

    agent.py serve ADDRESS     on a worker: runs what it is sent, until it is stopped
    agent.py HOST COMMAND...   what mpirun calls on the head, as it would call ssh

SPARKRUN_AGENT_PORT is the port, SPARKRUN_AGENT_TOKEN what both sides know: each proves it
with an HMAC over the other's random bytes, so that it is never sent. Python 3.8 or newer
and its standard library are all that is needed.

A connection carries frames: a letter, a length in four bytes (big endian), the content.
C is the command, O and E its output and errors, X its exit status.
"""

import hmac
import os
import secrets
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

PORT = int(os.environ["SPARKRUN_AGENT_PORT"])
TOKEN = os.environ["SPARKRUN_AGENT_TOKEN"].encode()
NONCE = 32
MOST = 1 << 20
WAIT = 10  # seconds for a connection and its proof


def proof(role, nonce):
    return hmac.new(TOKEN, role + nonce, "sha256").digest()


def receive(conn, n):
    data = b""
    while len(data) < n:
        part = conn.recv(n - len(data))
        if not part:
            raise EOFError("the connection has ended")
        data += part
    return data


def send(conn, lock, kind, content):
    with lock:
        conn.sendall(kind + struct.pack(">I", len(content)) + content)


def frame(conn):
    kind, length = struct.unpack(">cI", receive(conn, 5))
    if length > MOST:
        raise ValueError("a frame of %d bytes" % length)
    return kind, receive(conn, length)


def meet(conn, mine, theirs):
    """Each side proves that it knows the token."""
    conn.settimeout(WAIT)
    nonce = secrets.token_bytes(NONCE)
    conn.sendall(nonce)
    conn.sendall(proof(mine, receive(conn, NONCE)))
    if not hmac.compare_digest(receive(conn, 32), proof(theirs, nonce)):
        raise PermissionError("the other side does not know the token")
    conn.settimeout(None)


def end(process):
    """Ends a command with everything that it has started in its session."""
    for sig, wait in ((signal.SIGTERM, 2), (signal.SIGKILL, 0)):
        try:
            os.killpg(process.pid, sig)
        except ProcessLookupError:
            return
        deadline = time.monotonic() + wait
        while process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)


def run(conn, peer):
    try:
        meet(conn, b"worker", b"head")
        kind, command = frame(conn)
        if kind != b"C":
            raise ValueError("the first frame is %r" % kind)
    except Exception as err:
        print("agent: refused %s: %s" % (peer[0], err), flush=True)
        conn.close()
        return
    process = subprocess.Popen(
        ["sh", "-c", command.decode()], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    )
    lock = threading.Lock()

    def copy(kind, stream):
        try:
            for part in iter(lambda: stream.read1(65536), b""):
                sys.stdout.buffer.write(part)  # the rank's own log has it too
                sys.stdout.buffer.flush()
                send(conn, lock, kind, part)
        except OSError:
            pass  # the head is gone; watch ends the command

    def watch():
        try:
            while conn.recv(1):
                pass
        except OSError:
            pass
        if process.poll() is None:
            print("agent: the head has gone: its command is ended", flush=True)
            end(process)

    copies = [threading.Thread(target=copy, args=a) for a in ((b"O", process.stdout), (b"E", process.stderr))]
    for t in copies:
        t.start()
    threading.Thread(target=watch, daemon=True).start()
    status = process.wait()
    for t in copies:
        t.join()
    try:
        send(conn, lock, b"X", struct.pack(">i", status if status >= 0 else 128 - status))
        conn.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
    conn.close()


def serve(address):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = socket.create_server((address, PORT), family=family)
    print("agent: waits for the head on %s port %d" % (address, PORT), flush=True)
    while True:
        conn, peer = listener.accept()
        threading.Thread(target=run, args=(conn, peer), daemon=True).start()


def call(host, command):
    conn = socket.create_connection((host, PORT), timeout=WAIT)
    meet(conn, b"head", b"worker")
    send(conn, threading.Lock(), b"C", command.encode())
    while True:
        kind, content = frame(conn)
        if kind == b"X":
            return struct.unpack(">i", content)[0]
        out = sys.stdout if kind == b"O" else sys.stderr
        out.buffer.write(content)
        out.buffer.flush()


if __name__ == "__main__":
    if len(sys.argv) == 3 and sys.argv[1] == "serve":
        serve(sys.argv[2])
    try:
        sys.exit(call(sys.argv[1], " ".join(sys.argv[2:])))
    except (OSError, EOFError, ValueError) as err:
        print("agent: run a command on %s: %s" % (sys.argv[1], err), file=sys.stderr)
        sys.exit(255)
