// SPDX-License-Identifier: MIT
/* Generated programs: from a number to a function in memory of its own, and back. Invariant: a slot
 * of the arena holds int3, or the whole code of a program that is listed; it is written while
 * nobody can be in it. Called by: whoever uses program.h. */
#include "arch/paging.h"
#include "kernel/format.h"
#include "kernel/page_allocator.h"
#include "kernel/string.h"
#include "net/program_code.h"
#include "net/program_reference.h"
#include "patching/dynamic_call.h"
#include "patching/generated_text.h"

#define NAME_BYTES 6 /* "gen63" and NUL */
#define DATA_PAGES (sizeof(struct net_program_data) / PAGE_SIZE)
_Static_assert(sizeof(struct net_program_data) % PAGE_SIZE == 0, "whole pages");

/* The arena: NET_PROGRAM_GENERATED_MAX slots of PROGRAM_CODE_BYTES, each under a symbol of the
 * program's name, so that whoever prints an address says whose it is. */
#define SLOT(name)                                                                                 \
    name ":\n\t"                                                                                   \
         ".type " name ", @function\n\t"                                                           \
         ".fill 128, 1, 0xcc\n\t"                                                                  \
         ".size " name ", 128\n\t"
/* clang-format off */
__asm__(".pushsection .text.generated, \"ax\", @progbits\n\t"
        ".balign 4096, 0xcc\n\t"
        ".irpc ones, 0123456789\n"
        SLOT("gen\\ones")
        ".endr\n\t"
        ".irpc tens, 123456\n\t"
        ".irpc ones, 0123456789\n\t"
        ".if \\tens * 10 + \\ones < 64\n"
        SLOT("gen\\tens\\ones")
        ".endif\n\t"
        ".endr\n\t"
        ".endr\n\t"
        ".popsection");
/* clang-format on */
extern uint8_t program_arena[NET_PROGRAM_GENERATED_MAX][PROGRAM_CODE_BYTES] __asm__("gen0");
_Static_assert(NET_PROGRAM_GENERATED_MAX == 64 && PROGRAM_CODE_BYTES == 128,
               "the assembler text above says so");

/* under the program lock: */
static struct generated {
    struct net_program program;
    char name[NAME_BYTES];
    bool exists;
} generated[NET_PROGRAM_GENERATED_MAX];

uint32_t net_program_number(const char *name)
{
    char text[16];

    for (uint32_t number = 0; number < NET_PROGRAM_GENERATED_MAX; number++) {
        format_text(text, sizeof(text), "gen%u", number);
        if (strcmp(text, name) == 0) {
            return number;
        }
    }
    return UINT32_MAX;
}

struct net_program *program_generated_at(unsigned index)
{
    for (uint32_t number = 0; number < NET_PROGRAM_GENERATED_MAX; number++) {
        if (generated[number].exists && index-- == 0) {
            return &generated[number].program;
        }
    }
    return NULL;
}

/* Lists the program; its code is in the arena and its data are ready. */
static void generated_list(uint32_t number, size_t length, const struct net_program_data *data)
{
    struct generated *new = &generated[number];

    format_text(new->name, sizeof(new->name), "gen%u", number);
    new->exists = true;
    new->program = (struct net_program){
        .xdp = {.name = new->name,
                .function = (dispatched_function *)(uint64_t)program_arena[number],
                .instructions = data},
        .summary = "drops UDP to port 9000 + its number",
        .is_generated = true,
        .bytes = (uint32_t)length,
    };
}

static enum net_program_status generate_locked(uint32_t number, struct patch_error *error)
{
    uint8_t code[PROGRAM_CODE_BYTES];
    size_t length = program_code_generate(number, code);
    uint64_t data = page_allocate_run(DATA_PAGES);

    if (data == 0) {
        return NET_PROGRAM_NO_MEMORY;
    }
    if (generated_text_write((uint64_t)program_arena[number], code, length, error) != PATCH_OK) {
        page_free_run(data, DATA_PAGES);
        return NET_PROGRAM_PATCH;
    }
    generated_list(number, length, physical_to_virtual(data));
    return NET_PROGRAM_OK;
}

enum net_program_status net_program_generate(uint32_t number, struct net_program **program,
                                             struct patch_error *error)
{
    enum net_program_status status = NET_PROGRAM_OK;

    if (number >= NET_PROGRAM_GENERATED_MAX) {
        return NET_PROGRAM_NO_NUMBER;
    }
    program_lock();
    if (!generated[number].exists) {
        status = generate_locked(number, error);
    }
    if (status == NET_PROGRAM_OK) {
        *program = &generated[number].program;
    }
    program_unlock();
    return status;
}

/* Nobody can get to it any more; takes it out of the hook's slots, waits for those who got to it
 * before, frees it. The wait is behind the last user's own, for a detach that was given up may have
 * left somebody inside. */
static enum net_program_status unload_locked(struct net_program *program, struct patch_error *error)
{
    struct generated *old = &generated[net_program_number(program->xdp.name)];
    uint64_t address = (uint64_t)program->xdp.function;

    if (!old->exists) {
        return NET_PROGRAM_NONE;
    }
    if (dynamic_calls_forget(address, error) != PATCH_OK) {
        return NET_PROGRAM_PATCH; /* somebody may be inside, or get there by a slot */
    }
    old->exists = false; /* even if it is not erased: nobody may run a mixture of bytes */
    page_free_run(virtual_to_physical(program->xdp.instructions), DATA_PAGES);
    return generated_text_erase(address, PROGRAM_CODE_BYTES, error) == PATCH_OK ? NET_PROGRAM_OK
                                                                                : NET_PROGRAM_PATCH;
}

enum net_program_status net_program_unload(struct net_program *program, struct patch_error *error)
{
    enum net_program_status status;

    program_lock();
    if (!program->is_generated) {
        status = NET_PROGRAM_BUILT_IN;
    } else if (program->users != 0 || program->dispatched != 0) {
        status = NET_PROGRAM_IN_USE;
    } else {
        status = unload_locked(program, error);
    }
    program_unlock();
    return status;
}
