#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Breaks patching/ or net/ in one place at a time and shows that a fuzzer finds it within seconds.

Invariant: the source is never touched; a mutant is a copy of one file, under
$(BUILD)/fuzz/mutants. Each starts from the seeds alone, never from what earlier runs learnt. Fails
if a mutant survives, if its search text does not stand in the file exactly once, or if the original
does not survive the seeds. A run that notices all leaves $(BUILD)/mutants/fuzz.tsv. Called by:
fuzz.mk.
"""

import collections
import concurrent.futures
import os
import pathlib
import shutil
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(pathlib.Path(__file__).parent), str(ROOT / "tools")]

import mutant_table  # noqa: E402
import run_fuzzers as run  # noqa: E402
import seeds  # noqa: E402

MUTANT_SECONDS = 60
ORIGINAL_RUNS = 1000

Mutant = collections.namedtuple("Mutant", "name file search replacement target")

MUTANTS = [
    Mutant("short displacement not sign-extended", "instruction.c", "(int64_t)(int8_t)wide",
           "(int64_t)wide", "fuzz_instruction"),
    Mutant("reach off by one", "instruction.c", "operand < -reach - 1",
           "operand < -reach - 2", "fuzz_instruction"),
    Mutant("padding behind ret not looked at", "instruction.c", "if (bytes[i] != INSN_INT3) {",
           "if (false) {", "fuzz_instruction"),
    Mutant("text one byte too long", "instruction.c", "buffer + size - 1", "buffer + size",
           "fuzz_instruction"),
    Mutant("site 4097 accepted", "poke.c", "batch->count == PATCH_BATCH_MAX",
           "batch->count > PATCH_BATCH_MAX", "fuzz_batch"),
    Mutant("jump to address 0 taken for none", "poke.c",
           "(is_relative ? next : 0)", "(instruction->target != 0 ? next : 0)", "fuzz_batch"),
    Mutant("overlap of one byte accepted", "poke.c",
           "before->address + before->length > site->address",
           "before->address + before->length > site->address + 1", "fuzz_batch"),
    Mutant("end of a site not looked at", "poke.c",
           "platform_text_is_patchable(text, site->length)", "platform_text_is_patchable(text, 1)",
           "fuzz_batch"),
    Mutant("no sync behind the tails", "three_steps.c",
           "if (!pass->cpu_is_silent && sync_run(pass))",
           "if (step != PATCH_STEP_TAIL && !pass->cpu_is_silent && sync_run(pass))", "fuzz_batch"),
    Mutant("silent CPU behind a tail put back", "three_steps.c",
           "if (pass->tail_is_written || ", "if (", "fuzz_batch"),
    Mutant("new instruction emulated at a last site", "breakpoint.c", "if (site->is_last) {",
           "if (false) {", "fuzz_batch"),
    Mutant("others put back behind a last site", "three_steps.c",
           "if (pass->promise_is_given) {", "if (false) {", "fuzz_batch"),
    Mutant("others written whole behind a last site", "protocol_qword.c",
           "(site->is_last || !some_are_last)", "true", "fuzz_batch"),
    Mutant("stand-in jumped to", "poke.c", "instruction->kind = INSTRUCTION_CALL;",
           "instruction->kind = INSTRUCTION_JUMP;", "fuzz_batch"),
    Mutant("stand-in out of reach cut off", "poke.c", "displacement != (int32_t)displacement",
           "displacement != (uint32_t)displacement", "fuzz_batch"),
    Mutant("once a stand-in, always a stand-in", "poke.c", "    site->has_stand_in = false;\n", "",
           "fuzz_batch"),
    Mutant("int3 taken for an instruction", "poke.c", "bytes[0] == INSN_INT3 ?", "false ?",
           "fuzz_batch"),
    Mutant("call through memory goes to the word", "breakpoint.c",
           "registers->ip = bytes_load8((const void *)(next + operand));",
           "registers->ip = next + operand;", "fuzz_batch"),
    Mutant("prefix of a call not counted", "instruction.c", "0 : address + form->length;",
           "0 : address + form->length - (form->opcode[0] == INSN_PREFIX_CS);",
           "fuzz_instruction"),
    Mutant("last byte of an opcode looked at in part", "instruction.c",
           "condition > (form->kind == INSTRUCTION_JUMP_IF ? 15 : 0)",
           "condition > (form->kind == INSTRUCTION_JUMP_IF ? 15 : 16)", "fuzz_instruction"),
    Mutant("borrow into bit 4 forgotten", "breakpoint.c", "borrows & FLAG_AUXILIARY;", "0;",
           "fuzz_batch"),
    Mutant("value compared with counted from the site", "instruction.c",
           "form->kind == INSTRUCTION_COMPARE ? 0 :", "", "fuzz_instruction"),
    Mutant("quadword over a boundary", "protocol_qword.c", "(site->address + site->length - 1)",
           "(site->address + site->length - 2)", "fuzz_batch"),
    Mutant("quadword where CPUs fetch in parts", "protocol_qword.c",
           "platform_quadword_is_fetched_whole() ||", "true ||", "fuzz_batch"),
    Mutant("frame dropped without being freed", "net/counters.c", "    packet_free(packet);\n", "",
           "fuzz_packet"),
    Mutant("total length not compared with the frame", "net/ipv4.c",
           "total < *header_length || total > packet->length", "total < *header_length",
           "fuzz_packet"),
    Mutant("broadcast answered", "net/ipv4_send.c", "if (receipt->is_broadcast) {", "if (false) {",
           "fuzz_packet"),
    Mutant("our address in a frame to all answered", "net/ipv4.c",
           "receipt->is_broadcast |= mac_is_group(receipt->header - ETHERNET_HEADER_BYTES);", "",
           "fuzz_packet"),
    Mutant("UDP length not compared with the packet", "net/udp.c",
           "length < UDP_HEADER_BYTES || length > packet->length", "length < UDP_HEADER_BYTES",
           "fuzz_packet"),
    Mutant("packet sent and dropped", "net/net_transmit.c", "queue->counters.transmit_full++;",
           "net_drop(packet, NET_DROP_TRANSMIT_FULL);", "fuzz_packet"),
    Mutant("TTL changed without the checksum", "net/ipv4_send.c",
           "header_set16(header, IPV4_TIME_TO_LIVE,", "wire_put16(header + IPV4_TIME_TO_LIVE,",
           "fuzz_packet"),
    Mutant("packets that wait without a bound", "net/arp_table.c",
           "if (entry->pending == ARP_PENDING_MAX)", "if (false)", "fuzz_packet"),
    Mutant("what waits is lost with its entry", "net/arp_table.c",
           "    while (entry->pending > 0) {\n        drop_oldest_locked(entry);\n    }\n", "",
           "fuzz_packet"),
    Mutant("DHCP option beyond the message read", "net/dhcp_message.c",
           "end - at - 2 < at[1]", "false", "fuzz_packet"),
    Mutant("dispatcher compares unsigned", "dispatcher_image.c",
           "INSN_JCC8 + INSN_CONDITION_GREATER", "INSN_JCC8 + 7", "fuzz_dispatcher"),
    Mutant("dispatcher's pivot off by one", "dispatcher_image.c",
           "image->request->targets[pivot]", "image->request->targets[pivot + 1]",
           "fuzz_dispatcher"),
    Mutant("dispatcher's short jump too far", "dispatcher_image.c", "distance <= INT8_MAX",
           "distance <= UINT8_MAX", "fuzz_dispatcher"),
    Mutant("dispatcher's hottest target last", "dispatcher_image.c",
           "image->plan->is_hottest_last ?", "!image->plan->is_hottest_last ?", "fuzz_dispatcher"),
    Mutant("dispatcher's reach off by one half", "dispatcher_image.c",
           "&& is_sign_extended(distance - DISPATCHER_HALF_BYTES)", "", "fuzz_dispatcher"),
    Mutant("dispatcher's target twice", "dispatcher_image.c",
           "(int64_t)targets[i - 1] >= (int64_t)targets[i]",
           "(int64_t)targets[i - 1] > (int64_t)targets[i]", "fuzz_dispatcher"),
    Mutant("dispatcher's ranking not checked", "dispatcher_image.c",
           "number >= request->count", "false", "fuzz_dispatcher"),
    Mutant("gate stays open while slots change", "dynamic_call.c",
           "    if (call->form.is_open) {", "    if (false) {", "fuzz_dynamic_call"),
    Mutant("gate not last", "dynamic_call.c", "gate.is_last = form->is_open;",
           "gate.is_last = false;", "fuzz_dynamic_call"),
    Mutant("value stored before the gate closes", "dynamic_call.c",
           "enum patch_status status = chain_empty(call, error);",
           "values_store(call, &form->targets);\n"
           "enum patch_status status = chain_empty(call, error);", "fuzz_dynamic_call"),
    Mutant("values of a change that failed stay", "dynamic_call.c",
           "values_store(call, &call->form.targets);", "", "fuzz_dynamic_call"),
    Mutant("trial not waited for", "dynamic_call.c", "call->needs_grace |= goes_through;", "",
           "fuzz_dynamic_call"),
    Mutant("failure not remembered", "dynamic_call.c", "call->is_unsettled = true;", "",
           "fuzz_dynamic_call"),
    Mutant("comparison left out", "dynamic_compare.c", "i < slot->site_count && status",
           "i + 1 < slot->site_count && status", "fuzz_dynamic_call"),
    Mutant("target twice accepted", "dynamic_call.c", "if (targets->slot[before] == target) {",
           "if (false) {", "fuzz_dynamic_call"),
]


def path_of(mutant):
    """Returns the file that is broken: of patching/ unless it names its room."""
    return pathlib.Path(mutant.file if "/" in mutant.file else f"patching/{mutant.file}")


def try_seeds(program, target, log, folder, limit):
    """Runs a fuzzer from the seeds; returns (reproducer found?, its words)."""
    corpus = log.with_suffix(".corpus")
    shutil.rmtree(corpus, ignore_errors=True)
    corpus.mkdir(parents=True)
    process = run.start(program, target, log, [corpus, folder], ["-seed=1", limit])
    try:
        run.wait([process], 2 * MUTANT_SECONDS)
    finally:
        run.stop([process])
    shutil.rmtree(corpus, ignore_errors=True)
    text = log.read_text(errors="replace")
    return run.REPRODUCER.search(text) is not None, text


def build(options, number, mutant):
    """Writes and builds the mutant; returns (program, None) or (None, what is wrong)."""
    text = (ROOT / path_of(mutant)).read_text(encoding="utf-8")
    if text.count(mutant.search) != 1:
        return None, f"search text stands {text.count(mutant.search)} times in {mutant.file}"
    base = options.build / "fuzz/mutants" / f"{number:02}_{path_of(mutant).stem}"
    base.parent.mkdir(parents=True, exist_ok=True)
    base.with_suffix(".c").write_text(text.replace(mutant.search, mutant.replacement),
                                      encoding="utf-8")
    failure = run.make(options.make, "fuzz-mutant", f"TARGET={mutant.target}", f"MUTANT={base}",
                       f"FILE={path_of(mutant).name}")
    return (None, f"does not build:\n{failure}") if failure else (base, None)


def judge(options, folders, number, mutant):
    """Returns None if a fuzzer finds the mutant, else what is wrong."""
    program, wrong = build(options, number, mutant)
    if wrong:
        return wrong
    found, _ = try_seeds(program, mutant.target, program.with_suffix(".log"),
                         folders[mutant.target], f"-max_total_time={MUTANT_SECONDS}")
    for leftover in program.parent.glob(program.name + "-*"):
        leftover.unlink()
    return None if found else f"SURVIVES {MUTANT_SECONDS} s"


def check_originals(options, folders):
    """Returns what is wrong with the originals, by target."""
    wrong = {}
    for target, folder in folders.items():
        log = options.build / "fuzz/mutants" / f"{target}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        found, text = try_seeds(options.build / "fuzz" / target, target, log, folder,
                                f"-runs={ORIGINAL_RUNS}")
        if found or not run.figures(text)[0]:
            culprit = run.CULPRIT.search(text)
            wrong[target] = "the original fails: " + (culprit.group(0) if culprit else text[-500:])
    return wrong


def main():
    options = run.arguments(__doc__.splitlines()[0]).parse_args()
    results = options.build / "mutants"
    mutant_table.forget(results, "fuzz")
    reason = run.why_skip(options.build, options.clang)
    if reason:
        print(f"  SKIP  {options.clang} can link no fuzzer: {reason}")
        print(f"fuzz mutants: 0 passed, 0 failed, {len(MUTANTS)} skipped")
        return
    failure = run.make(options.make, "fuzz-programs")
    if failure:
        print(f"{failure}\nfuzz mutants: 0 passed, {len(MUTANTS)} failed, 0 skipped")
        sys.exit(1)
    folders = seeds.write(options.build / "fuzz/mutants/seeds")
    originals = check_originals(options, folders)
    bad = 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        verdicts = pool.map(lambda item: originals.get(item[1].target)
                            or judge(options, folders, *item), enumerate(MUTANTS))
        try:
            for mutant, wrong in zip(MUTANTS, verdicts):
                bad += wrong is not None
                print(f"  {'BAD ' if wrong else 'dead'}  {mutant.file[:-2]}: {mutant.name}"
                      f"  <- {wrong or mutant.target}", flush=True)
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)  # those that run end in seconds
            raise
    if not bad:
        mutant_table.save(results, "fuzz", [(mutant.name, str(path_of(mutant)), mutant.target)
                                            for mutant in MUTANTS])
    print(f"fuzz mutants: {len(MUTANTS) - bad} passed, {bad} failed, 0 skipped")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    run.end_clearly(main, "fuzz mutants")
