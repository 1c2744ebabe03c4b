#!/usr/bin/env python3
"""Checks the machine code that runs while the guest's vector and x87 state lives in the host's registers.

Units compiled with -mgeneral-regs-only cannot touch those registers themselves, but the linker may give them another
unit's copy of an inline function, and they may call a function of an ordinary unit or of libc. So this follows every direct
call and jump in the linked program, from each function of such a unit, and reports the way to the first vector or x87
register, and every call into a shared library. Calls through pointers, such as Core::cold(), are the engine's, which
saves that state around them.

    general_registers.py PROGRAM BUILD_FOLDER"""
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

_FLAG = "-mgeneral-regs-only"
# FNSTCW and FNSTSW only look.
_VECTOR = re.compile(r"%(?:[xyz]mm\d|st\b|st\(|mm\d|k[1-7]\b)|\bf(?:nsave|xsave|ldcw)|\bxsave|\bxrstor|\bemms")
# These do not come back.
_NO_RETURN = re.compile(r"check_failed|__throw_|__stack_chk_fail|^abort@plt|__glibcxx_assert_fail|__ubsan|_Unwind_Resume")
# Core::cold()'s callees: void f(void*), or anything in a namespace named *_cold. Called directly only where no engine is
# there whose state could be lost.
_COLD = re.compile(r"EPv(?:\.\w+)*$|^_ZL?\d+\w+Pv$|_cold\d")
# Run when the machine is made and taken apart.
_SET_UP = re.compile(r"(?:C[12]E.*|D[012]Ev)$")
_FUNCTION = re.compile(r"^[0-9a-f]+ <(.+)>:$")
_CALL = re.compile(r"\b(?:call|jmp|j[a-z]+)\s+[0-9a-f]+ <([^>+]+)(\+0x[0-9a-f]+)?>")


def hot_objects(build):
    for entry in json.loads((build / "compile_commands.json").read_text()):
        if _FLAG in entry["command"]:
            words = shlex.split(entry["command"])
            yield Path(entry["directory"]) / words[words.index("-o") + 1]


def functions_of(objects):
    """Names of the functions that the objects define and that translated code may reach."""
    names = set()
    out = subprocess.run(["nm", "--defined-only", *map(str, objects)], check=True, capture_output=True, text=True)
    for line in out.stdout.splitlines():
        parts = line.split()
        if len(parts) == 3 and parts[1] in "tTwWV":
            names.add(parts[2])
    return {name for name in names if not _COLD.search(name) and not _SET_UP.search(name)}


def parse(lines):
    """{function: (what it calls, its first vector instruction)} of a disassembly."""
    graph, name = {}, None
    for line in lines:
        line = line.rstrip("\n")
        match = _FUNCTION.match(line)
        if match:
            name = match.group(1)
            graph.setdefault(name, [set(), None])
            continue
        if name is None:
            continue
        call = _CALL.search(line)
        if call and call.group(1) != name:
            graph[name][0].add(call.group(1))
        elif graph[name][1] is None and _VECTOR.search(line):
            graph[name][1] = line.split("\t")[-1].strip()
    return graph


def violations(graph, roots):
    came_from = {name: None for name in sorted(roots) if name in graph}
    queue = list(came_from)
    found = []
    for name in queue:
        calls, vector = graph.get(name, (set(), None))
        way, at = [], name
        while at is not None:
            way.append(at)
            at = came_from[at]
        story = " <- ".join(way[:4])
        if name.endswith("@plt"):
            found.append(f"reaches a shared library: {story}")
            continue
        if vector:
            found.append(f"uses `{vector}`: {story}")
            continue
        for callee in sorted(calls):
            if callee not in came_from and not _NO_RETURN.search(callee) and not _COLD.search(callee):
                came_from[callee] = name
                queue.append(callee)
    return found


def main(program, build):
    objects = [path for path in hot_objects(Path(build)) if path.exists()]
    if not objects:
        print(f"no unit is compiled with {_FLAG}")
        return 1
    roots = functions_of(objects)
    with subprocess.Popen(["objdump", "-d", "--no-show-raw-insn", program], stdout=subprocess.PIPE, text=True) as dump:
        graph = parse(dump.stdout)
    found = violations(graph, roots)
    if found:
        names = subprocess.run(["c++filt"], input="\n".join(found), capture_output=True, text=True, check=True)
        print(names.stdout)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2]))
