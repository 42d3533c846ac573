// SPDX-License-Identifier: MIT
/* `dispatch NAME --code`: the code of a dispatcher, disassembled. Invariant: the bytes shown were
 * all in use at one time: they are copied, and taken again if the dispatcher changed meanwhile.
 * Called by: commands_dispatch.c. */
#include "kernel/console.h"
#include "kernel/dispatch_command.h"
#include "kernel/format.h"
#include "kernel/string.h"
#include "kernel/table.h"
#include "patching/image_text.h"

#define ATTEMPTS 100

const char *dispatch_target_text(uint64_t address, char text[SYMBOL_TEXT_MAX])
{
    uint64_t offset;
    const char *name = symbol_find(address, &offset);

    return name != NULL && offset == 0 ? name : symbol_describe(address, text, SYMBOL_TEXT_MAX);
}

/* An image is not written while the entry goes to it: if it did before and after, the copy is good.
 */
static bool image_copy(struct dispatcher *dispatcher, struct dispatcher_view *view, uint8_t *bytes)
{
    static struct dispatcher_view after;

    for (unsigned attempt = 0; attempt < ATTEMPTS; attempt++) {
        dispatcher_look(dispatcher, view);
        memcpy(bytes, (const void *)view->image, view->image_length);
        dispatcher_look(dispatcher, &after);
        if (after.image == view->image && after.image_length == view->image_length &&
            after.statistics.updates == view->statistics.updates) {
            return true;
        }
    }
    console_print("dispatch: %s changes all the time; try again\n", dispatcher->name);
    return false;
}

/* "name" of what an operand stands for; inside the image the way from its beginning. */
static const char *operand_text(const struct dispatcher_view *view, uint64_t operand,
                                char text[SYMBOL_TEXT_MAX])
{
    if (operand - view->image < view->image_length) {
        format_text(text, SYMBOL_TEXT_MAX, "+0x%llx", (unsigned long long)(operand - view->image));
        return text;
    }
    return dispatch_target_text(operand, text);
}

static void instruction_print(struct table *table, const struct dispatcher_view *view,
                              const struct image_instruction *instruction, uint64_t address,
                              const uint8_t *bytes)
{
    const char *name = image_instruction_name(instruction->kind);
    unsigned long long operand = instruction->operand;
    char digits[2 * IMAGE_INSTRUCTION_LONGEST + 1] = "", text[40], target[SYMBOL_TEXT_MAX];
    bool is_compare = instruction->kind == IMAGE_COMPARE;

    for (uint8_t i = 0; i < instruction->length; i++) {
        format_text(digits + 2 * i, 3, "%02x", bytes[i]);
    }
    if (is_compare || image_instruction_is_jump(instruction->kind)) {
        format_text(text, sizeof(text), "%s %s0x%llx", name, is_compare ? "rdx, " : "", operand);
    } else {
        format_text(text, sizeof(text), "%s", name);
    }
    table_row(table);
    table_text(table, "name", 8, view->name);
    table_hex(table, "address", 18, address);
    table_text(table, "bytes", 22, digits);
    table_text(table, "insn", 27, text);
    if (operand != 0) {
        table_text(table, "target", 0, operand_text(view, operand, target));
    } else {
        table_none(table, "target", 0);
    }
    table_end_row(table);
}

bool dispatch_code_print(struct dispatcher *dispatcher, bool json)
{
    static struct dispatcher_view view;
    static uint8_t bytes[DISPATCHER_HALF_BYTES];
    struct image_instruction instruction;
    struct table table;

    if (!image_copy(dispatcher, &view, bytes)) {
        return false;
    }
    if (view.image_length == 0 && !json) {
        char text[SYMBOL_TEXT_MAX];

        console_print("%s has no code of its own now: calls go to %s\n", view.name,
                      dispatch_target_text((uint64_t)__x86_indirect_thunk_rdx, text));
        return true;
    }
    table_begin(&table, "dispatch.code", json);
    for (uint32_t at = 0; at < view.image_length; at += instruction.length) {
        if (!image_instruction_decode(bytes + at, view.image_length - at, view.image + at,
                                      &instruction)) {
            console_print("dispatch: %s: no instruction that images have at 0x%llx\n", view.name,
                          (unsigned long long)(view.image + at));
            return false;
        }
        instruction_print(&table, &view, &instruction, view.image + at, bytes + at);
    }
    table_end(&table);
    return true;
}
