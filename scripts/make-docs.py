#!/usr/bin/env python3
"""Pages that list options, from what the programs themselves print.

    scripts/make-docs.py [--check] RHEA_SYSTEM

Writes docs/options.md and docs/man/rhea-system-x86_64.1 (from its .in), or
with --check says whether they are up to date (exit status 1 if not). The
programs' help comes from the tables that parse the options, so the pages
cannot differ from them.
"""
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
# Options whose argument is a group of keys, and what asks for its help.
GROUPS = [("-machine", "help"), ("-accel", "tcg,help"), ("-smp", "help"), ("-m", "help"), ("-rtc", "help"),
          ("-boot", "help"), ("-chardev", "help"), ("-fw_cfg", "help")]


def printed(program, *arguments):
    done = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=20)
    if done.returncode != 0:
        sys.exit(f"{program} {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


def options_of(text):
    """(head, help) of the lines '-name ARGUMENT   help', the help perhaps on a line of its own."""
    out = []
    for line in text.splitlines():
        if line.startswith("-"):
            head, _, help_text = line.partition("  ")
            out.append([head.strip(), help_text.strip()])
        elif line.startswith(" ") and out:
            out[-1][1] = (out[-1][1] + " " + line.strip()).strip()
    return out


def keys_of(text):
    """(key, type, help) of the lines '  key=<type> - help'."""
    found = re.findall(r"^  ([\w-]+)=<([^>]*)>\s*- (.*)$", text, re.M)
    return [(key, kind, help_text.strip()) for key, kind, help_text in found]


def devices_of(program):
    out = []
    for name, about in re.findall(r'^name "([\w-]+)", (.*)$', printed(program, "-device", "help"), re.M):
        out.append((name, about, keys_of(printed(program, "-device", f"{name},help"))))
    return out


def cell(text):
    return text.replace("|", "\\|").replace("<", "&lt;")


def key_table(keys):
    lines = ["| key | value | |", "| --- | --- | --- |"]
    return lines + [f"| `{key}` | {cell(kind)} | {cell(text)} |" for key, kind, text in keys]


def markdown(options, groups, devices, items):
    out = ["# Options of rhea-system-x86_64", "",
           "Made from the program's own help by `scripts/make-docs.py`; do not edit. `-cpu help` lists the CPU models "
           "and features.", "", "| option | |", "| --- | --- |"]
    out += [f"| `{head.replace('|', chr(92) + '|')}` | {cell(text)} |" for head, text in options]
    out += ["", "Each argument is a list of `key=value` separated by commas (`,,` is a comma inside a value), or a JSON "
            "object."]
    for name, keys in groups:
        out += ["", f"## `{name}`", ""] + key_table(keys)
    out += ["", "## `-d`", "", "```", items.strip(), "```", "", "## Devices"]
    for name, about, keys in devices:
        out += ["", f"### `-device {name}`", "", about[0].upper() + about[1:] + "."]
        if keys:
            out += [""] + key_table(keys)
    return "\n".join(out) + "\n"


def roff(text):
    return text.replace("\\", "\\e").replace("-", "\\-").replace("…", "...").replace("'", "\\(aq")


def man_page(version, options, groups, devices):
    with open(os.path.join(ROOT, "docs/man/rhea-system-x86_64.1.in")) as file:
        page = file.read()

    def entries(pairs):
        return "\n".join(f".TP\n.B {roff(head)}\n{roff(text)}" for head, text in pairs)

    def keys(rows):
        return entries((f"{key}=<{kind}>", text) for key, kind, text in rows)

    parts = {
        "VERSION": version,
        "OPTIONS": entries(options),
        "GROUPS": "\n".join(f".SS {roff(name)}\n{keys(rows)}" for name, rows in groups),
        "DEVICES": "\n".join(f".SS {roff(name)}\n{roff(about)}\n{keys(rows)}".rstrip() for name, about, rows in devices),
    }
    for name, text in parts.items():
        page = page.replace(f"@{name}@", text)
    return page


def main():
    check = "--check" in sys.argv
    program = [word for word in sys.argv[1:] if not word.startswith("--")][0]
    options = options_of(printed(program, "-help"))
    groups = [(name, keys_of(printed(program, name, ask))) for name, ask in GROUPS]
    devices = devices_of(program)
    version = re.search(r"version ([\d.]+)", printed(program, "-version")).group(1)
    pages = {
        "docs/options.md": markdown(options, groups, devices, printed(program, "-d", "help")),
        "docs/man/rhea-system-x86_64.1": man_page(version, options, groups, devices),
    }
    stale = 0
    for name, text in pages.items():
        path = os.path.join(ROOT, name)
        if not check:
            with open(path, "w") as file:
                file.write(text)
            continue
        with open(path) as file:
            if file.read() != text:
                print(f"{name} is not up to date: run scripts/make-docs.py {program}")
                stale = 1
    sys.exit(stale)


main()
