# SPDX-License-Identifier: MIT
"""The mutants of paravirt ops: patching/paravirt.[ch], the calls and native ways in arch/, and the
floor under clocks. Each breaks one thing that the test named beside it claims to detect.

Invariant: the search text stands exactly once in the file. Read by: mutants.py.
"""

from mutant_list import Mutant

SITES = "test_paravirt_sites"
INLINE = (SITES, "every_op_in_inline_form_is_its_instruction")
DIRECT = (SITES, "every_op_in_direct_form_calls_its_function")
INDIRECT = (SITES, "every_op_in_indirect_form_calls_through_its_slot")
COMPILED = (SITES, "sites_are_compiled_as_the_table_lists_them")
FIT = (SITES, "instruction_that_does_not_fit_is_refused")
COPY = (SITES, "out_of_line_copy_holds_the_bytes_that_are_inlined")
FORMS = ("test_paravirt", "every_op_goes_from_every_form_to_every_other")
WAYS = ("test_paravirt", "every_op_goes_another_way_in_every_form")
NOTHING = ("test_paravirt", "change_to_what_is_there_costs_nothing")
SHOWS = ("test_paravirt", "site_with_any_other_byte_shows_nothing")
FAULTS = "test_paravirt_faults"
WRITES = (FAULTS, "failing_write_leaves_every_op_as_it_was")
TWICE = (FAULTS, "op_that_is_listed_twice_is_refused")
REFUSED = (FAULTS, "change_that_cannot_be_is_refused")
TABLE = "test_paravirt_table"
INITIALIZE = (TABLE, "initialize_gives_every_op_its_form_and_syncs_once")
CODE = "test_paravirt_code"
EXECUTED = (CODE, "every_op_does_the_same_in_every_form")
WHILE_FORMS = (CODE, "forms_change_while_the_op_runs")
WHILE_WAYS = (CODE, "ways_change_while_the_op_runs")
FROM_C = (CODE, "calls_from_c_pass_arguments_and_keep_what_is_live")

ENGINE, HEADER, CALLS = "paravirt.c", "patching/paravirt.h", "arch/paravirt.h"
THUNKS = "patching/paravirt_thunk.h"
NATIVE, ROWS = "arch/paravirt_native.c", "arch/paravirt_table.h"
FLOOR = "arch/clock_floor.c"

MUTANTS = [
    # What a site holds.
    Mutant("fill behind the instruction", ENGINE,
           "bytes_copy(bytes + PARAVIRT_SITE_LENGTH - length, way->instruction, length);",
           "for (size_t i = PARAVIRT_SITE_LENGTH; i-- > length;) { bytes[i] = INSN_PREFIX_CS; }\n"
           "bytes_copy(bytes, way->instruction, length);", *INLINE),
    Mutant("fill for five bytes", ENGINE,
           "bytes_copy(bytes + PARAVIRT_SITE_LENGTH - length, way->instruction, length);",
           "bytes_copy(bytes + PARAVIRT_SITE_LENGTH - 1 - length, way->instruction, length);\n"
           "bytes[PARAVIRT_SITE_LENGTH - 1] = 0x90;", *INLINE),
    Mutant("fill for seven bytes", ENGINE,
           "bytes_copy(bytes + PARAVIRT_SITE_LENGTH - length, way->instruction, length);",
           "bytes[PARAVIRT_SITE_LENGTH - length] = INSN_PREFIX_CS;\n"
           "bytes_copy(bytes + PARAVIRT_SITE_LENGTH + 1 - length, way->instruction, length);",
           *INLINE),
    Mutant("fill that means something", ENGINE, "bytes[i] = INSN_PREFIX_CS;", "bytes[i] = 0x66;",
           *INLINE),
    Mutant("call and a nop", ENGINE, ".length = PARAVIRT_SITE_LENGTH,",
           ".length = is_direct ? INSN_CALL32_LENGTH : PARAVIRT_SITE_LENGTH,", *DIRECT),
    Mutant("slot of the next op", ENGINE, "(uint64_t)op->slot,", "(uint64_t)(op->slot + 1),",
           *INDIRECT),
    Mutant("indirect form calls directly", ENGINE, "bool is_direct = form != PARAVIRT_INDIRECT;",
           "bool is_direct = true;", *INDIRECT),
    Mutant("inline form calls", ENGINE, "form != PARAVIRT_INLINE || way->instruction == NULL",
           "true", *INLINE),
    Mutant("instruction of seven bytes fits", HEADER,
           "way->instruction_end - way->instruction <= PARAVIRT_SITE_LENGTH;",
           "way->instruction_end - way->instruction <= PARAVIRT_SITE_LENGTH + 1;", *FIT),
    Mutant("no instruction is an instruction", HEADER,
           "way->instruction_end > way->instruction &&",
           "way->instruction_end >= way->instruction &&", *FIT),
    Mutant("compiled call goes through the first slot", HEADER, "+%c[offset](%%rip)", "(%%rip)",
           *COMPILED),
    Mutant("compiled site is of the first op", HEADER, ".quad 771b, %c[op]", ".quad 771b, 0",
           *COMPILED),
    Mutant("called way shown as inlined", ENGINE,
           "form == PARAVIRT_INLINE && !paravirt_way_is_instruction(way)", "false", *WAYS),
    Mutant("last byte of a site not looked at", ENGINE,
           "bytes_equal(bytes, text, PARAVIRT_SITE_LENGTH)",
           "bytes_equal(bytes, text, PARAVIRT_SITE_LENGTH - 1)", *SHOWS),
    # Changes.
    Mutant("stand-in of the old way", ENGINE, "PARAVIRT_SITE_LENGTH, function_address(way));",
           "PARAVIRT_SITE_LENGTH, function_address(op->way));", *WHILE_WAYS),
    Mutant("change takes the sites of all ops", ENGINE,
           "return site->op == (uint64_t)(op - table);", "return true;", *FORMS),
    Mutant("slot written before the batch", ENGINE, "    change->is_there = op->way == way;",
           "    change->is_there = op->way == way;\n    *op->slot = way->function;", *WAYS),
    Mutant("slot not written", ENGINE,
           "__atomic_store_n(op->slot, way->function, __ATOMIC_RELEASE);", ";", *WAYS),
    Mutant("slot and way written though the batch failed", ENGINE,
           "    if (is_done) {\n        __atomic_store_n(op->slot",
           "    if (true) {\n        __atomic_store_n(op->slot", *WRITES),
    Mutant("form set though the batch failed", ENGINE,
           "    if (is_done) {\n        __atomic_store_n(&op->form",
           "    if (true) {\n        __atomic_store_n(&op->form", *WRITES),
    Mutant("way that failed is changing for ever", ENGINE,
           "        __atomic_store_n(&op->way, way, __ATOMIC_RELAXED);\n    }\n"
           "    op->is_changing = false;",
           "        __atomic_store_n(&op->way, way, __ATOMIC_RELAXED);\n"
           "    op->is_changing = false;\n    }", *WRITES),
    Mutant("form that failed is changing for ever", ENGINE,
           "(enum paravirt_form)change->wanted, __ATOMIC_RELAXED);\n    }\n"
           "    op->is_changing = false;",
           "(enum paravirt_form)change->wanted, __ATOMIC_RELAXED);\n"
           "    op->is_changing = false;\n    }", *WRITES),
    Mutant("way not noted", ENGINE, "__atomic_store_n(&op->way, way, __ATOMIC_RELAXED);", ";",
           *WAYS),
    Mutant("op listed twice", ENGINE, "if (op->is_changing) {", "if (false) {", *TWICE),
    Mutant("way without a function", ENGINE, "if (way == NULL || way->function == NULL) {",
           "if (way == NULL) {", *REFUSED),
    Mutant("form that is none", ENGINE, "change->wanted < PARAVIRT_FORM_COUNT ?",
           "true ?", *REFUSED),
    Mutant("way that is there patched again", ENGINE, "change->is_there = op->way == way;",
           "change->is_there = false;", *NOTHING),
    Mutant("form taken for the one that is there", ENGINE,
           "change->is_there = change->wanted == (uint64_t)op->form;",
           "change->is_there = true;", *FORMS),
    # Boot.
    Mutant("sites not counted", ENGINE, "op->site_count++;", ";", *INITIALIZE),
    Mutant("sites counted twice", ENGINE, "op->site_count = 0;", ";", *INITIALIZE),
    Mutant("changes after a refused table", ENGINE,
           "table = status == PATCH_OK ? ops : NULL;", "table = ops;",
           TABLE, "write_that_fails_is_refused_and_named"),
    Mutant("no sync behind the sites of boot", ENGINE,
           "!platform_sync_cores(&round)", "false && !platform_sync_cores(&round)", *INITIALIZE),
    Mutant("silent CPU at boot overlooked", ENGINE,
           "if (!platform_sync_cores(&round)) {", "if (!platform_sync_cores(&round) && false) {",
           TABLE, "silent_cpu_stops_the_machine"),
    Mutant("site outside text", ENGINE,
           "!platform_text_is_patchable((const void *)site->address, PARAVIRT_SITE_LENGTH)",
           "!platform_text_is_patchable((const void *)site->address, PARAVIRT_SITE_LENGTH - 1)",
           TABLE, "entry_outside_text_is_refused"),
    Mutant("site not looked at", ENGINE, "paravirt_site_shows(op, site) != PARAVIRT_INDIRECT",
           "false", TABLE, "entry_of_another_op_is_refused"),
    Mutant("site twice in the table", ENGINE, "distance == 0 ? PATCH_ERR_DUPLICATE",
           "distance == 0 ? PATCH_OK", TABLE, "site_that_stands_there_twice_is_refused"),
    Mutant("index of no op", ENGINE,
           "site->op < count ? &ops[site->op]", "true ? &ops[site->op]",
           TABLE, "entry_of_no_op_is_refused"),
    Mutant("slot of another function", ENGINE, "|| slots[i] != op->way->function", "",
           TABLE, "op_that_its_slot_does_not_call_is_refused"),
    Mutant("unknown form at boot", ENGINE, "return form < PARAVIRT_FORM_COUNT ?",
           "return form <= PARAVIRT_FORM_COUNT ?", TABLE, "unknown_form_is_refused"),
    Mutant("failed write at boot overlooked", ENGINE,
           "status = PATCH_ERR_WRITE;", ";", TABLE, "write_that_fails_is_refused_and_named"),
    # Thunks and native ways.
    Mutant("thunk forgets a register", THUNKS, "push %r8\\n\\tpush %r9\\n\\tpush %r10\\n\\t",
           "push %r8\\n\\tpush %r9\\n\\tpush %r9\\n\\t", *EXECUTED),
    Mutant("thunk gives registers back in another order", THUNKS,
           "pop %rdi\\n\\tpop %rsi\\n\\t", "pop %rsi\\n\\tpop %rdi\\n\\t", *EXECUTED),
    Mutant("thunk leaves the function's rax", THUNKS, "pop %rax\\n\\tpop %rbp",
           "pop %rcx\\n\\tpop %rbp", *EXECUTED),
    Mutant("thunk loses the frame pointer", THUNKS, "pop %rax\\n\\tpop %rbp",
           "pop %rax\\n\\tpop %rax", *EXECUTED),
    Mutant("stacked result in the word above", THUNKS, "mov %rax, 16(%rbp)", "mov %rax, 24(%rbp)",
           *EXECUTED),
    Mutant("stacked result nowhere", THUNKS, "mov %rax, 16(%rbp)", "nop", *EXECUTED),
    Mutant("pushed word over the saved return address", NATIVE, "pop 8(%rsp)", "pop (%rsp)",
           *WHILE_FORMS),
    Mutant("stand-in does nothing", NATIVE,
           'NATIVE_CODE_KEEPS_TAKES(name, text)   NATIVE_CODE(name, text "',
           'NATIVE_CODE_KEEPS_TAKES(name, text)   NATIVE_CODE(name, "nop', *WHILE_FORMS),
    Mutant("inlined without its last byte", NATIVE,
           '"native_bytes_end_" #name ":\\n\\t"', '"native_bytes_end_" #name " = . - 1\\n\\t"',
           *COPY[:1], "every_op_in_inline_form_is_its_instruction"),
    Mutant("copy that is another instruction", NATIVE,
           'NATIVE_CODE_CALLS_TAKES(name, text)   NATIVE_CODE(name, text "',
           'NATIVE_CODE_CALLS_TAKES(name, text)   NATIVE_CODE(name, "xchg %bx, %bx', *COPY),
    Mutant("another word of the lock", ROWS, '"incl 12(%rdi)"', '"incl 8(%rdi)"', *EXECUTED),
    # Calls from C.
    Mutant("clobber of every call forgotten", CALLS,
           'PARAVIRT_CALL_REGISTERS "rcx", "rdx",', 'PARAVIRT_CALL_REGISTERS "rdx",', *FROM_C),
    Mutant("clobber of a call with one argument forgotten", CALLS,
           ': "rax", "rsi", PARAVIRT_CALL_REGISTERS);', ': "rax", PARAVIRT_CALL_REGISTERS);',
           *FROM_C),
    Mutant("argument taken to be kept", CALLS,
           ': "+D"(rdi), "+r"(paravirt_stack_pointer)' + 33 * " " + "\\\n" + 25 * " " + ": ",
           ': "+r"(paravirt_stack_pointer) : "D"(rdi), ', *FROM_C),
    Mutant("first argument twice", CALLS, "uint64_t rsi = (uint64_t)second;",
           "uint64_t rsi = (uint64_t)first + 0 * (uint64_t)second;", *FROM_C),
    # The floor under clocks.
    Mutant("floor that can be lowered", FLOOR, "while (newest < ns) {", "while (newest != ns) {",
           "arch_clock_floor", "no_thread_sees_time_go_back"),
    Mutant("floor that nobody is raised to", FLOOR, "    return newest;\n", "    return ns;\n",
           "arch_clock_floor", "no_thread_sees_time_go_back"),
    Mutant("floor let go at once", FLOOR, "clock_now_ns() > floor", "clock_now_ns() >= floor",
           "arch_clock_floor", "floor_stays_under_a_source_that_is_behind"),
]
