// SPDX-License-Identifier: MIT
/* The link-time pass: finds every call of a patchable function in the partially linked kernel.
 *
 *     call_sites PARTIAL.o -o OUT.asm
 *
 * To the compiler a patchable function is an ordinary external function. Its trampoline lies in
 * .text.static_call, so each relocation against that section is a use of it; the bytes in front of
 * the relocated field say which. Calls, jumps and conditional jumps in .text are written to OUT.asm
 * as a table; every other use is refused, because it would go on to the trampoline, or be patched
 * where nothing may be. Stubs in .text.lazy_call obey the same rules but are not listed.
 *
 * Rules for an object (partial.ld makes one):
 * - .text.static_call and .text.lazy_call hold nothing but functions named static_call_NAME and
 *   lazy_call_NAME, global, each of a name of its own, with letters, digits and _ in it.
 * Trampolines are patched as quadwords: aligned to 8 bytes, and 5 bytes at least.
 * - only .text calls them. .text.nopatch and all other code must not.
 * - only the sections `static_calls` and `lazy_calls` (the descriptors) take their addresses.
 * - partial_text is the start of .text.
 *
 * Would miss: a call for which there is no relocation, because an assembler resolved it within one
 * section; tools/test_call_sites.py compares with a disassembly.
 *
 * call_sites.c: options and output; call_sites_object.c: reads and checks the file;
 * call_sites_find.c: the rules; call_sites_message.c: complaints. */
#pragma once

#include <gelf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CALL_SITES_ORIGIN                                                                          \
    "partial_text" /* symbol at the start of .text; sites are offsets from it */

/* What patching may do to a section, and what it may refer to. */
enum section_role {
    ROLE_IGNORED, /* not loaded, or unwind tables */
    ROLE_DATA,
    ROLE_STATIC_DESCRIPTORS,
    ROLE_LAZY_DESCRIPTORS,
    ROLE_CODE, /* neither of those below, for instance .boot.text */
    ROLE_TEXT,
    ROLE_NOPATCH,
    ROLE_STATIC_CALLS,
    ROLE_LAZY_CALLS,
};

struct section {
    const char *name;
    enum section_role role;
    GElf_Shdr header;
    Elf_Data *data; /* NULL if it has no bytes in the file */
};

struct symbol {
    const char *name; /* "" for none */
    const char *file; /* source file's name for a local symbol, else NULL */
    uint64_t value;   /* offset in its section */
    uint64_t size;
    size_t section; /* 0 if it is in none */
    unsigned char type, binding;
};

/* A partially linked object, checked: every index and offset below is in bounds. */
struct object {
    const char *path;
    int file;
    Elf *elf;
    struct section *sections;
    size_t section_count;
    struct symbol *symbols;
    size_t symbol_count;
    size_t symbol_table; /* its section */
};

/* The same values as enum call_site_kind in patching/call_site.h. */
enum site_kind { SITE_CALL, SITE_JUMP, SITE_JUMP_IF };

struct site {
    const struct symbol *function; /* the patchable function */
    uint64_t offset;               /* in .text */
    enum site_kind kind;
    unsigned length; /* bytes */
};

struct site_list {
    struct site *sites;
    size_t count, capacity;
};

/* Opens and checks @path. Returns false, with a complaint, if it is not a sound x86-64 object.
 * object_close() is due in either case. */
bool object_open(struct object *object, const char *path);
void object_close(struct object *object);

/* Returns true for a section that holds patchable functions. */
bool section_is_patchable(const struct section *section);

/* Returns the symbol that best names @offset of section number @section, or NULL: a function or
 * object around it, else what begins last at or before it. */
const struct symbol *object_symbol_at(const struct object *object, size_t section, uint64_t offset);

/* Returns the patchable function that begins exactly there, or NULL. */
const struct symbol *object_function_at(const struct object *object, size_t section,
                                        uint64_t offset);

/* Finds the sites of @object, sorted by name of the function and offset. Complains of everything
 * that breaks the rules above. */
void sites_find(const struct object *object, struct site_list *list);

/* Where a complaint belongs. */
struct place {
    size_t section; /* 0: the object as a whole */
    uint64_t offset;
    const struct symbol *symbol; /* NULL: the one around the offset */
};

#define PLACE_WHOLE ((struct place){0})

/* Prints one line: @place in the source, and @format. */
__attribute__((format(printf, 3, 4))) void complain(const struct object *object, struct place place,
                                                    const char *format, ...);

/* Returns how often complain() was called. */
unsigned complaint_count(void);

/* Gives back what complain() keeps open. */
void complaints_end(void);

/* Copies @text so that it is safe in a comment or a message: characters that do not occur in names
 * become '?', a long one is cut off. Returns @safe. */
enum { SAFE_NAME_SIZE = 128 };
const char *name_make_safe(const char *text, char safe[SAFE_NAME_SIZE]);

/* malloc and realloc that end the program when there is no memory. */
void *memory_allocate(void *old, size_t count, size_t size);
