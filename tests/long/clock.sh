#!/bin/bash
# The guest's clock beside the host's, while every vCPU is busy: a Debian kernel sets its clock from the CMOS clock, as an
# installed system does, and says the time ten times a minute; in ten minutes it must not move by 0.1 s against the host's.
# (How well it is set at the beginning depends on how soon the guest's hwclock runs after the tick that it waits for.)
#
#   tests/long/clock.sh [--minutes N] [OPTIONS OF THE EMULATOR...]      e.g. -rtc driftfix=slew
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$here/../..
. "$here/about.sh"
minutes=10
[[ ${1:-} == --minutes ]] && { minutes=$2; shift 2; }
emulator=${RHEA_SYSTEM:-${RHEA_BUILD:-$root/build/release}/src/tools/system/rhea-system-x86_64}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
kernel=$("$root/scripts/guest/fetch-kernel.sh" cloud-amd64) || exit 77
hwclock=$(PATH=$PATH:/usr/sbin:/sbin command -v hwclock) || { echo "skip clock: needs hwclock"; exit 77; }
cat >"$work/commands" <<COMMANDS
mkdir -p /var/lib/hwclock
$hwclock --hctosys --utc --noadjfile && echo "@@SET"
for i in \$(seq \$(nproc)); do (while :; do sha256sum /bin/busybox >/dev/null; done) & done
n=0
while [ \$n -lt $((minutes * 10 + 1)) ]; do
  for i in 1 2 3 4 5; do echo "@@AT \$(/usr/bin/date +%s.%N)"; done
  sleep 6
  n=\$((n + 1))
done
echo "@@OVER \$(cat /sys/devices/system/clocksource/clocksource0/current_clocksource)"
COMMANDS
rm -f "$work/initramfs"
"$root/scripts/guest/make-initramfs.sh" --mode commands --commands "$work/commands" --program "$hwclock" --program /usr/bin/date "$work/initramfs" || exit 77
cat >"$work/judge.py" <<'PYTHON'
import subprocess, sys, time
guest = subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, bufsize=0)
offsets, group, clock, last = [], [], "?", 0.0
for line in guest.stdout:
    now, words = time.time(), line.decode("utf-8", "replace").strip()
    if words.startswith("@@AT "):
        # A line is late by what the host needed to carry it: the shortest way counts.
        group.append(now - float(words[5:]))
        if len(group) == 5:
            offsets.append(min(group, key=abs))
            group = []
            if len(offsets) % 10 == 1:
                print(f"# {len(offsets) // 10} min: guest behind the host by {offsets[-1]:+.3f} s", flush=True)
    elif words.startswith("@@OVER"):
        clock = words[7:]
    elif "Marking clocksource" in words or "@@SET" in words:
        print("#", words, flush=True)
guest.wait()
if guest.returncode or clock == "?":
    sys.exit(f"not ok clock: the guest did not get to the end ({guest.returncode})")
end = min(offsets[-5:], key=abs)
words = f"{end:+.3f} s at the end, {offsets[0]:+.3f} s at the beginning, at most {max(offsets, key=abs):+.3f} s; clock source {clock}"
good = abs(end - offsets[0]) < 0.1
print(("ok clock: " if good else "not ok clock: ") + words)
sys.exit(not good)
PYTHON
python3 "$work/judge.py" "$emulator" -nodefaults -no-user-config -display none -serial stdio -m 256 -smp 2 -cpu max -kernel "$kernel" \
  -initrd "$work/initramfs" -append "console=ttyS0 quiet panic=-1" -no-reboot "$@"
