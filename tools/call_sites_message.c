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

enum { TEXT_SIZE = 1024 };

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

/* Finds the line of code at @address. The table of lines alone says what it covers: clang leaves
 * out .debug_aranges, which dwfl_module_getsrc() needs, and NASM's units name one of their
 * sections. */
static bool line_find(Dwarf_Die *unit, Dwarf_Addr address, char text[TEXT_SIZE])
{
    Dwarf_Line *line = dwarf_getsrc_die(unit, address);
    const char *path = line != NULL ? dwarf_linesrc(line, NULL, NULL) : NULL;
    int number;

    if (path == NULL || dwarf_lineno(line, &number) != 0) {
        return false;
    }
    snprintf(text, TEXT_SIZE, "%s:%d", path_shorten(path, unit), number);
    return true;
}

/* Returns true if @die is a variable at @address, told in itself (gcc) or in .debug_addr (clang).
 */
static bool variable_is_at(Dwarf_Die *die, Dwarf_Addr address)
{
    Dwarf_Attribute attribute, indirect;
    Dwarf_Op *operations;
    Dwarf_Addr found;
    size_t count;

    if (dwarf_tag(die) != DW_TAG_variable || dwarf_attr(die, DW_AT_location, &attribute) == NULL ||
        dwarf_getlocation(&attribute, &operations, &count) != 0 || count != 1) {
        return false;
    }
    if (operations[0].atom == DW_OP_addr) {
        return operations[0].number == address;
    }
    return operations[0].atom == DW_OP_addrx &&
           dwarf_getlocation_attr(&attribute, operations, &indirect) == 0 &&
           dwarf_formaddr(&indirect, &found) == 0 && found == address;
}

/* Returns the file that declares @die. libdw 0.188 does not know file 0, the unit's own. */
static const char *declaration_file(Dwarf_Die *die, Dwarf_Die *unit)
{
    const char *path = dwarf_decl_file(die);

    return path != NULL ? path : dwarf_diename(unit);
}

/* Finds the declaration of the variable at @address among those of @unit. */
static bool variable_find(Dwarf_Die *unit, Dwarf_Addr address, char text[TEXT_SIZE])
{
    Dwarf_Die die;
    int more = dwarf_child(unit, &die);

    for (; more == 0; more = dwarf_siblingof(&die, &die)) {
        const char *path;
        int number;

        if (variable_is_at(&die, address) && dwarf_decl_line(&die, &number) == 0 &&
            (path = declaration_file(&die, unit)) != NULL) {
            snprintf(text, TEXT_SIZE, "%s:%d", path_shorten(path, unit), number);
            return true;
        }
    }
    return false;
}

/* Fills @text with file and line of @place, or of the variable around it. */
static bool source_find(const struct object *object, struct place place, char text[TEXT_SIZE])
{
    Dwarf_Addr start, bias;
    Dwarf_Die *unit = NULL;
    bool is_code = (object->sections[place.section].header.sh_flags & SHF_EXECINSTR) != 0;

    if (debug_session == NULL) {
        debug_open(object);
    }
    if (debug_module == NULL || !section_address(place.section, &start) ||
        dwfl_module_getdwarf(debug_module, &bias) == NULL) {
        return false;
    }
    while ((unit = dwfl_module_nextcu(debug_module, unit, &bias)) != NULL) {
        if (is_code ? line_find(unit, start - bias + place.offset, text)
                    : place.symbol != NULL &&
                          variable_find(unit, start - bias + place.symbol->value, text)) {
            return true;
        }
    }
    return false;
}

/* Prints "FILE:LINE: in FUNCTION()+OFFSET: ". */
static void place_print(const struct object *object, struct place place)
{
    const struct section *section = &object->sections[place.section];
    const struct symbol *symbol = place.symbol;
    char text[TEXT_SIZE], safe[SAFE_NAME_SIZE];

    if (source_find(object, place, text)) {
        fprintf(stderr, "%s: ", text);
    } else if (symbol != NULL && symbol->file != NULL) {
        fprintf(stderr, "%s: ", name_make_safe(symbol->file, safe));
    } else {
        fprintf(stderr, "%s: ", object->path);
    }
    if (symbol != NULL) {
        fprintf(stderr, "in %s%s+%#" PRIx64 ": ", name_make_safe(symbol->name, safe),
                section->role >= ROLE_CODE ? "()" : "", place.offset - symbol->value);
    } else {
        fprintf(stderr, "in section %s+%#" PRIx64 ": ", name_make_safe(section->name, safe),
                place.offset);
    }
}

void complain(const struct object *object, struct place place, const char *format, ...)
{
    va_list arguments;

    complaints++;
    fputs("call_sites: ", stderr);
    if (place.section == 0) {
        fprintf(stderr, "%s: ", object->path);
    } else {
        if (place.symbol == NULL) {
            place.symbol = object_symbol_at(object, place.section, place.offset);
        }
        place_print(object, place);
    }
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
}
