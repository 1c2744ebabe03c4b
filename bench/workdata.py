"""Input files of the benchmark, made deterministically in one directory."""
import os
import random
import struct
import subprocess

DRIVER = """\
. /work/env.sh
stty -echo -icanon min 1 2>/dev/null
stty icanon 2>/dev/null
echo 1 >/proc/sys/kernel/printk
while :; do
  echo "@@ready"
  read -r name || exit
  [ "$name" = quit ] && exit
  /usr/bin/dash /work/programs/$name.sh >/dev/shm/out 2>/dev/shm/err
  code=$?
  echo "@@end"
  read -r answer
  set -- $(sha256sum </dev/shm/out)
  echo "@@$code $1"
  [ $code = 0 ] || head -5 /dev/shm/err
done
"""

ENVIRONMENT = """\
export PATH=/usr/bin:/usr/sbin:/bin:/sbin HOME=/root LC_ALL=C OPENSSL_CONF=/dev/null PYTHONHASHSEED=0 TZ=UTC
cd /work
"""

PYTHON = """\
import hashlib
def fib(n): return n if n < 2 else fib(n - 1) + fib(n - 2)
class Node:
    def __init__(self, key): self.key, self.left, self.right = key, None, None
def insert(root, key):
    while True:
        if key < root.key:
            if root.left is None: root.left = Node(key); return
            root = root.left
        else:
            if root.right is None: root.right = Node(key); return
            root = root.right
def total(node): return 0 if node is None else node.key + total(node.left) + total(node.right)
seed, root, words = 12345, Node(1 << 30), {}
for i in range(40000):
    seed = (seed * 1103515245 + 12345) & 0x7fffffff
    insert(root, seed)
    words[str(seed % 5000)] = words.get(str(seed % 5000), 0) + 1
h = hashlib.sha256(repr(sorted(words.items())).encode()).hexdigest()
print(fib(24), total(root), h, sum(x * x % 7 for x in range(400000)))
"""

PYTHON_JSON = """\
import json, re
data = {'list': [{'id': i, 'name': 'item %d' % i, 'value': i * 0.37, 'tags': ['a%d' % (i % 7), 'b']} for i in range(6000)]}
text = json.dumps(data, indent=1)
for _ in range(4):
    data = json.loads(text)
    text = json.dumps(data, sort_keys=True)
print(len(text), len(re.findall(r'item (\\d+)5"', text)), sum(len(x['name']) for x in data['list']))
"""

PERL = """\
my %count; my $seed = 1; my $text = '';
for my $i (1 .. 120000) { $seed = ($seed * 1103515245 + 12345) & 0x7fffffff; $count{$seed % 3000}++; $text .= chr(97 + $seed % 26) if $i % 3 == 0; }
my $n = 0; while ($text =~ /([aeiou][^aeiou]+[aeiou])/g) { $n += length $1; }
my @s = sort { $count{$a} <=> $count{$b} || $a <=> $b } keys %count;
print join(',', @s[0 .. 20]), " $n\\n";
"""

LUA = """\
local times = tonumber(arg[1] or 1)
local function mandel(n)
  local sum = 0
  for y = 0, n - 1 do for x = 0, n - 1 do
    local cr, ci, zr, zi, i = 2.0 * x / n - 1.5, 2.0 * y / n - 1.0, 0, 0, 0
    while i < 50 and zr * zr + zi * zi < 4 do zr, zi, i = zr * zr - zi * zi + cr, 2 * zr * zi + ci, i + 1 end
    sum = sum + i
  end end
  return sum
end
local function queens(n)
  local count, cols, d1, d2 = 0, {}, {}, {}
  local function place(r)
    if r > n then count = count + 1 return end
    for c = 1, n do
      if not cols[c] and not d1[r + c] and not d2[r - c + n] then
        cols[c], d1[r + c], d2[r - c + n] = true, true, true
        place(r + 1)
        cols[c], d1[r + c], d2[r - c + n] = nil, nil, nil
      end
    end
  end
  place(1)
  return count
end
local words, parts = {}, {}
for i = 1, 60000 do parts[#parts + 1] = string.format("%05d", i * 7919 % 100000) end
for w in table.concat(parts, " "):gmatch("%d+") do words[w:sub(1, 2)] = (words[w:sub(1, 2)] or 0) + 1 end
local m, q = 0, 0
for _ = 1, times do m, q = m + mandel(160), q + queens(8) end
print(string.format("%d %d %d", m, q, words["12"]))
"""

AWK = """\
{ for (i = 1; i <= NF; i++) { count[$i]++; n += length($i) } if ($0 ~ /[aeiou][aeiou][0-9]/) m++ ; gsub(/[xyz]+/, "_"); o += length($0) }
END { for (w in count) if (count[w] > best) best = count[w]; print NR, n, m, o, best }
"""

SHELL = """\
i=0; s=0; text=
while [ $i -lt 120000 ]; do
  i=$((i + 1)); s=$(((s * 31 + i) % 65521))
  case $s in *7*) text=${text#??????}x$s ;; *3) : ;; esac
done
echo $s $text
"""

SUBSHELLS = """\
i=0; s=0
while [ $i -lt 1500 ]; do i=$((i + 1)); s=$(echo $((s + i))); done
echo $s
"""


def source(functions):
    """A C file: many small functions with loops, switches, structures."""
    r = random.Random(7)
    out = ["struct node { struct node *next; int key; long sum; unsigned char tag[12]; };",
           "extern int external(int); extern void *memory(unsigned long);"]
    for i in range(functions):
        a, b, c = r.randrange(1, 99), r.randrange(1, 99), r.randrange(2, 17)
        out.append(f"""
int function_{i}(struct node *n, int x, const int *v, int count) {{
  int total = {a}; long wide = x * {b}L;
  for (int i = 0; i < count; ++i) {{
    switch ((v[i] + x) % {c}) {{
      case 0: total += v[i] * {b}; break;
      case 1: total ^= v[i] << (x & 7); break;
      case 2: if (n && n->next) total -= n->next->key; break;
      case 3: wide += v[i] / {c}; total = (int)(wide >> 3); break;
      default: total = total * 33 + v[i] - external(total);
    }}
    if (total > {a * 1000}) {{ total %= {a * 1000 + 1}; n = n ? n->next : 0; }}
  }}
  for (struct node *p = n; p; p = p->next) {{ p->sum += wide; for (int k = 0; k < 12; ++k) p->tag[k] ^= (unsigned char)(total >> k); }}
  return {"function_%d(n, x + 1, v, count / 2)" % (i - 1) if i else "external(total)"} + total;
}}""")
    return "\n".join(out) + "\n"


def make(work, cc1):
    r = random.Random(42)
    words = ["".join(r.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(r.randrange(2, 11))) for _ in range(3000)]
    text = "\n".join(" ".join(r.choice(words) + (str(r.randrange(99)) if r.random() < 0.1 else "") for _ in range(12))
                     for _ in range(30000)) + "\n"
    data = text[:1500000].encode() + r.randbytes(300000) + struct.pack("<50000d", *(i * 0.125 for i in range(50000)))
    pcm, phase = bytearray(), 0
    for i in range(44100 * 12):
        phase = (phase * 5 + i) & 0xffff
        value = int(8000 * ((i * 441 % 44100) / 44100 - 0.5)) + (phase & 0x3f)
        pcm += struct.pack("<hh", value, value // 2 - (phase >> 12))
    key = subprocess.run(["openssl", "genrsa", "-traditional", "2048"], capture_output=True, check=False).stdout
    big = source(120).encode()
    sql = ["create table t(id integer primary key, k int, name text);", "begin;"]
    sql += [f"insert into t(k, name) values({r.randrange(10000)}, 'name{r.randrange(100000)}');" for _ in range(12000)]
    sql += ["commit;", "create index tk on t(k);"]
    sql += ["select count(*), sum(a.k) from t a join t b on a.k = b.k where b.id % 7 = 3;",
            "with recursive n(x) as (select 1 union all select x + 1 from n where x < 200000) select sum(x % 17), max(x * 3) from n;",
            "select substr(name, 1, 6), count(*) from t group by 1 order by 2 desc, 1 limit 5;"]
    files = {"driver.sh": DRIVER, "env.sh": ENVIRONMENT, "work.py": PYTHON, "json_work.py": PYTHON_JSON, "work.pl": PERL,
             "work.lua": LUA, "work.awk": AWK, "work.sh": SHELL, "subshells.sh": SUBSHELLS, "text": text, "data": data,
             "pcm": bytes(pcm), "key.pem": key, "source.c": source(300), "plain.c": big, "work.sql": "\n".join(sql) + "\n"}
    for name, content in files.items():
        with open(os.path.join(work, name), "wb") as f:
            f.write(content.encode() if isinstance(content, str) else content)
    subprocess.run([cc1, "-quiet", "-O2", "-o", os.path.join(work, "big.s"), os.path.join(work, "plain.c")], check=True)
    subprocess.run(f"head -c 1000000 {work}/data | xz -6 -T1 -c >{work}/data.xz", shell=True, check=True)
    subprocess.run(["openssl", "dgst", "-sha256", os.path.join(work, "data")], check=True, stdout=subprocess.DEVNULL)
    with open(os.path.join(work, "data.sig"), "wb") as f:
        f.write(data[:4096])
