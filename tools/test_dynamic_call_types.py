# SPDX-License-Identifier: MIT
"""What patching/dynamic_call.h promises when it is compiled, with gcc and with clang: each snippet
with one type error must not compile, and must say why; the same without the error must; and at
every level of optimisation each place that calls has one comparison a slot in the table. Run by
make test."""

import subprocess

import pytest

from snippets import by_each_compiler, expect_compiles, expect_refused

ENTRY_BYTES = 16

# What all snippets start with.
COMMON = """
#include "patching/dynamic_call.h"
struct packet;
uint64_t read_a(int unit);
uint64_t read_wide(long unit);
void deliver_a(struct packet *packet);
bool ask_a(void);
struct packet *packet_made(void);
"""

DEFINED = """
DEFINE_DYNAMIC_CALL(deliver, void(struct packet *), 2);
DEFINE_DYNAMIC_CALL_BY_HAND(reading, uint64_t(int), 4);
DEFINE_DYNAMIC_CALL(asking, bool(void), 1);
DEFINE_DYNAMIC_CALL(finding, struct packet *(int, const char *), 3);
DEFINE_DYNAMIC_CALL_INSTANCES(poll, unsigned(struct packet *, unsigned), 1);
"""


def inside(statement, parameters="uint64_t (*f)(int), struct packet *packet, unsigned instance"):
    """A function around @statement."""
    return DEFINED + f"void caller({parameters});\nvoid caller({parameters})\n" \
        + "{\n" + statement + "\n" + "(void)f; (void)packet; (void)instance;\n}\n"


GOOD = {
    "definitions": DEFINED,
    "declared_and_defined": "DECLARE_DYNAMIC_CALL(deliver, void(struct packet *), 2);\n"
                            "DECLARE_DYNAMIC_CALL(deliver, void(struct packet *), 2);\n"
                            "DECLARE_DYNAMIC_CALL_INSTANCES(poll, unsigned(struct packet *, "
                            "unsigned), 1);" + DEFINED,
    "declared_elsewhere": "DECLARE_DYNAMIC_CALL(deliver, void(struct packet *), 2);\n"
                          "void f(struct packet *packet);\nvoid f(struct packet *packet)\n"
                          "{ dynamic_call(deliver, deliver_a, packet); }",
    "call": inside("dynamic_call(deliver, deliver_a, packet);"),
    "call_by_pointer": inside("if (dynamic_call(reading, f, 3) == 7) { f = NULL; }"),
    "call_without_arguments": inside("if (dynamic_call(asking, &ask_a)) { f = NULL; }"),
    "call_of_null": inside("(void)dynamic_call(reading, NULL, 3);"),
    "break": inside("dynamic_call_break(deliver);"),
    "instances": inside("instance = dynamic_call_instance_take(poll);\n"
                        "dynamic_call_instance_release(poll, instance);"),
}

# name: (text, a part of what each compiler says of it)
BAD = {
    "call_of_another_argument":
        (inside("(void)dynamic_call(reading, read_wide, 3);"), "incompatible"),
    "call_of_another_result": (inside("dynamic_call(deliver, packet_made, packet);"),
                               "incompatible"),
    "call_of_data": (inside("dynamic_call(deliver, packet, packet);"), "incompatible"),
    "call_of_a_number": (inside("dynamic_call(deliver, 4096, packet);"), "integer"),
    "call_with_a_wrong_argument": (inside("(void)dynamic_call(reading, f, packet);"), "pointer"),
    "call_with_too_many_arguments":
        (inside("(void)dynamic_call(reading, f, 3, 4);"), "too many arguments"),
    "call_with_too_few_arguments": (inside("(void)dynamic_call(reading, f);"), "too few arguments"),
    "call_of_no_call": (inside("dynamic_call(nobody, deliver_a, packet);"), "nobody"),
    "result_of_a_call_that_returns_nothing":
        (inside("instance = dynamic_call(deliver, deliver_a, packet);"), "void"),
    "instance_of_another_type":
        (inside("(void)dynamic_call_instance(poll, instance, deliver_a, packet, 3);"),
         "incompatible"),
    "declared_as_something_else":
        ("DECLARE_DYNAMIC_CALL(deliver, void(int), 2);" + DEFINED, "deliver"),
    "declared_with_other_slots":
        ("DECLARE_DYNAMIC_CALL(deliver, void(struct packet *), 3);" + DEFINED, "deliver"),
    "defined_twice":
        (DEFINED + "DEFINE_DYNAMIC_CALL(deliver, void(struct packet *), 2);", "redefinition"),
    "five_slots": ("DEFINE_DYNAMIC_CALL(deliver, void(struct packet *), 5);", "SLOTS_5"),
    "no_slot": ("DEFINE_DYNAMIC_CALL(deliver, void(struct packet *), 0);", "SLOTS_0"),
    "change_ignored":
        (inside("struct dynamic_call_form form = {0};\n"
                "dynamic_call_set_form(&dynamic_call_deliver, &form, NULL);"), "unused"),
}

# Three places that call: kept, left by a jump, in a loop that a compiler may unroll.
PLACES = DEFINED + """
uint64_t kept(uint64_t (*f)(int), int unit);
uint64_t kept(uint64_t (*f)(int), int unit)
{
    return dynamic_call(reading, f, unit) + 1;
}
void left(void (*f)(struct packet *), struct packet *packet);
void left(void (*f)(struct packet *), struct packet *packet)
{
    dynamic_call(deliver, f, packet);
}
uint64_t turns(uint64_t (*const *f)(int), unsigned count);
uint64_t turns(uint64_t (*const *f)(int), unsigned count)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < count; i++) {
        sum += dynamic_call(reading, f[i], 3);
    }
    return sum;
}
"""
COMPARISONS = 4 + 2 + 4


@by_each_compiler
@pytest.mark.parametrize("name", GOOD)
def test_right_types_compile(compiler, name):
    expect_compiles(compiler, COMMON + GOOD[name])


@by_each_compiler
@pytest.mark.parametrize("name", BAD)
def test_wrong_types_do_not_compile(compiler, name):
    text, reason = BAD[name]
    expect_refused(compiler, COMMON + text, reason)


@by_each_compiler
@pytest.mark.parametrize("level", ["-O1", "-Og", "-Os", "-O2", "-O3"])
def test_every_place_has_a_comparison_a_slot(compiler, level, tmp_path):
    path = tmp_path / "places.o"
    expect_compiles(compiler, COMMON + PLACES, level, output=str(path))
    listing = subprocess.run(["objdump", "-h", path], capture_output=True, text=True, check=True)
    (size,) = [int(line.split()[2], 16) for line in listing.stdout.splitlines()
               if " dynamic_call_sites " in line]
    assert size == ENTRY_BYTES * COMPARISONS
