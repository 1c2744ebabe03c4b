"""What tests of screens share: machines, and pictures of them."""
import pathlib
import struct
import sys
import time
import zlib

sys.path[1:1] = [str(pathlib.Path(__file__).parent.parent), str(pathlib.Path(__file__).parent.parent / "monitor")]
import talk  # noqa: E402
from harness import BUILD, PROGRAM, Skip, Suite, expect  # noqa: E402, F401

suite = Suite("display", talk.Machine.end_all)
test, FOLDER = suite.test, suite.folder


def read_ppm(path):
    data = path.read_bytes()
    magic, size, most, pixels = data.split(b"\n", 3)
    expect(magic == b"P6" and most == b"255", f"no PPM: {data[:20]}")
    width, height = map(int, size.split())
    expect(len(pixels) == width * height * 3, "cut off")
    return width, height, pixels


def read_png(path):
    """Size and pixels; undoes the filters 1 and 2, which are all that is written."""
    data = path.read_bytes()
    expect(data[:8] == b"\x89PNG\r\n\x1a\n", "no PNG")
    width, height = struct.unpack(">II", data[16:24])
    at, packed = 8, b""
    while at < len(data):
        length, kind = struct.unpack(">I4s", data[at:at + 8])
        body = data[at + 8:at + 8 + length]
        expect(struct.unpack(">I", data[at + 8 + length:at + 12 + length])[0] == zlib.crc32(kind + body), "CRC")
        packed += body if kind == b"IDAT" else b""
        at += 12 + length
    raw, stride, above, rows = zlib.decompress(packed), width * 3, bytes(width * 3), []
    for y in range(height):
        kind, row = raw[y * (stride + 1)], bytearray(raw[y * (stride + 1) + 1:(y + 1) * (stride + 1)])
        for i in range(stride):
            row[i] = (row[i] + (above[i] if kind == 2 else row[i - 3] if i >= 3 else 0)) & 255
        rows.append(bytes(row))
        above = rows[-1]
    return width, height, b"".join(rows)


def dump(hmp, name, words=""):
    path = FOLDER / name
    path.unlink(missing_ok=True)
    answer = hmp.ask(f"screendump {path} {words}".rstrip())
    expect(answer == "", answer)
    return read_png(path) if words else read_ppm(path)


def lit(pixels):
    return len(pixels) - pixels.count(0)


def wait_for_picture(hmp, good, seconds=30):
    end = time.monotonic() + seconds
    while True:
        picture = dump(hmp, "screen.ppm")
        if good(*picture):
            return picture
        expect(time.monotonic() < end, f"only {picture[0]}x{picture[1]} with {lit(picture[2])} lit")
        time.sleep(0.2)


def machine(*words, **more):
    return talk.Machine(PROGRAM, FOLDER, *words, **more)
