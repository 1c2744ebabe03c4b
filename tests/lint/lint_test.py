#!/usr/bin/env python3
"""The checks find what they are for."""
import unittest

import coroutine_rule
import general_registers
import include_direction
import plain_text
import tree


class IncludeDirection(unittest.TestCase):
    def test_upward_is_found_downward_is_not(self):
        self.assertEqual(include_direction.violations("src/cpu/a.h", '#include "base/result.h"\n'), [])
        self.assertEqual(len(include_direction.violations("src/cpu/a.h", '\n#include "devices/irq/x.h"\n')), 1)
        self.assertEqual(len(include_direction.violations("src/base/a.h", '#include "config/schema.h"\n')), 1)

    def test_beside_is_found(self):
        self.assertEqual(len(include_direction.violations("src/config/a.h", '#include "async/task.h"\n')), 1)
        self.assertEqual(len(include_direction.violations("src/engine/dbt/a.h", '#include "engine/kvm/b.h"\n')), 1)
        self.assertEqual(include_direction.violations("src/engine/dbt/a.h", '#include "engine/dbt/b.h"\n'), [])

    def test_relative_path_and_unknown_layer_are_found(self):
        self.assertEqual(len(include_direction.violations("src/cpu/a.h", '#include "core.h"\n')), 1)
        self.assertEqual(len(include_direction.violations("src/misc/a.h", "")), 1)


class CoroutineRule(unittest.TestCase):
    def test_braces_in_the_expression_are_found(self):
        for bad in ("co_await f([x]{ return x; });", "co_await f(Aggregate{1});", "TRY(co_await f({1, 2}));"):
            self.assertEqual(len(coroutine_rule.violations("a.cc", bad)), 1, bad)

    def test_braces_around_it_are_not(self):
        for good in ("if (co_await f()) { g(); }", "co_await f(std::move(x)); }", "// co_await f({1})\n",
                     'co_await f("{}");', "Awaiter operator co_await() const { return a; }", "TRY(co_await f(a[1]));"):
            self.assertEqual(coroutine_rule.violations("a.cc", good), [], good)


class PlainText(unittest.TestCase):
    def test_local_paths_and_reminders_are_found(self):
        self.assertEqual(len(plain_text.violations("README.md", "see /" + "work/shared/x\n")), 1)
        self.assertEqual(len(plain_text.violations("a.cc", "// TO" + "DO: later\n")), 1)
        self.assertEqual(len(plain_text.violations("a.cc", "x \n")), 1)
        self.assertEqual(len(plain_text.violations("a.cc", "\n" * 1001)), 1)
        self.assertEqual(plain_text.violations("a.cc", "int work/x;\n"), [])


class GeneralRegisters(unittest.TestCase):
    DUMP = """
0000000000001000 <hot>:
    1000:\tcall   1010 <middle>
    1005:\tje     1020 <other+0x10>
    1007:\tcall   1050 <check_failed>
0000000000001010 <middle>:
    1010:\tmovdqa %xmm0,(%rax)
0000000000001020 <other>:
    1020:\tcall   1040 <memcpy@plt>
0000000000001030 <far>:
    1030:\tfld    %st(0)
0000000000001050 <check_failed>:
    1050:\tmovaps %xmm0,%xmm1
"""

    def test_ways_to_vectors_and_libraries_are_found_and_nothing_else(self):
        graph = general_registers.parse(self.DUMP.splitlines())
        found = general_registers.violations(graph, {"hot"})
        self.assertEqual(found, ["uses `movdqa %xmm0,(%rax)`: middle <- hot",
                                 "reaches a shared library: memcpy@plt <- other <- hot"])
        self.assertEqual(general_registers.violations(graph, {"far"}), ["uses `fld    %st(0)`: far"])


class Tree(unittest.TestCase):
    def test_comments_and_literals_are_blanked_and_offsets_stay(self):
        text = 'a /* { */ "{" b // {\n\'{\' 1\'000 R"x({)x" c'
        code = tree.code_only(text)
        self.assertEqual(len(code), len(text))
        self.assertNotIn("{", code)
        self.assertIn("1'000", code)
        self.assertTrue(code.endswith("c"))


if __name__ == "__main__":
    unittest.main(argv=["lint_test"], verbosity=0)
