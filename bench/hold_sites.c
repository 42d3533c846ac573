// SPDX-License-Identifier: MIT
/* The table of the sites of hold_sites.asm. Invariant: see hold_sites.h. */
#include "bench/hold_sites.h"

#include "kernel/panic.h"

#define CONDITION_EQUAL 4 /* je; Intel SDM volume 2, "Jcc" */

#define DECLARE(name)                                                                              \
    extern char hold_site_##name[], hold_first_##name[], hold_second_##name[];                     \
    enum hold_outcome hold_run_##name(hold_stand_function *stand, void *argument)

DECLARE(jump);
DECLARE(branch);
DECLARE(short);
DECLARE(call);
DECLARE(jump_to_call);
DECLARE(page);
DECLARE(nop);

#define NOP(size)                                                                                  \
    {                                                                                              \
        .kind = INSTRUCTION_NOP, .length = (size)                                                  \
    }
#define TO(form, name, insn, size, cc)                                                             \
    {                                                                                              \
        .kind = (insn), .length = (size), .condition = (cc),                                       \
        .target = (uint64_t)hold_##form##_##name                                                   \
    }
#define SITE(id, text, where, first_form, second_form)                                             \
    {                                                                                              \
        .name = (text), .place = (where), .address = (uint64_t)hold_site_##id,                     \
        .forms = {first_form, second_form}, .run = hold_run_##id                                   \
    }

const struct hold_site hold_sites[HOLD_SITES] = {
    SITE(jump, "jmp to jmp", "in a quadword", TO(first, jump, INSTRUCTION_JUMP, 5, 0),
         TO(second, jump, INSTRUCTION_JUMP, 5, 0)),
    SITE(branch, "je to je", "in a quadword",
         TO(first, branch, INSTRUCTION_JUMP_IF, 6, CONDITION_EQUAL),
         TO(second, branch, INSTRUCTION_JUMP_IF, 6, CONDITION_EQUAL)),
    SITE(short, "nop2 to jmp8", "in a quadword", NOP(2), TO(second, short, INSTRUCTION_JUMP, 2, 0)),
    SITE(call, "call to call", "across a quadword", TO(first, call, INSTRUCTION_CALL, 5, 0),
         TO(second, call, INSTRUCTION_CALL, 5, 0)),
    SITE(jump_to_call, "jmp to call", "across a cache line",
         TO(first, jump_to_call, INSTRUCTION_JUMP, 5, 0),
         TO(second, jump_to_call, INSTRUCTION_CALL, 5, 0)),
    SITE(page, "jmp to jmp", "across a page", TO(first, page, INSTRUCTION_JUMP, 5, 0),
         TO(second, page, INSTRUCTION_JUMP, 5, 0)),
    SITE(nop, "nop5 to jmp", "in a quadword", NOP(5), TO(second, nop, INSTRUCTION_JUMP, 5, 0)),
};

void hold_site_bytes(const struct hold_site *site, enum hold_form form,
                     uint8_t bytes[PATCH_SITE_LENGTH_MAX])
{
    enum patch_status status = instruction_encode(&site->forms[form], site->address, bytes);
    if (status != PATCH_OK) {
        panic("hold site %s %s: form %u: %s", site->name, site->place, (unsigned)form,
              patch_status_text(status));
    }
}

bool hold_site_fits_quadword(const struct hold_site *site)
{
    uint64_t last = site->address + site->forms[HOLD_FORM_FIRST].length - 1;
    return site->address / sizeof(uint64_t) == last / sizeof(uint64_t);
}
