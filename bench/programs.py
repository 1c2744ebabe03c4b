"""The benchmark's programs: real Debian programs and kernel-bound loops.

Each entry is (name, group, needs, command). `needs` are programs that must
exist on the host (they go into the guest with their libraries); a missing one
skips the entry. Commands are run by dash (busybox's shell prefers its own
applets to the real programs where /proc is mounted) with /work as
current directory, natively and in the guest, and must print something that
depends on the work alone: its SHA-256 must be equal. {n} is a repeat factor.
"""

# Directories that interpreters and compilers need besides their libraries.
TREES = {
    "/usr/bin/python3": "python3",
    "/usr/bin/perl": "perl",
    "/usr/bin/gcc": "gcc",
}

USER = [
    ("cc1", "integer", ["gcc"], "$CC1 -quiet -O2 -o - source.c | cksum"),
    ("as", "integer", ["as"], "for i in 1 2 3; do as -o big.o big.s; done; cksum <big.o | cut -c1-0; echo ok"),
    ("tcc", "integer", ["tcc"], "for i in 1 2 3 4 5 6 7 8; do tcc -nostdinc -c -o tcc.o plain.c; done; cksum <tcc.o"),
    ("python3", "interpreter", ["python3"], "python3 -S -E work.py"),
    ("python3-json", "interpreter", ["python3"], "python3 -S -E json_work.py"),
    ("perl", "interpreter", ["perl"], "perl work.pl"),
    ("lua", "interpreter", ["lua5.4"], "lua5.4 work.lua"),
    ("luajit", "jit", ["luajit"], "luajit work.lua 4"),
    ("mawk", "interpreter", ["mawk"], "mawk -f work.awk text"),
    ("dash", "interpreter", ["dash"], "dash work.sh"),
    ("sqlite3", "integer", ["sqlite3"], "sqlite3 :memory: <work.sql"),
    ("bc", "integer", ["bc"], "echo 'scale=700; 4*a(1); e(1)' | BC_LINE_LENGTH=0 bc -l"),
    ("xz", "integer", ["xz"], "xz -3 -T1 -c data | cksum"),
    ("xz-d", "integer", ["xz"], "for i in 1 2 3 4 5 6; do xz -dc data.xz; done | cksum"),
    ("gzip", "integer", ["gzip"], "gzip -6 -n -c data | cksum"),
    ("bzip2", "integer", ["bzip2"], "bzip2 -c data | cksum"),
    ("zstd", "integer", ["zstd"], "zstd -q -T1 --single-thread -9 -c data | cksum"),
    ("sort", "integer", ["sort"], "LC_ALL=C sort -S 64M text | cksum"),
    ("grep", "integer", ["grep"], "LC_ALL=C grep -cE '[aeiou]{2}[0-9]+(x|yz)*' text"),
    ("sha256", "simd", ["openssl"], "for i in $(seq 40); do cat data; done | openssl dgst -sha256 -r"),
    ("sha512", "simd", ["openssl"], "for i in $(seq 40); do cat data; done | openssl dgst -sha512 -r"),
    ("aes-ctr", "simd", ["openssl"],
     "for i in $(seq 60); do cat data; done | openssl enc -aes-256-ctr -K 00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff -iv 00000000000000000000000000000001 | cksum"),
    ("chacha20", "simd", ["openssl"],
     "for i in $(seq 40); do cat data; done | openssl enc -chacha20 -K 00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff -iv 00000000000000000000000000000001 | cksum"),
    ("rsa", "integer", ["openssl"], "for i in 1 2 3 4 5 6 7 8 9 10; do openssl dgst -sha256 -sign key.pem data.sig | cksum; done"),
    ("flac", "simd", ["flac"], "flac --totally-silent -8 -c --force-raw-format --endian=little --channels=2 --bps=16 --sample-rate=44100 --sign=signed pcm | cksum"),
    ("x87", "x87", ["./loops"], "./loops x87"),
    ("sse", "simd", ["./loops"], "./loops sse"),
    ("avx2", "simd", ["./loops-avx2"], "./loops-avx2 sse"),
    ("dgemm", "simd", ["./loops-avx2"], "./loops-avx2 dgemm"),
    ("memcpy", "integer", ["./loops"], "./loops memcpy"),
    ("sieve", "integer", ["./loops"], "./loops sieve"),
    ("qsort", "integer", ["./loops"], "./loops qsort"),
]

KERNEL = [
    ("fork-exec", "kernel", ["./kernel"], "./kernel forkexec"),
    ("fork", "kernel", ["./kernel"], "./kernel fork"),
    ("getpid", "kernel", ["./kernel"], "./kernel getpid"),
    ("pipe", "kernel", ["./kernel"], "./kernel pipe"),
    ("page-faults", "kernel", ["./kernel"], "./kernel fault"),
    ("context-switch", "kernel", ["./kernel"], "./kernel switch"),
    ("small-files", "kernel", ["./kernel"], "./kernel files"),
    ("subshells", "kernel", ["dash"], "dash subshells.sh"),
    ("python3-start", "kernel", ["python3"], "for i in $(seq 12); do python3 -S -E -c 'print(1)'; done | cksum"),
]
