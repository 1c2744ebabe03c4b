#!/usr/bin/env python3
"""Listens to machines; prints `ok NAME`, `not ok NAME: why` or `skip NAME: why`."""
import array
import os
import pathlib
import shutil
import struct
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests/monitor"))
import talk  # noqa: E402

BUILD = pathlib.Path(os.environ.get("RHEA_BUILD", ROOT / "build/release"))
PROGRAM = BUILD / "src/tools/system/rhea-system-x86_64"
GUEST = ROOT / "scripts/guest"
FOLDER = pathlib.Path(tempfile.mkdtemp(prefix="rhea-sound-"))
PIT_HZ = 1193182
TESTS = []


def test(function):
    TESTS.append(function)
    return function


class Skip(Exception):
    pass


def expect(condition, what):
    if not condition:
        raise AssertionError(what)


def samples_of(path):
    """Rate, channels and the samples of a WAV file, whose sizes may still be those of a second ago."""
    data = path.read_bytes()
    expect(data[:4] == b"RIFF" and data[8:16] == b"WAVEfmt ", f"no WAV: {data[:16]}")
    kind, channels, rate, _, _, bits = struct.unpack("<HHIIHH", data[20:36])
    expect(kind == 1 and bits == 16, f"format {kind}, {bits} bits")
    body = data[44:]
    return rate, channels, array.array("h", body[:len(body) // 2 * 2])


def pitch(rate, channels, samples):
    """Of the loud part: its frequency by counting rises, and its length in seconds."""
    left = samples[::channels]
    loud = [i for i, sample in enumerate(left) if abs(sample) > 1000]
    if not loud:
        return 0, 0
    part = left[loud[0]:loud[-1] + 1]
    rises = sum(1 for a, b in zip(part, part[1:]) if a < 0 <= b)
    return rises * rate / max(1, len(part)), len(part) / rate


def beep(hmp, hertz, seconds):
    divisor = round(PIT_HZ / hertz)
    for port, value in ((0x43, 0xb6), (0x42, divisor & 255), (0x42, divisor >> 8), (0x61, 3)):
        hmp.ask(f"o /b {port:#x} {value:#x}")
    time.sleep(seconds)
    hmp.ask("o /b 0x61 0")


def machine(*words):
    vm = talk.Machine(PROGRAM, FOLDER, "-nic", "none", "-vga", "none", *words)
    return vm, talk.Hmp(vm.connect("hmp"))


def beep_on(audiodev, path, headed=True, hertz=1000, environment=None):
    """A beep on a back end that leaves its samples in a file."""
    before = dict(os.environ)
    os.environ.update(environment or {})
    try:
        vm, hmp = machine("-audiodev", audiodev, "-M", "pc,pcspk-audiodev=snd")
    except AssertionError as why:
        if "this build has no" in str(why):
            raise Skip("this build has no such back end") from None
        raise
    finally:
        os.environ.clear()
        os.environ.update(before)
    try:
        time.sleep(1)
        beep(hmp, hertz, 1.0)
        time.sleep(1)
    finally:
        _, _, err = vm.end()
    expect(path.exists(), f"no {path.name}: {err}")
    rate, channels, samples = samples_of(path) if headed else (44100, 2, array.array("h", path.read_bytes()[:1 << 24]))
    heard, seconds = pitch(rate, channels, samples)
    expect(abs(heard - hertz) < hertz * 0.03 and 0.5 < seconds < 3, f"{heard:.0f} Hz for {seconds:.2f} s")


@test
def speaker_in_a_wav_file():
    beep_on(f"wav,id=snd,path={FOLDER}/speaker.wav", FOLDER / "speaker.wav")
    beep_on(f"wav,id=snd,path={FOLDER}/mono.wav,out.frequency=22050,out.channels=1,in.frequency=22050,in.channels=1",
            FOLDER / "mono.wav", hertz=440)


@test
def speaker_on_alsa():
    """ALSA's own file plug-in behind the default PCM."""
    if not pathlib.Path("/usr/share/alsa/alsa.conf").exists():
        raise Skip("needs libasound2-data")
    path = FOLDER / "alsa.raw"
    (FOLDER / ".asoundrc").write_text(f'pcm.!default {{ type file slave.pcm {{ type null }} file "{path}" format raw }}\n')
    beep_on("alsa,id=snd", path, headed=False, environment={"HOME": str(FOLDER)})


@test
def speaker_on_sdl():
    path = FOLDER / "sdl.raw"
    beep_on("sdl,id=snd", path, headed=False, environment={"SDL_AUDIODRIVER": "disk", "SDL_DISKAUDIOFILE": str(path)})


@test
def speaker_on_pulseaudio():
    if not all(map(shutil.which, ("pulseaudio", "parec", "pactl"))):
        raise Skip("needs pulseaudio")
    home = FOLDER / "pulse"
    home.mkdir()
    environment = dict(os.environ, HOME=str(home), XDG_RUNTIME_DIR=str(home), PULSE_SERVER=f"unix:{home}/native")
    server = subprocess.Popen(["pulseaudio", "-n", "--daemonize=no", "--exit-idle-time=-1", "--use-pid-file=no",
                               "-L", "module-null-sink sink_name=null", "-L",
                               f"module-native-protocol-unix auth-anonymous=1 socket={home}/native"],
                              env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 20
        while subprocess.run(["pactl", "info"], env=environment, capture_output=True).returncode != 0:
            expect(time.monotonic() < end, "no pulseaudio")
            time.sleep(0.3)
        path = FOLDER / "pulse.raw"
        with path.open("wb") as out:
            heard = subprocess.Popen(["parec", "-d", "null.monitor", "--rate=44100", "--channels=2", "--format=s16le"],
                                     env=environment, stdout=out)
            try:
                beep_on(f"pa,id=snd,server=unix:{home}/native", path, headed=False, environment=environment)
            finally:
                heard.terminate()
                heard.wait()
    finally:
        server.terminate()
        server.wait()


@test
def no_sound_server_is_one_line():
    done = subprocess.run([PROGRAM, "-display", "none", "-m", "16", "-audiodev", "pa,id=snd,server=unix:/nonexistent"],
                          capture_output=True, text=True, timeout=30)
    expect(done.returncode == 1 and len(done.stderr.splitlines()) == 1 and "snd" in done.stderr, done.stderr)
    done = subprocess.run([PROGRAM, "-M", "pcspk-audiodev=nobody"], capture_output=True, text=True, timeout=30)
    expect(done.returncode == 1 and "'isa-pcspk.audiodev' can't find value 'nobody'" in done.stderr, done.stderr)


COMMANDS = """
cat /proc/asound/cards
[ -x /usr/bin/amixer ] && for c in Master PCM Line; do amixer -q -c 0 sset $c 100% unmute; done
i=0; while [ $i -lt 3000 ]; do printf '\\377\\377\\377\\377\\000\\000\\000\\000'; i=$((i + 1)); done >/tmp/tone
[ -c /dev/dsp ] || mknod /dev/dsp c 14 3
cat /tmp/tone >/dev/dsp && mark "played"
a=$(cut -d' ' -f1 /proc/uptime); dd if=/dev/dsp of=/tmp/in bs=8000 count=2 2>/dev/null; b=$(cut -d' ' -f1 /proc/uptime)
echo "recorded $(wc -c </tmp/in) bytes from $a to $b, $(tr -d '\\200' </tmp/in | wc -c) of them no silence"
mark "all done"
"""


@test
def a_guest_plays_and_records_through_hda():
    found = subprocess.run([GUEST / "fetch-kernel.sh", "--modules", "amd64"], capture_output=True, text=True)
    lines = found.stdout.split()
    if found.returncode != 0 or len(lines) < 2:
        raise Skip(found.stderr.strip().splitlines()[-1] if found.stderr.strip() else "no kernel")
    kernel, modules = lines[:2]
    (FOLDER / "commands.sh").write_text(COMMANDS)
    # A codec with volume is mute until somebody says otherwise.
    mixer = shutil.which("amixer")
    tools = ["--program", mixer, "--tree", "/usr/share/alsa"] if mixer else []
    made = subprocess.run([GUEST / "make-initramfs.sh", "--mode", "commands", "--commands", FOLDER / "commands.sh", "--modules",
                           modules, "snd-hda-codec-generic,snd-hda-intel,snd-pcm-oss", *tools, FOLDER / "initramfs.gz"], capture_output=True, text=True)
    expect(made.returncode == 0, made.stderr)
    cards = {"audio": ["-audio", f"wav,path={FOLDER}/audio.wav,model=hda"],
             "micro": ["-audiodev", f"wav,id=a,path={FOLDER}/micro.wav", "-device", "intel-hda", "-device", "hda-micro,mixer=off"]}
    for name, words in cards.items():
        done = subprocess.run([PROGRAM, "-nodefaults", "-display", "none", "-no-reboot", "-cpu", "max", "-m", "256", "-serial",
                               "stdio", "-kernel", kernel, "-initrd", FOLDER / "initramfs.gz", "-append",
                               "console=ttyS0 quiet panic=-1", *words], capture_output=True, text=True, timeout=120, errors="replace")
        expect("@@all done" in done.stdout and "@@played" in done.stdout, f"{name}: {done.stdout[-800:]}{done.stderr}")
        record = [line for line in done.stdout.splitlines() if line.startswith("recorded")][0].split()
        taken = float(record[6].rstrip(",")) - float(record[4])
        expect(record[1] == "16000" and 1.5 < taken < 8, " ".join(record))
        if name == "audio" and not mixer:
            continue
        heard, seconds = pitch(*samples_of(FOLDER / f"{name}.wav"))
        expect(abs(heard - 1000) < 50 and seconds > 2, f"{name}: {heard:.0f} Hz for {seconds:.2f} s")


def main():
    failed = False
    wanted = sys.argv[1:]
    for function in TESTS:
        name = "sound/" + function.__name__
        if wanted and not any(w in name for w in wanted):
            continue
        try:
            function()
            print("ok", name, flush=True)
        except Skip as why:
            print(f"skip {name}: {why}", flush=True)
        except (AssertionError, OSError, IndexError, subprocess.SubprocessError) as why:
            print(f"not ok {name}: {why}", flush=True)
            failed = True
    shutil.rmtree(FOLDER)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
