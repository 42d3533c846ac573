// SPDX-License-Identifier: MIT
/* Reads the partially linked object for the link-time pass. Invariant: what is handed out is in
 * bounds, whatever the file says: a truncated or corrupted object is refused here. Callers:
 * call_sites.c, call_sites_find.c. */
#include "call_sites.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct {
    const char *name;
    enum section_role role;
    bool is_code;
} named_sections[] = {
    {".text", ROLE_TEXT, true},
    {".text.nopatch", ROLE_NOPATCH, true},
    {".text.static_call", ROLE_STATIC_CALLS, true},
    {".text.lazy_call", ROLE_LAZY_CALLS, true},
    {"static_calls", ROLE_STATIC_DESCRIPTORS, false},
    {"lazy_calls", ROLE_LAZY_DESCRIPTORS, false},
    {".eh_frame", ROLE_IGNORED, false},
};

static enum section_role section_role_of(const struct section *section)
{
    bool is_code = (section->header.sh_flags & SHF_EXECINSTR) != 0;

    if ((section->header.sh_flags & SHF_ALLOC) == 0) {
        return ROLE_IGNORED;
    }
    for (size_t i = 0; i < sizeof(named_sections) / sizeof(named_sections[0]); i++) {
        if (strcmp(section->name, named_sections[i].name) == 0 &&
            is_code == named_sections[i].is_code) {
            return named_sections[i].role;
        }
    }
    return is_code ? ROLE_CODE : ROLE_DATA;
}

bool section_is_patchable(const struct section *section)
{
    return section->role == ROLE_STATIC_CALLS || section->role == ROLE_LAZY_CALLS;
}

/* Complains about the file as a whole. Always returns false. */
static bool object_refuse(const struct object *object, const char *reason)
{
    complain(object, PLACE_WHOLE, "%s", reason);
    return false;
}

static bool header_check(const struct object *object)
{
    GElf_Ehdr header;

    if (elf_kind(object->elf) != ELF_K_ELF || gelf_getehdr(object->elf, &header) == NULL) {
        return object_refuse(object, "is not an ELF file; give the output of ld -r");
    }
    if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_ident[EI_DATA] != ELFDATA2LSB ||
        header.e_machine != EM_X86_64) {
        return object_refuse(object, "is not a 64-bit x86-64 ELF file; check the compiler");
    }
    if (header.e_type != ET_REL) {
        return object_refuse(object, "is not a relocatable object; give the output of ld -r");
    }
    if (header.e_shentsize != sizeof(Elf64_Shdr)) {
        return object_refuse(object, "has section headers of a wrong size; build it again");
    }
    return true;
}

static bool section_read(const struct object *object, struct section *section, size_t index,
                         size_t names, uint64_t file_size)
{
    Elf_Scn *handle = elf_getscn(object->elf, index);
    GElf_Shdr *header = &section->header;

    if (handle == NULL || gelf_getshdr(handle, header) == NULL) {
        return false;
    }
    section->name = index == 0 ? "" : elf_strptr(object->elf, names, header->sh_name);
    if (section->name == NULL) {
        return false;
    }
    section->role = section_role_of(section);
    if (header->sh_type == SHT_NULL || header->sh_type == SHT_NOBITS || header->sh_size == 0) {
        return true;
    }
    if (header->sh_offset > file_size || header->sh_size > file_size - header->sh_offset) {
        return false;
    }
    section->data = elf_getdata(handle, NULL);
    return section->data != NULL && section->data->d_buf != NULL &&
           section->data->d_size == header->sh_size;
}

static bool sections_read(struct object *object, uint64_t file_size)
{
    size_t names;

    if (elf_getshdrnum(object->elf, &object->section_count) != 0 || object->section_count == 0 ||
        elf_getshdrstrndx(object->elf, &names) != 0) {
        return object_refuse(object, "has no sections: truncated or corrupted; build it again");
    }
    object->sections = memory_allocate(NULL, object->section_count, sizeof(struct section));
    for (size_t i = 0; i < object->section_count; i++) {
        if (!section_read(object, &object->sections[i], i, names, file_size)) {
            complain(object, PLACE_WHOLE, "section %zu is truncated or corrupted; build it again",
                     i);
            return false;
        }
    }
    return true;
}

static bool symbol_read(const struct object *object, size_t index, struct symbol *symbol)
{
    const struct section *table = &object->sections[object->symbol_table];
    GElf_Sym entry;

    if (gelf_getsym(table->data, (int)index, &entry) == NULL || entry.st_shndx == SHN_XINDEX) {
        return false;
    }
    symbol->name = elf_strptr(object->elf, table->header.sh_link, entry.st_name);
    symbol->value = entry.st_value;
    symbol->size = entry.st_size;
    symbol->type = GELF_ST_TYPE(entry.st_info);
    symbol->binding = GELF_ST_BIND(entry.st_info);
    symbol->section = entry.st_shndx < SHN_LORESERVE ? entry.st_shndx : 0;
    return symbol->name != NULL && symbol->section < object->section_count;
}

/* Returns false if there is no symbol table, or more than one. */
static bool symbol_table_find(struct object *object)
{
    for (size_t i = 1; i < object->section_count; i++) {
        if (object->sections[i].header.sh_type == SHT_SYMTAB) {
            if (object->symbol_table != 0) {
                return false;
            }
            object->symbol_table = i;
        }
    }

    const struct section *table = &object->sections[object->symbol_table];

    return table->data != NULL && table->header.sh_entsize == sizeof(Elf64_Sym) &&
           table->header.sh_size % sizeof(Elf64_Sym) == 0;
}

static bool symbols_read(struct object *object)
{
    const char *file = NULL;

    if (!symbol_table_find(object)) {
        return object_refuse(object, "has no sound symbol table; do not strip it");
    }
    object->symbol_count =
        object->sections[object->symbol_table].header.sh_size / sizeof(Elf64_Sym);
    object->symbols = memory_allocate(NULL, object->symbol_count, sizeof(struct symbol));
    for (size_t i = 0; i < object->symbol_count; i++) {
        struct symbol *symbol = &object->symbols[i];

        if (!symbol_read(object, i, symbol)) {
            complain(object, PLACE_WHOLE, "symbol %zu is corrupted; build the object again", i);
            return false;
        }
        if (symbol->type == STT_FILE) {
            file = symbol->name;
        }
        symbol->file = symbol->binding == STB_LOCAL ? file : NULL;
    }
    return true;
}

bool object_open(struct object *object, const char *path)
{
    struct stat status;

    memset(object, 0, sizeof(*object));
    object->path = path;
    elf_version(EV_CURRENT);
    object->file = open(path, O_RDONLY | O_CLOEXEC);
    if (object->file < 0 || fstat(object->file, &status) != 0) {
        return object_refuse(object, strerror(errno));
    }
    object->elf = elf_begin(object->file, ELF_C_READ, NULL);
    return header_check(object) && sections_read(object, (uint64_t)status.st_size) &&
           symbols_read(object);
}

void object_close(struct object *object)
{
    free(object->symbols);
    free(object->sections);
    elf_end(object->elf);
    if (object->file >= 0) {
        close(object->file);
    }
}

/* How well @symbol names @offset, more is better: it is a function or an object around it; it has
 * no known end; it ended before. */
static int symbol_rank(const struct symbol *symbol, uint64_t offset)
{
    if (symbol->size == 0) {
        return 1;
    }
    return offset - symbol->value < symbol->size ? 2 : 0;
}

/* Returns true if @symbol names @offset better than @other (may be NULL). */
static bool symbol_is_better(const struct symbol *symbol, const struct symbol *other,
                             uint64_t offset)
{
    int gain = other == NULL ? 1 : symbol_rank(symbol, offset) - symbol_rank(other, offset);

    if (gain != 0) {
        return gain > 0;
    }
    return symbol->value > other->value ||
           (symbol->value == other->value && symbol->type == STT_FUNC && other->type != STT_FUNC);
}

const struct symbol *object_symbol_at(const struct object *object, size_t section, uint64_t offset)
{
    const struct symbol *best = NULL;

    for (size_t i = 0; section != 0 && i < object->symbol_count; i++) {
        const struct symbol *symbol = &object->symbols[i];

        if (symbol->section == section && symbol->value <= offset && symbol->name[0] != '\0' &&
            symbol->type != STT_SECTION && symbol->type != STT_FILE &&
            strcmp(symbol->name, CALL_SITES_ORIGIN) != 0 &&
            symbol_is_better(symbol, best, offset)) {
            best = symbol;
        }
    }
    return best;
}

const struct symbol *object_function_at(const struct object *object, size_t section,
                                        uint64_t offset)
{
    if (!section_is_patchable(&object->sections[section])) {
        return NULL;
    }
    for (size_t i = 0; i < object->symbol_count; i++) {
        const struct symbol *symbol = &object->symbols[i];

        if (symbol->section == section && symbol->value == offset && symbol->type == STT_FUNC) {
            return symbol;
        }
    }
    return NULL;
}
