// SPDX-License-Identifier: MIT
/* Complaints of the link-time pass: one line each, with the place in the source. Invariant: a
 * complaint counts even where its place cannot be found out: without debug information the file
 * symbol or the object's name stands for it. Callers: the other files of the pass. */
#include "call_sites.h"

#include <ctype.h>
#include <dwarf.h>
#include <elfutils/libdw.h>
#include <elfutils/libdwfl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PLACE_SIZE = 1024 };

static unsigned complaints;
static Dwfl *debug_session; /* opened by the first complaint */
static Dwfl_Module *debug_module;

unsigned complaint_count(void)
{
    return complaints;
}

void *memory_allocate(void *old, size_t count, size_t size)
{
    void *memory = reallocarray(old, count + (count == 0), size);

    if (memory == NULL) {
        fprintf(stderr, "call_sites: out of memory for %zu entries of %zu bytes\n", count, size);
        exit(1);
    }
    if (old == NULL) {
        memset(memory, 0, count * size);
    }
    return memory;
}

const char *name_make_safe(const char *text, char safe[SAFE_NAME_SIZE])
{
    size_t length = 0;

    for (; length < SAFE_NAME_SIZE - 1 && text[length] != '\0'; length++) {
        unsigned char character = (unsigned char)text[length];

        safe[length] = isalnum(character) || strchr("_.$@-/", character) ? (char)character : '?';
    }
    safe[length] = '\0';
    return safe;
}

/* Debug information is looked for in the object itself, never in other files. */
static int debug_file_decline(Dwfl_Module *module, void **data, const char *name, Dwarf_Addr base,
                              const char *file, const char *link, GElf_Word checksum, char **found)
{
    (void)module, (void)data, (void)name, (void)base;
    (void)file, (void)link, (void)checksum, (void)found;
    return -1;
}

static void debug_open(const struct object *object)
{
    static const Dwfl_Callbacks callbacks = {
        .find_debuginfo = debug_file_decline,
        .section_address = dwfl_offline_section_address,
    };

    debug_session = dwfl_begin(&callbacks);
    if (debug_session != NULL) {
        debug_module = dwfl_report_offline(debug_session, object->path, object->path, -1);
        dwfl_report_end(debug_session, NULL, NULL);
    }
}

void complaints_end(void)
{
    dwfl_end(debug_session);
}

/* Returns the address that libdwfl gave the start of section number @section. */
static bool section_address(size_t section, Dwarf_Addr *address)
{
    GElf_Addr bias;
    GElf_Shdr header;
    Elf *elf = dwfl_module_getelf(debug_module, &bias);
    Elf_Scn *handle = elf != NULL ? elf_getscn(elf, section) : NULL;

    if (handle == NULL || gelf_getshdr(handle, &header) == NULL) {
        return false;
    }
    *address = header.sh_addr + bias;
    return true;
}

/* Returns the part of @path below the directory that unit @die was compiled in. */
static const char *path_shorten(const char *path, Dwarf_Die *die)
{
    Dwarf_Attribute attribute;
    const char *folder = dwarf_formstring(dwarf_attr(die, DW_AT_comp_dir, &attribute));
    size_t length = folder != NULL ? strlen(folder) : 0;

    if (length != 0 && strncmp(path, folder, length) == 0 && path[length] == '/') {
        path += length + 1;
    }
    while (strncmp(path, "./", 2) == 0) {
        path += 2;
    }
    return path;
}

/* Finds the line of code at @address. Not by dwfl_module_getsrc(): that needs .debug_aranges, which
 * clang leaves out. */
static bool line_find(Dwarf_Die *unit, Dwarf_Addr address, char place[PLACE_SIZE])
{
    Dwarf_Line *line = dwarf_haspc(unit, address) == 1 ? dwarf_getsrc_die(unit, address) : NULL;
    const char *path = line != NULL ? dwarf_linesrc(line, NULL, NULL) : NULL;
    int number;

    if (path == NULL || dwarf_lineno(line, &number) != 0) {
        return false;
    }
    snprintf(place, PLACE_SIZE, "%s:%d", path_shorten(path, unit), number);
    return true;
}

/* Returns true if @die is a variable at @address. */
static bool variable_is_at(Dwarf_Die *die, Dwarf_Addr address)
{
    Dwarf_Attribute attribute;
    Dwarf_Op *operations;
    size_t count;

    return dwarf_tag(die) == DW_TAG_variable &&
           dwarf_getlocation(dwarf_attr(die, DW_AT_location, &attribute), &operations, &count) ==
               0 &&
           count == 1 && operations[0].atom == DW_OP_addr && operations[0].number == address;
}

/* Finds the declaration of the variable at @address among those of @unit. */
static bool variable_find(Dwarf_Die *unit, Dwarf_Addr address, char place[PLACE_SIZE])
{
    Dwarf_Die die;
    int more = dwarf_child(unit, &die);

    for (; more == 0; more = dwarf_siblingof(&die, &die)) {
        const char *path;
        int number;

        if (variable_is_at(&die, address) && (path = dwarf_decl_file(&die)) != NULL &&
            dwarf_decl_line(&die, &number) == 0) {
            snprintf(place, PLACE_SIZE, "%s:%d", path_shorten(path, unit), number);
            return true;
        }
    }
    return false;
}

/* Fills @place with file and line of @offset, or of the variable @symbol around it. */
static bool source_find(const struct object *object, size_t section, uint64_t offset,
                        const struct symbol *symbol, char place[PLACE_SIZE])
{
    Dwarf_Addr start, bias;
    Dwarf_Die *unit = NULL;
    bool is_code = (object->sections[section].header.sh_flags & SHF_EXECINSTR) != 0;

    if (debug_session == NULL) {
        debug_open(object);
    }
    if (debug_module == NULL || !section_address(section, &start) ||
        dwfl_module_getdwarf(debug_module, &bias) == NULL) {
        return false;
    }
    while ((unit = dwfl_module_nextcu(debug_module, unit, &bias)) != NULL) {
        if (is_code ? line_find(unit, start - bias + offset, place)
                    : symbol != NULL && variable_find(unit, start - bias + symbol->value, place)) {
            return true;
        }
    }
    return false;
}

/* Prints "FILE:LINE: in FUNCTION()+OFFSET: ". */
static void place_print(const struct object *object, size_t section, uint64_t offset)
{
    const struct symbol *symbol = object_symbol_at(object, section, offset);
    char place[PLACE_SIZE], safe[SAFE_NAME_SIZE];

    if (source_find(object, section, offset, symbol, place)) {
        fprintf(stderr, "%s: ", place);
    } else if (symbol != NULL && symbol->file != NULL) {
        fprintf(stderr, "%s: ", name_make_safe(symbol->file, safe));
    } else {
        fprintf(stderr, "%s: ", object->path);
    }
    if (symbol != NULL) {
        fprintf(stderr, "in %s%s+%#" PRIx64 ": ", name_make_safe(symbol->name, safe),
                object->sections[section].role >= ROLE_CODE ? "()" : "", offset - symbol->value);
    } else {
        fprintf(stderr, "in section %s+%#" PRIx64 ": ",
                name_make_safe(object->sections[section].name, safe), offset);
    }
}

void complain(const struct object *object, size_t section, uint64_t offset, const char *format, ...)
{
    va_list arguments;

    complaints++;
    fputs("call_sites: ", stderr);
    if (section == 0) {
        fprintf(stderr, "%s: ", object->path);
    } else {
        place_print(object, section, offset);
    }
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
}
