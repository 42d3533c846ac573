# SPDX-License-Identifier: MIT
"""What patching/static_call.h promises about types: each snippet with one type error must not
compile, with gcc and with clang, and must say why; the same without the error must. Run by make
test."""

import pytest

from snippets import by_each_compiler, expect_compiles, expect_refused

# What all snippets start with.
COMMON = """
#include "patching/static_call.h"
uint64_t read_a(int unit);
uint64_t read_b(int unit);
uint64_t read_wide(long unit);
void note_a(void *where);
void note_b(void *where);
bool ask_a(void);
void *find_a(int number);
int count_a(void);
struct patch_error error;
"""

DEFINED = """
DEFINE_STATIC_CALL(reading, read_a);
DEFINE_STATIC_CALL_OR_NULL(noting, note_a);
DEFINE_STATIC_CALL_NULL(noting_later, note_a);
DEFINE_STATIC_CALL_RETURN_ZERO(asking, bool, ask_a);
"""


def inside(statement):
    """A function around @statement."""
    return DEFINED + "enum patch_status change(void);\nenum patch_status change(void)\n{\n" \
        + statement + "\nreturn PATCH_OK;\n}\n"


GOOD = {
    "definitions": DEFINED,
    "all_forms": "DEFINE_STATIC_CALL_FORM(reading, read_a, STATIC_CALL_OUT_OF_LINE);",
    "zero_of_every_type": "DEFINE_STATIC_CALL_RETURN_ZERO(a, bool, ask_a);"
                          "DEFINE_STATIC_CALL_RETURN_ZERO(b, void *, find_a);"
                          "DEFINE_STATIC_CALL_RETURN_ZERO(c, int, count_a);"
                          "DEFINE_STATIC_CALL_RETURN_ZERO(d, uint64_t, read_a);",
    "declared_elsewhere": "DECLARE_STATIC_CALL(reading, read_a);\n"
                          "uint64_t f(void);\nuint64_t f(void)\n"
                          "{ return static_call(reading)(1); }",
    "declared_and_defined": "DECLARE_STATIC_CALL(reading, read_b);" + DEFINED,
    "update": inside("return static_call_update(reading, read_b, &error);"),
    "update_by_address": inside("return static_call_update(reading, &read_b, NULL);"),
    "update_to_null": inside("return static_call_update(noting, NULL, &error);"),
    "update_to_zero": inside("return static_call_update_return_zero(asking, &error);"),
    "call": inside("if (static_call(reading)(3) != 0) { static_call(noting)(&error); }"),
    "choice": DEFINED + "STATIC_CALL_CHOICE(reading, read_b);",
}

# name: (text, a part of what each compiler says of it)
BAD = {
    "update_to_another_argument":
        (inside("return static_call_update(reading, read_wide, &error);"), "incompatible"),
    "update_to_another_result":
        (inside("return static_call_update(asking, count_a, &error);"), "incompatible"),
    "update_to_another_number_of_arguments":
        (inside("return static_call_update(asking, find_a, &error);"), "incompatible"),
    "update_to_data":
        (inside("return static_call_update(reading, &error, NULL);"), "incompatible"),
    "update_to_a_number":
        (inside("return static_call_update(reading, 4096, NULL);"), "integer"),
    "update_of_no_call":
        (inside("return static_call_update(nobody, read_a, NULL);"), "static_call_nobody"),
    "update_ignored":
        (inside("static_call_set(&static_call_data_reading, NULL, NULL);"), "unused"),
    "declared_as_something_else":
        ("DECLARE_STATIC_CALL(reading, read_wide);" + DEFINED, "conflicting types"),
    "defined_twice":
        (DEFINED + "DEFINE_STATIC_CALL(reading, read_a);", "redefinition"),
    "choice_of_another_type":
        (DEFINED + "STATIC_CALL_CHOICE(reading, read_wide);",
         "read_wide: not of the type of the targets of reading"),
    "null_of_a_call_that_returns":
        ("DEFINE_STATIC_CALL_NULL(reading, read_a);",
         "reading: a static call that may be NULL returns void"),
    "or_null_of_a_call_that_returns":
        ("DEFINE_STATIC_CALL_OR_NULL(asking, ask_a);",
         "asking: a static call that may be NULL returns void"),
    "zero_of_a_call_that_returns_nothing":
        ("DEFINE_STATIC_CALL_RETURN_ZERO(noting, void, note_a);", "void"),
    "zero_of_another_type_than_said":
        ("DEFINE_STATIC_CALL_RETURN_ZERO(asking, int, ask_a);",
         "asking: ask_a does not return int"),
    "zero_of_a_floating_point_number":
        ("double ratio_a(int unit);\nDEFINE_STATIC_CALL_RETURN_ZERO(ratio, double, ratio_a);",
         "ratio: a static call that returns 0"),
    "zero_of_a_function_with_narrow_arguments":
        ("float ratio_a(float unit);\nDEFINE_STATIC_CALL_RETURN_ZERO(ratio, float, ratio_a);",
         "ratio: ratio_a does not return float"),
    "zero_of_two_registers":
        ("__int128 wide_a(int unit);\nDEFINE_STATIC_CALL_RETURN_ZERO(wide, __int128, wide_a);",
         "wide: a static call that returns 0"),
    "zero_of_a_structure":
        ("struct four { long a[4]; };\nstruct four four_a(int unit);\n"
         "DEFINE_STATIC_CALL_RETURN_ZERO(fours, struct four, four_a);", "RETURN_ZERO"),
    "form_that_is_none":
        ("DEFINE_STATIC_CALL_FORM(reading, read_a, 7);", "reading: no such form"),
    "null_of_a_call_with_narrow_arguments":
        ("void put_a(char letter);\nDEFINE_STATIC_CALL_NULL(put, put_a);",
         "put: a static call that may be NULL returns void"),
    "call_with_a_wrong_argument":
        (inside("static_call(noting)(3);"), "pointer"),
    "call_with_too_many_arguments":
        (inside("(void)static_call(reading)(3, 4);"), "too many arguments"),
    "call_result_of_a_call_that_returns_nothing":
        (inside("return static_call(noting)(NULL) == 0;"), "void"),
}


@by_each_compiler
@pytest.mark.parametrize("name", GOOD)
def test_right_types_compile(compiler, name):
    expect_compiles(compiler, COMMON + GOOD[name])


@by_each_compiler
@pytest.mark.parametrize("name", BAD)
def test_wrong_types_do_not_compile(compiler, name):
    text, reason = BAD[name]
    expect_refused(compiler, COMMON + text, reason)
