"""What a service manager does with a service's sockets (sd_notify(3), sd_listen_fds(3)): service_manager.py SOCKET COMMAND...

Keeps each socket that the service gives it, once by its name, and passes all on when the service is started again. SIGHUP
restarts the service, with two seconds in between; SIGTERM ends it. Says on its output when the service is down and up.
"""
import array
import ctypes
import os
import signal
import socket
import subprocess
import sys
import time

path, command = sys.argv[1], sys.argv[2:]
kept = {}
notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
notify.bind(path)
notify.settimeout(0.1)
wanted = []
for number in (signal.SIGHUP, signal.SIGTERM):
    signal.signal(number, lambda number, _: wanted.append(number))


def start():
    passed = list(kept.items())

    def place():
        # (PR_SET_PDEATHSIG: a test that fails kills its manager, and the service shall not stay.)
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)
        # The service finds its sockets from descriptor 3 on, in the order of their names.
        for index, (_, sock) in enumerate(passed):
            os.dup2(sock, 100 + index)
        for index in range(len(passed)):
            os.dup2(100 + index, 3 + index)

    environment = dict(os.environ, NOTIFY_SOCKET=path)
    if passed:
        environment["LISTEN_FDS"] = str(len(passed))
        environment["LISTEN_FDNAMES"] = ":".join(name for name, _ in passed)
    # The id is only known after the fork: a shell tells it to what it becomes.
    words = ["sh", "-c", 'LISTEN_PID=$$ exec "$@"', "sh", *command]
    return subprocess.Popen(words, env=environment, preexec_fn=place, close_fds=False)


def stop(service):
    service.terminate()
    return service.wait(timeout=20)


def heard():
    try:
        data, ancillary, _, _ = notify.recvmsg(4096, socket.CMSG_SPACE(64))
    except TimeoutError:
        return
    words = dict(line.split("=", 1) for line in data.decode().splitlines())
    received = array.array("i")
    for level, kind, payload in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            received.frombytes(payload[: len(payload) - len(payload) % received.itemsize])
    name = words.get("FDNAME")
    if words.get("FDSTORE") == "1":
        for sock in received:
            if name in kept:
                os.close(sock)
            else:
                kept[name] = sock
                print("kept", name, flush=True)
    if words.get("FDSTOREREMOVE") == "1" and name in kept:
        os.close(kept.pop(name))
        print("closed", name, flush=True)
    if words.get("BARRIER") == "1":
        # What was told before has been done (sd_notify_barrier(3)).
        for sock in received:
            os.close(sock)
    if words.get("READY") == "1":
        print("ready", flush=True)


service = start()
deadline = time.monotonic() + 600
while time.monotonic() < deadline and service.poll() is None:
    heard()
    number = wanted.pop(0) if wanted else None
    if number == signal.SIGTERM:
        sys.exit(stop(service))
    if number == signal.SIGHUP:
        print("stopped", stop(service), flush=True)
        time.sleep(2)
        print("started", flush=True)
        service = start()
sys.exit(service.poll() or 0)
