// SPDX-License-Identifier: MIT
/* The rules of the link-time pass (call_sites.h): which use of a patchable function becomes a site,
 * and which is refused. Invariant: every relocation against a patchable function ends as a site, as
 * a descriptor's, or in a complaint; none is passed over. Caller: call_sites.c. */
#include "call_sites.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
    OPCODE_CALL = 0xe8,
    OPCODE_JUMP = 0xe9,
    OPCODE_TWO_BYTES = 0x0f,
    OPCODE_JUMP_IF = 0x80, /* second byte: 80..8f, one for each condition */
    FIELD_SIZE = 4,        /* the rel32, which ends the instruction */
    TRAMPOLINE_ALIGNMENT = 8,
    TRAMPOLINE_SIZE = 5, /* jmp rel32 */
};

/* One relocation against a section of patchable functions. */
struct reference {
    size_t from; /* section that refers */
    uint64_t offset;
    uint64_t type;
    const struct symbol
        *symbol;     /* referred to: the function, or its section, or another one there */
    size_t to;       /* section of patchable functions */
    uint64_t target; /* offset there, as if added to the field's own address */
};

static const struct role_facts {
    const char *section, *prefix, *descriptors;
} static_facts = {".text.static_call", "static_call_", "static_calls"},
  lazy_facts = {".text.lazy_call", "lazy_call_", "lazy_calls"};

static const struct role_facts *facts_of(const struct object *object, size_t section)
{
    return object->sections[section].role == ROLE_LAZY_CALLS ? &lazy_facts : &static_facts;
}

/* Recognises the instruction that ends with the four bytes at @offset. The byte before them cannot
 * be taken for another one's: where a 32-bit displacement is relative to rip, it is a ModRM byte
 * 05, 0d, ... 3d, never e8, e9 or 80..8f. (An immediate may follow such a byte, as in sub eax, but
 * no compiler makes one relative to its own place.) */
static bool site_recognise(const struct section *section, uint64_t offset, struct site *site)
{
    const uint8_t *bytes = section->data->d_buf;
    unsigned before = offset >= 1 ? bytes[offset - 1] : 0;

    if (before == OPCODE_CALL || before == OPCODE_JUMP) {
        site->kind = before == OPCODE_CALL ? SITE_CALL : SITE_JUMP;
        site->length = 1 + FIELD_SIZE;
    } else if (offset >= 2 && bytes[offset - 2] == OPCODE_TWO_BYTES &&
               (before & 0xf0) == OPCODE_JUMP_IF) {
        site->kind = SITE_JUMP_IF;
        site->length = 2 + FIELD_SIZE;
    } else {
        return false;
    }
    site->offset = offset + FIELD_SIZE - site->length;
    return true;
}

static struct place place_of(const struct reference *reference)
{
    return (struct place){.section = reference->from, .offset = reference->offset};
}

static void site_append(struct site_list *list, struct site site)
{
    if (list->count == list->capacity) {
        list->capacity = list->capacity == 0 ? 64 : 2 * list->capacity;
        list->sites = memory_allocate(list->sites, list->capacity, sizeof(site));
    }
    list->sites[list->count++] = site;
}

/* Returns what to call @target in a message: the symbol referred to; if that is a section, the
 * function there or before it. */
static const char *target_name(const struct object *object, const struct reference *reference,
                               uint64_t target, char safe[SAFE_NAME_SIZE])
{
    const struct symbol *symbol =
        reference->symbol->name[0] != '\0' && reference->symbol->type != STT_SECTION
            ? reference->symbol
            : object_symbol_at(object, reference->to, target);

    return name_make_safe(symbol != NULL ? symbol->name : facts_of(object, reference->to)->section,
                          safe);
}

static void address_refuse(const struct object *object, const struct reference *reference,
                           uint64_t target)
{
    char safe[SAFE_NAME_SIZE];

    complain(object, place_of(reference),
             "takes the address of %s (relocation type %" PRIu64
             "), but only calls are patched; call it "
             "by its name (only section %s may hold its address)",
             target_name(object, reference, target, safe), reference->type,
             facts_of(object, reference->to)->descriptors);
}

static void middle_refuse(const struct object *object, const struct reference *reference,
                          uint64_t target)
{
    char safe[SAFE_NAME_SIZE];

    complain(object, place_of(reference),
             "refers into the middle of %s (%s+%#" PRIx64 "), which is patched; refer to its start",
             target_name(object, reference, target, safe), facts_of(object, reference->to)->section,
             target);
}

static void place_refuse(const struct object *object, const struct reference *reference,
                         const struct symbol *function)
{
    const struct section *from = &object->sections[reference->from];
    bool nopatch = from->role == ROLE_NOPATCH;
    char safe[SAFE_NAME_SIZE], section[SAFE_NAME_SIZE];

    complain(object, place_of(reference), "calls %s from section %s, %s",
             name_make_safe(function->name, safe), name_make_safe(from->name, section),
             nopatch ? "which runs while text is half patched; call a function of .text.nopatch"
                     : "which is not patched; move the caller to .text or call what it stands for");
}

static void code_reference_check(const struct object *object, const struct reference *reference,
                                 struct site_list *list)
{
    const struct section *from = &object->sections[reference->from];
    bool relative = reference->type == R_X86_64_PLT32 || reference->type == R_X86_64_PC32;
    uint64_t target = reference->target + FIELD_SIZE; /* a relative field counts from its end */
    struct site site;

    if (from->header.sh_size - reference->offset < FIELD_SIZE) {
        complain(object, place_of(reference),
                 "a relocation reaches beyond the end of its section; build the object again");
    } else if (!relative || !site_recognise(from, reference->offset, &site)) {
        address_refuse(object, reference, target);
    } else if ((site.function = object_function_at(object, reference->to, target)) == NULL) {
        middle_refuse(object, reference, target);
    } else if (from->role != ROLE_TEXT) {
        place_refuse(object, reference, site.function);
    } else if (object->sections[reference->to].role == ROLE_STATIC_CALLS) {
        site_append(list, site);
    }
}

static void data_reference_check(const struct object *object, const struct reference *reference)
{
    enum section_role from = object->sections[reference->from].role;
    enum section_role wanted = object->sections[reference->to].role == ROLE_LAZY_CALLS
                                   ? ROLE_LAZY_DESCRIPTORS
                                   : ROLE_STATIC_DESCRIPTORS;

    if (from != wanted) {
        address_refuse(object, reference, reference->target);
    } else if (object_function_at(object, reference->to, reference->target) == NULL) {
        middle_refuse(object, reference, reference->target);
    }
}

static bool reference_read(const struct object *object, const struct section *table, size_t index,
                           struct reference *reference)
{
    GElf_Rela entry;

    if (gelf_getrela(table->data, (int)index, &entry) == NULL ||
        GELF_R_SYM(entry.r_info) >= object->symbol_count ||
        entry.r_offset >= object->sections[table->header.sh_info].header.sh_size) {
        return false;
    }

    const struct symbol *symbol = &object->symbols[GELF_R_SYM(entry.r_info)];

    reference->from = table->header.sh_info;
    reference->offset = entry.r_offset;
    reference->type = GELF_R_TYPE(entry.r_info);
    reference->symbol = symbol;
    reference->to = symbol->section;
    reference->target = symbol->value + (uint64_t)entry.r_addend;
    return true;
}

static bool relocations_are_sound(const struct object *object, const struct section *table)
{
    size_t target = table->header.sh_info;

    return table->header.sh_type == SHT_RELA && table->header.sh_entsize == sizeof(Elf64_Rela) &&
           table->header.sh_size % sizeof(Elf64_Rela) == 0 && target != 0 &&
           table->header.sh_link == object->symbol_table && target < object->section_count &&
           (object->sections[target].data != NULL || table->header.sh_size == 0);
}

/* Checks all references that relocation section @table makes. */
static void relocations_check(const struct object *object, size_t table_index,
                              struct site_list *list)
{
    const struct section *table = &object->sections[table_index];

    if (!relocations_are_sound(object, table)) {
        complain(object, PLACE_WHOLE, "relocation section %zu is corrupted; build the object again",
                 table_index);
        return;
    }
    if (object->sections[table->header.sh_info].role == ROLE_IGNORED) {
        return;
    }
    for (size_t i = 0; i < table->header.sh_size / sizeof(Elf64_Rela); i++) {
        struct reference reference;

        if (!reference_read(object, table, i, &reference)) {
            complain(object, PLACE_WHOLE,
                     "relocation %zu of section %zu is corrupted; build it again", i, table_index);
        } else if (!section_is_patchable(&object->sections[reference.to])) {
            continue;
        } else if (object->sections[reference.from].role >= ROLE_CODE) {
            code_reference_check(object, &reference, list);
        } else {
            data_reference_check(object, &reference);
        }
    }
}

/* Returns true for "static_call_" and one or more characters that C and NASM know in names. */
static bool function_name_is_good(const char *name, const char *prefix)
{
    size_t length = strlen(prefix);

    if (strncmp(name, prefix, length) != 0 || name[length] == '\0') {
        return false;
    }
    while (isalnum((unsigned char)name[length]) || name[length] == '_') {
        length++;
    }
    return name[length] == '\0';
}

/* Returns what is wrong with the patchable function @symbol, or NULL. */
static const char *function_fault(const struct object *object, const struct symbol *symbol)
{
    const struct section *section = &object->sections[symbol->section];

    if (!function_name_is_good(symbol->name, facts_of(object, symbol->section)->prefix)) {
        return "is not named after its section: static_call_NAME or lazy_call_NAME is wanted";
    }
    if (symbol->binding != STB_GLOBAL || symbol->type != STT_FUNC) {
        return "is not a global function: declare it .globl and .type @function, not weak or local";
    }
    if (section->role == ROLE_LAZY_CALLS) {
        return NULL;
    }
    if (section->header.sh_addralign % TRAMPOLINE_ALIGNMENT != 0 ||
        section->header.sh_addralign == 0 || symbol->value % TRAMPOLINE_ALIGNMENT != 0) {
        return "does not begin at a multiple of 8: put .balign 8 before it and behind it";
    }
    if (symbol->value > section->header.sh_size ||
        section->header.sh_size - symbol->value < TRAMPOLINE_SIZE) {
        return "is shorter than a jump: 5 bytes are wanted";
    }
    return NULL;
}

static int symbol_compare_names(const void *left, const void *right)
{
    const struct symbol *a = *(const struct symbol *const *)left;
    const struct symbol *b = *(const struct symbol *const *)right;
    int order = strcmp(a->name, b->name);

    return order != 0 ? order : (a > b) - (a < b);
}

/* Complains of each symbol that shares its name with a patchable function: a call of that name in
 * its file goes elsewhere. The last one may keep it: local symbols stand first. @named is sorted.
 */
static void names_check_unique(const struct object *object, const struct symbol **named,
                               size_t count)
{
    for (size_t first = 0, end; first < count; first = end) {
        bool patchable = false;

        for (end = first; end < count && strcmp(named[first]->name, named[end]->name) == 0; end++) {
            patchable = patchable || section_is_patchable(&object->sections[named[end]->section]);
        }
        for (size_t i = first; patchable && i + 1 < end; i++) {
            char safe[SAFE_NAME_SIZE];

            complain(object, (struct place){named[i]->section, named[i]->value, named[i]},
                     "%s is defined twice; give one of them another name",
                     name_make_safe(named[i]->name, safe));
        }
    }
}

static void functions_check(const struct object *object)
{
    const struct symbol **named =
        memory_allocate(NULL, object->symbol_count, sizeof(struct symbol *));
    size_t count = 0;

    for (size_t i = 0; i < object->symbol_count; i++) {
        const struct symbol *symbol = &object->symbols[i];
        const char *fault;

        if (symbol->section == 0 || symbol->type == STT_SECTION || symbol->type == STT_FILE) {
            continue;
        }
        named[count++] = symbol;
        if (section_is_patchable(&object->sections[symbol->section]) &&
            (fault = function_fault(object, symbol)) != NULL) {
            char safe[SAFE_NAME_SIZE];

            complain(object, (struct place){symbol->section, symbol->value, symbol}, "%s %s",
                     name_make_safe(symbol->name, safe), fault);
        }
    }
    qsort(named, count, sizeof(struct symbol *), symbol_compare_names);
    names_check_unique(object, named, count);
    free(named);
}

/* Sites are written as offsets from CALL_SITES_ORIGIN. */
static void origin_check(const struct object *object)
{
    for (size_t i = 0; i < object->symbol_count; i++) {
        const struct symbol *symbol = &object->symbols[i];

        if (symbol->binding == STB_GLOBAL && symbol->value == 0 &&
            object->sections[symbol->section].role == ROLE_TEXT &&
            strcmp(symbol->name, CALL_SITES_ORIGIN) == 0) {
            return;
        }
    }
    complain(object, PLACE_WHOLE,
             "symbol %s is not the start of .text; link with ld -r -T partial.ld",
             CALL_SITES_ORIGIN);
}

static int site_compare(const void *left, const void *right)
{
    const struct site *a = left, *b = right;
    int order = strcmp(a->function->name, b->function->name);

    return order != 0 ? order : (a->offset > b->offset) - (a->offset < b->offset);
}

void sites_find(const struct object *object, struct site_list *list)
{
    unsigned texts = 0;

    functions_check(object);
    for (size_t i = 1; i < object->section_count; i++) {
        uint32_t type = object->sections[i].header.sh_type;

        texts += object->sections[i].role == ROLE_TEXT;
        if (type == SHT_RELA || type == SHT_REL) {
            relocations_check(object, i, list);
        }
    }
    if (list->count == 0) {
        return;
    }
    if (texts > 1) {
        complain(object, PLACE_WHOLE, "has %u sections .text; link with ld -r -T partial.ld",
                 texts);
    }
    origin_check(object);
    qsort(list->sites, list->count, sizeof(struct site), site_compare);
}
