"""A machine with monitors on UNIX sockets, and clients for both kinds of monitor."""
import json
import re
import socket
import subprocess
import time

PROMPT = b"(qemu) "


class Machine:
    """program is Rhea or QEMU; both get the same words."""

    running = []

    def __init__(self, program, folder, *words, name="vm", serial=True):
        self.places = {kind: folder / f"{name}.{kind}" for kind in ("hmp", "qmp")}
        self.process = subprocess.Popen(
            [program, "-display", "none", "-m", "64", *(["-serial", "null"] if serial else []),
             "-monitor", f"unix:{self.places['hmp']},server=on,wait=off",
             "-qmp", f"unix:{self.places['qmp']},server=on,wait=off", *words],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        Machine.running.append(self.process)

    @classmethod
    def end_all(cls):
        for process in cls.running:
            if process.poll() is None:
                process.kill()
                process.communicate()
        cls.running.clear()

    def connect(self, kind, seconds=20):
        end = time.monotonic() + seconds
        while True:
            client = socket.socket(socket.AF_UNIX)
            try:
                client.connect(str(self.places[kind]))
                client.settimeout(20)
                return client
            except OSError:
                client.close()
                if self.process.poll() is not None or time.monotonic() > end:
                    raise AssertionError(f"no monitor: {self.process.communicate()}") from None
                time.sleep(0.02)

    def end(self, seconds=10):
        if self.process.poll() is None:
            self.process.terminate()
        try:
            out, err = self.process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()
            raise AssertionError("the machine does not end") from None
        return self.process.returncode, out.decode(), err.decode()


class Hmp:
    def __init__(self, client):
        self.client = client
        self.greeting = self.until_prompt()

    def until_prompt(self):
        got = b""
        while not got.endswith(PROMPT):
            more = self.client.recv(65536)
            if not more:
                break
            got += more
        return got

    def ask(self, line):
        """What a line is answered, without its echo and the prompt."""
        self.client.sendall(line.encode() + b"\n")
        got = self.until_prompt().decode(errors="replace")
        got = got[got.find("\r\n") + 2:]
        return got.removesuffix(PROMPT.decode()).replace("\r\n", "\n")


class Qmp:
    def __init__(self, client, negotiate=True):
        self.client = client
        self.rest = b""
        self.events = []
        self.greeting = self.message()
        if negotiate:
            self.ask("qmp_capabilities")

    def message(self):
        while b"\n" not in self.rest:
            more = self.client.recv(65536)
            if not more:
                return None
            self.rest += more
        line, _, self.rest = self.rest.partition(b"\n")
        return json.loads(line)

    def answer(self):
        while True:
            found = self.message()
            if found is None or "event" not in found:
                return found
            self.events.append(found)

    def say(self, text):
        self.client.sendall(text.encode())
        return self.answer()

    def ask(self, name, **arguments):
        arguments = {key.replace("_", "-"): value for key, value in arguments.items()}
        return self.say(json.dumps({"execute": name, "arguments": arguments} if arguments else {"execute": name}))


def shape(value):
    """A JSON value without its leaves: what kind of thing is where."""
    if isinstance(value, dict):
        return {key: shape(item) for key, item in sorted(value.items())}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return type(value).__name__


def blur(text):
    """Numbers that differ from run to run."""
    return re.sub(r"0x[0-9a-f]+|\b\d+\b", "N", text)
