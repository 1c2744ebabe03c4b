#!/usr/bin/env python3
"""Turns ctest's JUnit file into `ok NAME`, `not ok NAME`, `skip NAME: why` lines."""
import sys
import xml.etree.ElementTree as ElementTree


def main(path, prefix):
    for case in ElementTree.parse(path).getroot().iter("testcase"):
        name = f"{prefix}: {case.get('name')}"
        status = case.get("status")
        if case.find("skipped") is not None or status in ("notrun", "disabled"):
            output = (case.findtext("system-out") or "").strip().splitlines()
            why = next((line for line in output if line.startswith("skipped:")), None)
            message = case.find("skipped").get("message") if case.find("skipped") is not None else status
            not_built = status == "notrun" and "SKIP" not in (message or "")
            if not_built and message != "Disabled":
                print(f"not ok {name}: did not run ({message})")
            else:
                print(f"skip {name}: {why.removeprefix('skipped:').strip() if why else reason(output)}")
        elif status == "run":
            print(f"ok {name}")
        else:
            print(case.findtext("system-out") or "")
            print(f"not ok {name}")


def reason(output):
    """GoogleTest prints `file:line: Skipped` and then the text given to GTEST_SKIP."""
    for at, line in enumerate(output):
        if line.endswith("Skipped") and at + 1 < len(output):
            return output[at + 1].strip() or "no reason given"
    return "no reason given"


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
