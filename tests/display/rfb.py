"""A VNC viewer: keeps the picture that a server sends, in any of its encodings; types and points.

RFC 6143 and rfbproto; RFC 6455 for servers that speak WebSocket.
"""
import base64
import hashlib
import os
import socket
import struct
import subprocess
import zlib

RAW, HEXTILE, ZLIB, TIGHT, ZRLE = 0, 5, 6, 7, 16
DESKTOP_SIZE, EXTENDED_SIZE, EXTENDED_KEYS = -223, -308, -258
NAMES = {RAW: "Raw", HEXTILE: "Hextile", ZLIB: "Zlib", TIGHT: "Tight", ZRLE: "ZRLE"}


class Refused(Exception):
    pass


def vnc_proof(challenge, password):
    """DES, with the bits of each byte of the password the other way round."""
    key = bytes(int(f"{byte:08b}"[::-1], 2) for byte in password.encode()[:8].ljust(8, b"\0"))
    return subprocess.run(["openssl", "enc", "-des-ecb", "-nopad", "-K", key.hex(), "-provider", "legacy", "-provider", "default"],
                          input=challenge, capture_output=True, check=True).stdout


class Plain:
    def __init__(self, client):
        self.client = client

    def read(self, count):
        data = b""
        while len(data) < count:
            more = self.client.recv(count - len(data))
            if not more:
                raise Refused("hung up")
            data += more
        return data

    def write(self, data):
        self.client.sendall(data)


class WebSocket(Plain):
    def __init__(self, client):
        super().__init__(client)
        self.rest = b""
        key = base64.b64encode(os.urandom(16)).decode()
        client.sendall(("GET /websockify HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n"
                        "Sec-WebSocket-Protocol: binary\r\n\r\n").encode())
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += super().read(1)
        proof = base64.b64encode(hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest())
        if b" 101 " not in head or proof not in head:
            raise Refused(head)

    def read(self, count):
        while len(self.rest) < count:
            kind, length = super().read(2)
            if length == 126:
                length, = struct.unpack(">H", super().read(2))
            elif length == 127:
                length, = struct.unpack(">Q", super().read(8))
            data = super().read(length)
            if kind & 15 == 8:
                raise Refused("closed")
            self.rest += data
        data, self.rest = self.rest[:count], self.rest[count:]
        return data

    def write(self, data):
        mask = os.urandom(4)
        head = struct.pack(">BB", 0x82, 0x80 | len(data)) if len(data) < 126 else struct.pack(">BBH", 0x82, 0xfe, len(data))
        super().write(head + mask + bytes(byte ^ mask[i % 4] for i, byte in enumerate(data)))


class Client:
    def __init__(self, place, password=None, shared=True, websocket=False, encodings=(RAW,)):
        """place: a UNIX path, a (host, port), or a socket that is connected."""
        if isinstance(place, socket.socket):
            self.socket = place
        elif isinstance(place, tuple):
            self.socket = socket.create_connection(place, 20)
        else:
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.connect(str(place))
        self.socket.settimeout(20)
        self.line = (WebSocket if websocket else Plain)(self.socket)
        self.handshake(password, shared)
        self.inflaters = {}
        self.seen = []  # pseudo encodings, as (encoding, x, y, width, height)
        self.set_encodings(encodings)

    def close(self):
        self.socket.close()

    def unpack(self, form):
        return struct.unpack(form, self.line.read(struct.calcsize(form)))

    def reason(self):
        return self.line.read(self.unpack(">I")[0]).decode()

    def handshake(self, password, shared):
        self.version = self.line.read(12)
        self.line.write(b"RFB 003.008\n")
        count, = self.unpack("B")
        if count == 0:
            raise Refused(self.reason())
        kinds = self.line.read(count)
        kind = 2 if password is not None else 1
        if kind not in kinds:
            raise Refused(f"security types {list(kinds)}")
        self.line.write(bytes([kind]))
        if kind == 2:
            self.line.write(vnc_proof(self.line.read(16), password))
        if self.unpack(">I") != (0,):
            raise Refused(self.reason())
        self.line.write(bytes([shared]))
        self.width, self.height = self.unpack(">HH")
        self.format = self.line.read(16)
        self.name = self.reason()
        self.picture = bytearray(self.width * self.height * 4)

    def set_encodings(self, encodings):
        self.line.write(struct.pack(f">BxH{len(encodings)}i", 2, len(encodings), *encodings))

    def ask(self, incremental=False):
        self.line.write(struct.pack(">BBHHHH", 3, incremental, 0, 0, self.width, self.height))

    def key(self, symbol, down=None):
        for way in ([1, 0] if down is None else [down]):
            self.line.write(struct.pack(">BBxxI", 4, way, symbol))

    def extended_key(self, symbol, number):
        for way in (1, 0):
            self.line.write(struct.pack(">BBHII", 255, 0, way, symbol, number))

    def pointer(self, x, y, buttons=0):
        self.line.write(struct.pack(">BBHH", 5, buttons, x, y))

    def cut_text(self, text):
        self.line.write(struct.pack(">BxxxI", 6, len(text)) + text)

    def resize(self, width, height):
        self.line.write(struct.pack(">BxHHBxIHHHHI", 251, width, height, 1, 0, 0, 0, width, height, 0))

    def rgb(self):
        """The picture as in a PPM."""
        out = bytearray(self.width * self.height * 3)
        for i in range(3):
            out[i::3] = self.picture[2 - i::4]
        return bytes(out)

    def see_all(self):
        """Asks for all of the picture; follows it when it changes its size."""
        while True:
            size = self.width, self.height
            self.ask()
            if self.update() and size == (self.width, self.height):
                return

    def update(self):
        """One FramebufferUpdate; how many rectangles of it were pixels."""
        while True:
            kind, = self.unpack("B")
            if kind == 0:
                break
            if kind == 3:
                self.unpack(">xxx")
                self.reason()
            elif kind != 2:
                raise AssertionError(f"message {kind}")
        pixels = 0
        for _ in range(self.unpack(">xH")[0]):
            x, y, width, height, encoding = self.unpack(">HHHHi")
            if encoding in (DESKTOP_SIZE, EXTENDED_SIZE):
                if encoding == EXTENDED_SIZE:
                    self.line.read(3 + 16 * self.unpack("B")[0])
                if (width, height) != (self.width, self.height):
                    self.width, self.height = width, height
                    self.picture = bytearray(width * height * 4)
                self.seen.append((encoding, x, y, width, height))
            elif encoding == EXTENDED_KEYS:
                self.seen.append((encoding, x, y, width, height))
            else:
                self.rectangle(encoding, x, y, width, height)
                pixels += 1
        return pixels

    def put(self, x, y, width, height, data):
        """data: B G R X, row by row."""
        for row in range(height):
            at = ((y + row) * self.width + x) * 4
            self.picture[at:at + width * 4] = data[row * width * 4:(row + 1) * width * 4]

    def rectangle(self, encoding, x, y, width, height):
        if encoding == RAW:
            self.put(x, y, width, height, self.line.read(width * height * 4))
        elif encoding == ZLIB:
            self.put(x, y, width, height, self.inflate("zlib", self.line.read(self.unpack(">I")[0])))
        elif encoding == HEXTILE:
            self.hextile(x, y, width, height)
        elif encoding == TIGHT:
            self.tight(x, y, width, height)
        elif encoding == ZRLE:
            self.zrle(x, y, width, height, self.inflate("zrle", self.line.read(self.unpack(">I")[0])))
        else:
            raise AssertionError(f"encoding {encoding}")

    def inflate(self, stream, data):
        return self.inflaters.setdefault(stream, zlib.decompressobj()).decompress(data)

    def hextile(self, left, top, width, height):
        back = fore = bytes(4)
        for y in range(top, top + height, 16):
            for x in range(left, left + width, 16):
                w, h = min(16, left + width - x), min(16, top + height - y)
                flags, = self.unpack("B")
                if flags & 1:
                    self.put(x, y, w, h, self.line.read(w * h * 4))
                    continue
                back = self.line.read(4) if flags & 2 else back
                fore = self.line.read(4) if flags & 4 else fore
                self.put(x, y, w, h, back * (w * h))
                for _ in range(self.unpack("B")[0] if flags & 8 else 0):
                    colour = self.line.read(4) if flags & 16 else fore
                    at, size = self.unpack("BB")
                    sw, sh = (size >> 4) + 1, (size & 15) + 1
                    self.put(x + (at >> 4), y + (at & 15), sw, sh, colour * (sw * sh))

    def compact(self):
        value = 0
        for shift in (0, 7, 14):
            byte, = self.unpack("B")
            value |= (byte & (0x7f if shift < 14 else 0xff)) << shift
            if byte < 128:
                break
        return value

    def tight_data(self, stream, count):
        if count < 12:
            return self.line.read(count)
        return self.inflate(("tight", stream), self.line.read(self.compact()))

    def tight(self, x, y, width, height):
        control, = self.unpack("B")
        for stream in range(4):
            if control >> stream & 1:
                self.inflaters.pop(("tight", stream), None)
        control >>= 4
        pixel = lambda rgb: rgb[2::-1] + b"\0"
        if control == 8:
            self.put(x, y, width, height, pixel(self.line.read(3)) * (width * height))
            return
        assert control < 8, f"tight control {control}"
        kind = self.unpack("B")[0] if control & 4 else 0
        if kind == 0:
            rgb = self.tight_data(control & 3, width * height * 3)
            data = b"".join(pixel(rgb[i:i + 3]) for i in range(0, len(rgb), 3))
        else:
            assert kind == 1, f"tight filter {kind}"
            colours = self.line.read((self.unpack("B")[0] + 1) * 3)
            palette = [pixel(colours[i:i + 3]) for i in range(0, len(colours), 3)]
            if len(palette) == 2:
                stride = (width + 7) // 8
                bits = self.tight_data(control & 3, stride * height)
                data = b"".join(palette[bits[row * stride + i // 8] >> (7 - i % 8) & 1]
                                for row in range(height) for i in range(width))
            else:
                data = b"".join(palette[i] for i in self.tight_data(control & 3, width * height))
        self.put(x, y, width, height, data)

    def zrle(self, left, top, width, height, data):
        at = 0

        def take(count):
            nonlocal at
            at += count
            return data[at - count:at]

        def run():
            length = 1
            while True:
                byte = take(1)[0]
                length += byte
                if byte != 255:
                    return length

        for y in range(top, top + height, 64):
            for x in range(left, left + width, 64):
                w, h = min(64, left + width - x), min(64, top + height - y)
                kind = take(1)[0]
                palette = [take(3) + b"\0" for _ in range(kind & 127)]
                if kind == 0:
                    out = b"".join(take(3) + b"\0" for _ in range(w * h))
                elif kind == 1:
                    out = palette[0] * (w * h)
                elif kind <= 16:
                    bits = 1 if kind == 2 else 2 if kind <= 4 else 4
                    out = b""
                    for _ in range(h):
                        row = take((w * bits + 7) // 8)
                        out += b"".join(palette[row[i * bits // 8] >> (8 - bits - i * bits % 8) & ((1 << bits) - 1)]
                                        for i in range(w))
                else:
                    assert kind >= 128, f"ZRLE tile {kind}"
                    out, pixels = b"", 0
                    while pixels < w * h:
                        if kind == 128:
                            colour, length = take(3) + b"\0", run()
                        else:
                            index = take(1)[0]
                            colour, length = palette[index & 127], run() if index & 128 else 1
                        out += colour * length
                        pixels += length
                self.put(x, y, w, h, out)
        assert at == len(data), "bytes left over"
