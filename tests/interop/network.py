#!/usr/bin/env python3
"""Images over the network: NBD exports of qemu-nbd and nbdkit, files of a web server that knows byte ranges.

network.py BLOCK_TOOL RHEA_IMG
"""
import http.server
import os
import re
import shutil
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time

from common import MIB, Suite, make_raw, same

SIZE = 9 * MIB + 512

BUNDLE = "/etc/ssl/certs/ca-certificates.crt"


class Server:
    """A program that serves until the end of the block."""

    def __init__(self, *command, path=None, port=None):
        self.command, self.path, self.port = [str(word) for word in command], path, port

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(400):
            if self.path is not None and os.path.exists(self.path):
                return self
            if self.port is not None:
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                        return self
            assert self.process.poll() is None, f"{self.command} ended"
            time.sleep(0.05)
        raise AssertionError(f"{self.command} does not serve")

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()
        if self.path and os.path.exists(self.path):
            os.unlink(self.path)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def nbd_server(path, *options, image="served", fmt="raw"):
    return Server("qemu-nbd", "-t", "-e", "16", "-f", fmt, "-k", path, *options, image, path=path)


def unix(path, export=""):
    return f"nbd+unix:///{export}?socket={path}"


def nbd_reads_and_writes(suite):
    make_raw("in.raw", SIZE, 1)
    path = os.path.abspath("s")
    with open("served", "wb") as served:
        served.truncate(SIZE)
    with nbd_server(path):
        suite.run(suite.rhea_img, "convert", "-n", "-f", "raw", "-O", "raw", "in.raw", unix(path))
        suite.run(suite.rhea_img, "convert", "-f", "raw", "-O", "raw", unix(path), "back.raw")
        same("back.raw", "in.raw")
        suite.run(suite.rhea_img, "compare", "-f", "raw", "-F", "raw", "in.raw", unix(path))
        for name in (unix(path), f"nbd:unix:{path}", f'json:{{"driver":"raw","file":{{"driver":"nbd","path":"{path}"}}}}',
                     f'json:{{"driver":"nbd","server":{{"type":"unix","path":"{path}"}}}}'):
            for words in (("info",), ("info", "--output=json"), ("map", "--output=json")):
                their, our = suite.run("qemu-img", *words, name).stdout, suite.run(suite.rhea_img, *words, name).stdout
                assert their == our, f"{words} {name}: {their}{our}"
    same("served", "in.raw")


def nbd_holds_formats(suite):
    make_raw("in.raw", SIZE, 2)
    path = os.path.abspath("s")
    with open("served", "wb") as served:
        served.truncate(2 * SIZE)
    with nbd_server(path):
        suite.run(suite.rhea_img, "create", "-q", "-f", "qcow2", unix(path), SIZE)
        suite.run(suite.rhea_img, "convert", "-n", "-f", "raw", "-O", "qcow2", "in.raw", unix(path))
        suite.run(suite.rhea_img, "check", unix(path))
        suite.run("qemu-img", "compare", "-f", "raw", "-F", "qcow2", "in.raw", unix(path))
        suite.run(suite.rhea_img, "create", "-q", "-f", "qcow2", "-b", unix(path), "-F", "qcow2", "over")
        suite.run("qemu-img", "compare", "-f", "raw", "-F", "qcow2", "in.raw", "over")
        suite.run(suite.rhea_img, "compare", "-f", "raw", "-F", "qcow2", "in.raw", "over")
        full = suite.run(suite.rhea_img, "create", "-q", "-f", "raw", unix(path), 3 * SIZE, check=False)
        assert full.returncode == 1 and "Cannot grow NBD nodes" in full.stderr, full.stderr


def nbd_tcp_and_names(suite):
    make_raw("served", SIZE, 3)
    port = free_port()
    with Server("qemu-nbd", "-t", "-e", "16", "-f", "raw", "-r", "-p", port, "-x", "one export", "served", port=port):
        for name in (f"nbd://127.0.0.1:{port}/one%20export", f"nbd+tcp://localhost:{port}/one%20export",
                     f"nbd:127.0.0.1:{port}:exportname=one export"):
            suite.run(suite.rhea_img, "convert", "-f", "raw", "-O", "raw", name, "back.raw")
            same("back.raw", "served")
            their, our = suite.run("qemu-img", "info", name).stdout, suite.run(suite.rhea_img, "info", name).stdout
            assert their == our, their + our
        wrong = [f"nbd://127.0.0.1:{port}/two", f"nbd:localhost:{free_port()}", "nbd:unix:/nope", "nbd:", "nbd://", "nbd:foo",
                 "nbd+unix:///", "nbd+unix://x", f"nbd://localhost:{port}/one?x=y"]
        for name in wrong:
            their = suite.run("qemu-img", "info", name, check=False)
            our = suite.run(suite.rhea_img, "info", name, check=False)
            assert their.returncode == our.returncode == 1, name
            assert their.stderr.split(": ", 1)[1] == our.stderr.split(": ", 1)[1], their.stderr + our.stderr
        done = suite.run(suite.rhea_img, "bench", "-q", "-w", "-c", "1", "-f", "raw", wrong[0].replace("two", "one%20export"),
                         check=False)
        assert done.returncode == 1 and "Permission denied" in done.stderr, done.stderr


def nbd_of_nbdkit(suite):
    """Servers that lack features: small blocks only, no zeroing, no flush, the handshake of old."""
    if not shutil.which("nbdkit"):
        return
    make_raw("in.raw", SIZE, 4)
    path = os.path.abspath("s")
    for options in ((), ("--no-sr",), ("-n",), ("--mask-handshake=0",), ("--filter=nozero", "--filter=noextents"),
                    ("--filter=blocksize-policy", "blocksize-minimum=4096", "blocksize-error-policy=error"),
                    ("--filter=cow",), ("--filter=delay", "rdelay=1ms")):
        filters = [word for word in options if word.startswith("-")]
        settings = [word for word in options if not word.startswith("-")]
        with open("served", "wb") as served:
            served.truncate(10 * MIB)
        with Server("nbdkit", "-f", "-U", path, *filters, "file", "served", *settings, path=path):
            suite.run(suite.rhea_img, "convert", "-n", "-f", "raw", "-O", "raw", "in.raw", unix(path))
            suite.run(suite.rhea_img, "bench", "-q", "-w", "-c", "3", "-o", 5000, "-s", 777, "--pattern", "5", "-f", "raw", unix(path))
            suite.run(suite.rhea_img, "convert", "-f", "raw", "-O", "raw", unix(path), "back.raw")
        suite.run("cp", "in.raw", "want.raw")
        with open("want.raw", "r+b") as want:
            want.seek(5000)
            want.write(b"\5" * 777 * 3)
        same("back.raw", "want.raw")


def liar(listener, replies):
    """Serves one client with what `replies` says, whatever it asks."""
    connection, _ = listener.accept()
    with connection:
        connection.settimeout(5)
        try:
            for reply in replies:
                connection.sendall(reply)
                time.sleep(0.05)
            connection.recv(1000)
        except OSError:
            pass


def nbd_liars(suite):
    """Servers that talk nonsense are refused with one line."""
    hello = b"NBDMAGICIHAVEOPT" + struct.pack(">H", 3)
    option = lambda number, kind, data=b"": struct.pack(">QIII", 0x3E889045565A9, number, kind, len(data)) + data
    no = option(8, 0x80000001)
    info = lambda size, flags=1: option(7, 3, struct.pack(">HQH", 0, size, flags))
    good = [hello, no, info(MIB), option(7, 1)]
    cases = {
        "silence": [b""],
        "junk": [os.urandom(64)],
        "old": [b"NBDMAGIC" + bytes.fromhex("00420281861253") + bytes(136)],
        "short": [hello[:10]],
        "wrong option": [hello, option(3, 1)],
        "endless reply": [hello, struct.pack(">QIII", 0x3E889045565A9, 8, 1, 0xFFFFFFFF)],
        "no size": [hello, no, option(7, 1)],
        "large": [hello, no, info(1 << 63), option(7, 1)],
        "short info": [hello, no, option(7, 3, b"\0")],
        "block size": [hello, no, info(MIB), option(7, 3, struct.pack(">HIII", 3, 3, 4096, 1 << 25)), option(7, 1)],
        "replies": [hello, no] + [info(MIB)] * 20 + [option(7, 0x80000006, b"no " * 10)],
        "reply to nothing": good + [struct.pack(">IIQ", 0x67446698, 0, 99)],
        "no reply": good + [os.urandom(32)],
        "unexpected structure": good + [struct.pack(">IHHQI", 0x668E33EF, 1, 1, 1, 0xFFFFFFF0)],
        "structure": [hello, option(8, 1), option(10, 1), info(MIB), option(7, 1),
                      struct.pack(">IHHQIQ", 0x668E33EF, 1, 1, 1, 0xFFFFFFF0, 0)],
        "far data": [hello, option(8, 1), option(10, 1), info(MIB), option(7, 1),
                     struct.pack(">IHHQIQ", 0x668E33EF, 1, 1, 1, 9, 1 << 40) + b"x"],
        "data left out": [hello, option(8, 1), option(10, 1), info(MIB), option(7, 1), struct.pack(">IHHQI", 0x668E33EF, 1, 0, 1, 0)],
    }
    for name, replies in cases.items():
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen()
            thread = threading.Thread(target=liar, args=(listener, replies))
            thread.start()
            done = suite.run(suite.rhea_img, "dd", "-f", "raw", f"if=nbd://127.0.0.1:{listener.getsockname()[1]}", "of=out",
                             "bs=64k", "count=1", check=False)
            thread.join()
        assert done.returncode == 1, f"{name}: {done.returncode} {done.stderr}"
        assert 1 <= done.stderr.count("\n") <= 2, f"{name}: {done.stderr}"


def nbd_comes_late_and_again(suite):
    """open-timeout waits for a server, reconnect-delay for one that was killed in the middle of a copy."""
    if not shutil.which("nbdkit"):
        return
    make_raw("in.raw", SIZE, 6)
    path = os.path.abspath("s")
    with open("served", "wb") as served:
        served.truncate(SIZE)
    target = f"driver=raw,file.driver=nbd,file.path={path}"
    command = [suite.rhea_img, "convert", "-n", "-S", "0", "--target-image-opts", "-f", "raw", "in.raw"]
    for number, delay in enumerate(("", ",file.reconnect-delay=60")):
        copy = subprocess.Popen([*command, f"{target},file.open-timeout=60{delay}"], stderr=subprocess.PIPE, text=True)
        time.sleep(0.2)
        with Server("nbdkit", "-f", "-U", path, "--filter=rate", "file", "served", "rate=10M", path=path) as server:
            time.sleep(1.6)
            server.process.kill()
        assert (copy.poll() is None) or not number, copy.stderr.read()
        with Server("nbdkit", "-f", "-U", path, "file", "served", path=path):
            words = copy.communicate(timeout=60)[1]
        assert (copy.returncode == 0) == bool(delay), f"{delay}: {words}"
        assert delay or (words.count("\n") == 1 and "Input/output error" in words), words
    same("served", "in.raw")
    for option, said in (("open-timeout=x", "seconds"), ("reconnect-delay=-1", "seconds"), ("open-timeout=1", "No such file")):
        done = suite.run(suite.rhea_img, "info", "--image-opts", f"driver=nbd,path=/nowhere,{option}", check=False)
        assert done.returncode == 1 and said in done.stderr and done.stderr.count("\n") == 1, done.stderr


class Ranges(http.server.SimpleHTTPRequestHandler):
    """Files with byte ranges, which Python's server lacks; /plain/x without, /moved/x elsewhere, /secret/x for some."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.answer(False)

    def do_GET(self):
        self.answer(True)

    def answer(self, with_body):
        _, *folders, name = self.path.split("/")
        if "moved" in folders or not os.path.exists(name):
            self.send_response(302 if "moved" in folders else 404)
            if "moved" in folders:
                self.send_header("Location", f"/{name}")
            self.send_header("Content-Length", "8")
            self.end_headers()
            if with_body:
                self.wfile.write(b"not here")
            return
        if "secret" in folders and self.headers.get("Authorization") != "Basic dXNlcjphYmM=":
            self.send_response(401)
            self.send_header("WWW-Authenticate", "Basic")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        with open(name, "rb") as file:
            data = file.read()
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if wanted and "plain" not in folders:
            first, last = int(wanted[1]), min(int(wanted[2] or len(data)), len(data) - 1)
            self.send_response(206 if first < len(data) else 416)
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(data)}" if data else "bytes */0")
            data = data[first:last + 1]
        else:
            self.send_response(200)
        if "plain" not in folders:
            self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if with_body:
            self.wfile.write(data)


def web(suite):
    make_raw("in.raw", SIZE, 5)
    suite.run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", "in.raw", "x.qcow2")
    suite.run("qemu-img", "create", "-q", "-f", "qcow2", "-b", "x.qcow2", "-F", "qcow2", "over.qcow2")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Ranges)
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # a client that hangs up is none
    threading.Thread(target=server.serve_forever, daemon=True).start()
    base = f"http://127.0.0.1:{server.server_port}"
    try:
        for name in (f"{base}/x.qcow2", f"{base}/moved/x.qcow2", f"{base}/over.qcow2",
                     f'json:{{"file.driver":"http","file.url":"{base}/x.qcow2","file.readahead":65536}}'):
            done = suite.run(suite.rhea_img, "convert", "-O", "raw", name, "back.raw", check=False)
            if "libcurl" in done.stderr:
                print("skip interop/network/web: libcurl is not installed")
                return
            assert done.returncode == 0, f"{name}: {done.stderr}"
            same("back.raw", "in.raw")
        suite.run(suite.rhea_img, "compare", "-f", "raw", "-F", "raw", "in.raw", f"{base}/in.raw")
        our = suite.run(suite.rhea_img, "info", f"{base}/x.qcow2").stdout
        assert f"image: {base}/x.qcow2\nfile format: qcow2\n" in our and "disk size: unavailable" in our, our
        secret = ["--object", "secret,id=s,data=abc"]
        named = f"driver=raw,file.driver=http,file.url={base}/secret/in.raw,file.username=user,file.password-secret=s"
        suite.run(suite.rhea_img, "convert", *secret, "--image-opts", "-O", "raw", named, "back.raw")
        same("back.raw", "in.raw")
        for name, text in ((f"{base}/plain/in.raw", "does not support 'range'"), (f"{base}/nothing", "404"),
                           (f"{base}/secret/in.raw", "401"), (f"http://127.0.0.1:{free_port()}/x", "Failed to connect")):
            done = suite.run(suite.rhea_img, "info", name, check=False)
            assert done.returncode == 1 and text in done.stderr, done.stderr
        done = suite.run(suite.rhea_img, "bench", "-w", "-f", "raw", f"{base}/in.raw", check=False)
        assert done.returncode == 1 and "can only be read" in done.stderr, done.stderr
    finally:
        server.shutdown()


def certificate(suite, name, subject):
    suite.run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=rhea", "-addext", f"subjectAltName={subject}",
              "-keyout", f"{name}.key", "-out", f"{name}.pem")


def trusting(suite, authority, *words):
    """rhea-img where the host's list of authorities is that file, in a mount name space of its own."""
    script = f"mount --bind {authority} {BUNDLE} && exec \"$@\""
    return suite.run("unshare", "-m", "sh", "-c", script, "sh", suite.rhea_img, *words, check=False)


def web_tls(suite):
    """https: refused without a certificate to trust, read with one, for the right name, or when told not to look."""
    make_raw("in.raw", SIZE, 5)
    suite.run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", "in.raw", "x.qcow2")
    if not shutil.which("openssl"):
        print("skip interop/network/web_tls: openssl is not installed")
        return
    certificate(suite, "right", "IP:127.0.0.1")
    certificate(suite, "other", "DNS:elsewhere.example")
    servers = {}
    for name in ("right", "other"):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(f"{name}.pem", f"{name}.key")
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Ranges)
        server.daemon_threads = True
        server.handle_error = lambda *_: None
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers[name] = server
    base = {name: f"https://127.0.0.1:{server.server_port}" for name, server in servers.items()}
    try:
        done = suite.run(suite.rhea_img, "info", f"{base['right']}/x.qcow2", check=False)
        if "libcurl" in done.stderr:
            print("skip interop/network/web_tls: libcurl is not installed")
            return
        assert done.returncode == 1 and "certificate" in done.stderr and done.stderr.count("\n") == 1, done.stderr
        for name in (f'json:{{"driver":"qcow2","file":{{"driver":"https","url":"{base["right"]}/x.qcow2","sslverify":false}}}}',
                     f'json:{{"file.driver":"https","file.url":"{base["other"]}/x.qcow2","file.sslverify":"off"}}'):
            suite.run(suite.rhea_img, "convert", "-O", "raw", name, "back.raw")
            same("back.raw", "in.raw")
        if os.geteuid() != 0 or not os.path.exists(BUNDLE):
            print(f"skip interop/network/web_tls: another list of authorities needs root and {BUNDLE}")
            return
        done = trusting(suite, "right.pem", "convert", "-O", "raw", f"{base['right']}/x.qcow2", "back.raw")
        assert done.returncode == 0, done.stderr
        same("back.raw", "in.raw")
        done = trusting(suite, "other.pem", "info", f"{base['other']}/x.qcow2")
        assert done.returncode == 1 and done.stderr.count("\n") == 1, f"for another name: {done.stderr}{done.stdout}"
    finally:
        for server in servers.values():
            server.shutdown()


def tls_folder(suite, name, authority, subject):
    """What either program wants of a folder: an authority's certificate, and one of its own that it signed."""
    os.makedirs(name)
    suite.run("cp", f"{authority}.pem", f"{name}/ca-cert.pem")
    for role in ("server", "client"):
        suite.run("openssl", "req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN=rhea {role}", "-keyout", f"{name}/{role}-key.pem", "-out", "request")
        with open("extensions", "w", encoding="ascii") as extensions:
            extensions.write(f"subjectAltName={subject}\nextendedKeyUsage={role}Auth\n")
        suite.run("openssl", "x509", "-req", "-days", "2", "-in", "request", "-CA", f"{authority}.pem", "-CAkey", f"{authority}.key",
                  "-CAcreateserial", "-extfile", "extensions", "-out", f"{name}/{role}-cert.pem")


def nbd_tls(suite):
    """Exports over TLS: read and written with the right certificates, refused with others, as qemu-img does."""
    if not shutil.which("openssl"):
        print("skip interop/network/nbd_tls: openssl is not installed")
        return
    make_raw("in.raw", SIZE, 9)
    for authority in ("ours", "theirs"):
        suite.run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={authority}",
                  "-addext", "basicConstraints=critical,CA:true", "-keyout", f"{authority}.key", "-out", f"{authority}.pem")
    tls_folder(suite, "good", "ours", "IP:127.0.0.1,DNS:localhost,DNS:images.example")
    tls_folder(suite, "strange", "theirs", "IP:127.0.0.1")
    suite.run("mkdir", "bare")
    suite.run("cp", "ours.pem", "bare/ca-cert.pem")

    def run(program, folder, options, *words, more=""):
        command, *rest = words
        object_ = f"tls-creds-x509,id=t,dir={os.path.abspath(folder)},endpoint=client{more}"
        named = f"driver=raw,file.driver=nbd,file.tls-creds=t,{options}"
        return suite.run(program, command, "--object", object_, "--image-opts", *rest, named, check=False)

    port, path = free_port(), os.path.abspath("s")
    here = f"file.host=127.0.0.1,file.port={port}"
    with open("served", "wb") as served:
        served.truncate(SIZE)
    demand = ["--object", f"tls-creds-x509,id=t,dir={os.path.abspath('good')},endpoint=server,verify-peer=on", "--tls-creds", "t"]
    with Server("qemu-nbd", "-t", "-e", "16", "-f", "raw", *demand, "-p", port, "served", port=port):
        done = suite.run(suite.rhea_img, "convert", "--object", f"tls-creds-x509,id=t,dir={os.path.abspath('good')},endpoint=client",
                         "-n", "--target-image-opts", "-f", "raw", "in.raw", f"driver=raw,file.driver=nbd,file.tls-creds=t,{here}", check=False)
        if "libssl" in done.stderr:
            print("skip interop/network/nbd_tls: libssl is not installed")
            return
        assert done.returncode == 0, done.stderr
        same("served", "in.raw")
        for folder, options, more, works in (("good", here, "", True), ("good", f"file.host=localhost,file.port={port}", "", True),
                                             ("good", f"{here},file.tls-hostname=images.example", "", True),
                                             ("good", f"{here},file.tls-hostname=elsewhere.example", "", False),
                                             ("strange", here, "", False), ("bare", here, "", False), ("none", here, "", False),
                                             ("good", f"{here},file.tls-hostname=elsewhere.example", ",verify-peer=off", True)):
            for program in ("qemu-img", suite.rhea_img):
                done = run(program, folder, options, "info", more=more)
                what = f"{program} {folder} {options}{more}"
                assert (done.returncode == 0) == works, f"{what}: {done.returncode} {done.stderr}"
                assert works or program == "qemu-img" or done.stderr.count("\n") == 1, f"{what}: {done.stderr}"
        plain = suite.run(suite.rhea_img, "info", f"nbd://127.0.0.1:{port}", check=False)
        assert plain.returncode == 1 and "TLS" in plain.stderr and plain.stderr.count("\n") == 1, plain.stderr
    if shutil.which("nbdkit"):
        with Server("nbdkit", "-f", "-U", path, "--tls=require", f"--tls-certificates={os.path.abspath('good')}", "file", "served", path=path):
            named = f"driver=raw,file.driver=nbd,file.path={path},file.tls-creds=t,file.tls-hostname=localhost"
            suite.run(suite.rhea_img, "convert", "--object", f"tls-creds-x509,id=t,dir={os.path.abspath('bare')}", "--image-opts", "-O", "raw",
                      named, "back.raw")
            same("back.raw", "in.raw")
            nameless = suite.run(suite.rhea_img, "info", "--object", f"tls-creds-x509,id=t,dir={os.path.abspath('bare')}", "--image-opts",
                                 named.replace(",file.tls-hostname=localhost", ""), check=False)
            assert nameless.returncode == 1 and "hostname" in nameless.stderr, nameless.stderr
    with nbd_server(path, image="served"):
        none = run(suite.rhea_img, "good", f"file.path={path},file.tls-hostname=localhost", "info")
        assert none.returncode == 1 and "start TLS" in none.stderr and none.stderr.count("\n") == 1, none.stderr


def nbd_shared_key(suite):
    """TLS with a key that both sides know; a server with another key, or with a certificate instead, is refused."""
    if not shutil.which("openssl"):
        return
    path = os.path.abspath("s")
    key = "00112233445566778899aabbccddeeff" * 2
    for folder, text in (("psk", f"qemu:{key}\nalice:{key[::-1]}\n"), ("wrong", f"qemu:{key[::-1]}\n"), ("bad", "qemu:00zz\n")):
        os.makedirs(folder)
        with open(f"{folder}/keys.psk", "w", encoding="ascii") as file:
            file.write(text)
    make_raw("in.raw", SIZE, 5)
    with open("served", "wb") as served:
        served.truncate(SIZE)
    named = f"driver=raw,file.driver=nbd,file.path={path},file.tls-creds=t"

    def info(credentials):
        return suite.run(suite.rhea_img, "info", "--object", f"tls-creds-psk,id=t,dir={credentials},endpoint=client", "--image-opts", named, check=False)

    with nbd_server(path, "--object", f"tls-creds-psk,id=t,dir={os.path.abspath('psk')},endpoint=server", "--tls-creds", "t"):
        done = info("psk")
        if "libssl" in done.stderr:
            print("skip interop/network/nbd_shared_key: libssl is not installed")
            return
        suite.run(suite.rhea_img, "convert", "-n", "--object", "tls-creds-psk,id=t,dir=psk", "--target-image-opts", "-f", "raw", "in.raw", named)
        same("served", "in.raw")
        for credentials, works in (("psk", True), ("psk,username=alice", True), ("wrong", False), ("psk,username=bob", False), ("bad", False), ("none", False)):
            done = info(credentials)
            assert (done.returncode == 0) == works and done.stderr.count("\n") == (0 if works else 1), f"{credentials}: {done.stderr}"
    suite.run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=ours", "-addext", "basicConstraints=critical,CA:true",
              "-keyout", "ours.key", "-out", "ours.pem")
    tls_folder(suite, "certified", "ours", "DNS:localhost")
    with nbd_server(path, "--object", f"tls-creds-x509,id=t,dir={os.path.abspath('certified')},endpoint=server,verify-peer=off", "--tls-creds", "t"):
        done = info("psk")
        assert done.returncode == 1 and "TLS handshake failed" in done.stderr, done.stderr


def protocol_names(suite):
    make_raw("in.raw", MIB, 6)
    for name in ("driver=file,filename=in.raw", "driver=null-co", "driver=raw,file.driver=null-co"):
        for words in (("info", "--image-opts"), ("info", "--output=json", "--image-opts")):
            their, our = suite.run("qemu-img", *words, name).stdout, suite.run(suite.rhea_img, *words, name).stdout
            assert their == our, their + our


def devices(suite):
    """Block devices of the host, where there may be any: they keep what they held and cannot grow."""
    make_raw("in.raw", SIZE, 7)
    with open("backing", "wb") as backing:
        backing.write(os.urandom(16 * MIB))
    made = suite.run("losetup", "-f", "--show", "backing", check=False)
    if made.returncode != 0:
        print("skip interop/network/devices: no loop devices here")
        return
    device = made.stdout.strip()
    try:
        for words in (("info", device), ("info", "--output=json", "--image-opts", f"driver=host_device,filename={device}"),
                      ("info", "--image-opts", f"driver=file,filename={device}"),
                      ("info", "--image-opts", "driver=host_device,filename=in.raw")):
            their = suite.run("qemu-img", *words, check=False)
            our = suite.run(suite.rhea_img, *words, check=False)
            assert their.stdout == our.stdout, their.stdout + our.stdout
            assert their.stderr.partition(":")[2] == our.stderr.partition(":")[2], their.stderr + our.stderr
        suite.run(suite.rhea_img, "convert", "-O", "raw", "in.raw", device)
        suite.run("qemu-img", "compare", "-f", "raw", "-F", "raw", "in.raw", device, check=False)
        with open(device, "rb") as there, open("in.raw", "rb") as want:
            assert there.read(SIZE) == want.read(), "holes of the source are zeros on the device"
        suite.run(suite.rhea_img, "create", "-q", "-f", "qcow2", device, "8M")
        suite.run(suite.rhea_img, "bench", "-q", "-w", "-c", "20", "-t", "none", "-i", "native", "--pattern", "3", "-f", "qcow2",
                  device)
        suite.run("qemu-io", "-f", "qcow2", "-c", "read -P 3 0 80k", device)
        suite.run("qemu-img", "check", "-f", "qcow2", device)
        large = suite.run(suite.rhea_img, "create", "-q", "-f", "raw", device, "32M", check=False)
        assert large.returncode == 1 and large.stderr.count("\n") == 1, large.stderr
    finally:
        suite.run("losetup", "-d", device)


def engines(suite):
    """The ways to the kernel give the same content."""
    make_raw("in.raw", SIZE, 8)
    for engine, cache in (("threads", "writeback"), ("io_uring", "writeback"), ("io_uring", "none"), ("native", "none")):
        words = ["bench", "-q", "-w", "-c", "200", "-d", "8", "-s", "3000", "-i", engine, "-t", cache, "--pattern", "9", "-f", "raw"]
        suite.run("cp", "in.raw", "x.raw")
        done = suite.run(suite.rhea_img, *words, "x.raw", check=False)
        if "is not available" in done.stderr:
            print(f"skip interop/network/engines: {done.stderr}")
            continue
        assert done.returncode == 0, done.stderr
        suite.run("cp", "in.raw", "want.raw")
        with open("want.raw", "r+b") as want:
            want.write(b"\t" * 600000)
        same("x.raw", "want.raw")
        name = f"driver=raw,file.filename=x.raw,file.aio={engine},file.cache.direct={'on' if cache == 'none' else 'off'}"
        suite.run(suite.rhea_img, "convert", "--image-opts", "-O", "raw", name, "back.raw")
        same("back.raw", "want.raw")
    done = suite.run(suite.rhea_img, "-T", "file_*", "info", "in.raw")
    assert "file_open in.raw" in done.stderr and "file_read in.raw" in done.stderr, done.stderr


def main():
    suite = Suite(sys.argv[1], sys.argv[2])
    for function in (nbd_reads_and_writes, nbd_holds_formats, nbd_tcp_and_names, nbd_of_nbdkit, nbd_liars, nbd_comes_late_and_again, nbd_tls, nbd_shared_key, web, web_tls,
                     protocol_names, devices, engines):
        suite.case(f"network/{function.__name__}", function)
    sys.exit(1 if suite.failed else 0)


main()
