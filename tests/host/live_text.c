// SPDX-License-Identifier: MIT
/* See live_text.h; also what patching/platform.h says of text. Invariant: the table of regions only
 * grows, and before threads start. */
#include "tests/host/live_text.h"

#include "patching/bytes.h"
#include "patching/platform.h"

#include <errno.h>
#include <link.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { REGIONS_MAX = 4 };

#define PAGE_SIZE           4096ull
#define MEMFD_IS_EXECUTABLE 0x10u /* MFD_EXEC, Linux 6.3; older ones refuse it and need it not */

static struct region {
    uint64_t start; /* executable */
    uint64_t length;
    uint8_t *writable;
} regions[REGIONS_MAX];
static struct region *regions_end = regions;

static int memory_open(size_t length)
{
    int file = memfd_create("livetext", MFD_CLOEXEC | MEMFD_IS_EXECUTABLE);

    if (file < 0 && errno == EINVAL) {
        file = memfd_create("livetext", MFD_CLOEXEC);
    }
    if (file >= 0 && ftruncate(file, (off_t)length) != 0) {
        close(file);
        file = -1;
    }
    return file;
}

/* Not by mmap(): ThreadSanitizer's would write to its shadow of text, which is read-only. */
static void *text_map(void *address, int file, size_t length)
{
    int flags = MAP_SHARED | (address != NULL ? MAP_FIXED : 0);

    return (void *)syscall(SYS_mmap, address, length, PROT_READ | PROT_EXEC, flags, file, 0);
}

/* Maps new memory twice: writable somewhere, executable at @address or, if that is NULL, anywhere.
 * @content (may be NULL) fills it first. Returns the executable address, or NULL and errno. */
static void *region_map(void *address, const void *content, size_t length)
{
    int file = memory_open(length);

    if (file < 0 || regions_end == regions + REGIONS_MAX) {
        return NULL;
    }

    void *writable = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    void *text = MAP_FAILED;

    if (writable != MAP_FAILED) {
        if (content != NULL) {
            memcpy(writable, content, length);
        }
        text = text_map(address, file, length);
    }
    close(file);
    if (text == MAP_FAILED) {
        return NULL;
    }
    *regions_end++ = (struct region){(uint64_t)text, length, writable};
    return text;
}

uint8_t *live_text_create(size_t length)
{
    return region_map(NULL, NULL, (length + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1));
}

struct span {
    uint64_t start, end;
};

/* Finds the executable segment of the program itself, which is the first object. */
static int find_own_text(struct dl_phdr_info *object, size_t size, void *result)
{
    struct span *span = result;

    (void)size;
    for (unsigned i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &object->dlpi_phdr[i];

        if (segment->p_type == PT_LOAD && (segment->p_flags & PF_X) != 0) {
            span->start = (object->dlpi_addr + segment->p_vaddr) & ~(PAGE_SIZE - 1);
            span->end = object->dlpi_addr + segment->p_vaddr + segment->p_memsz;
            span->end = (span->end + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1);
        }
    }
    return 1;
}

const char *live_text_adopt_own(void)
{
    struct span own = {0};

    dl_iterate_phdr(find_own_text, &own);
    if (own.end == 0) {
        errno = ENOEXEC;
        return "the program's executable segment was not found";
    }
    return region_map((void *)own.start, (const void *)own.start, own.end - own.start) != NULL
               ? NULL
               : "the program's text cannot be mapped from memfd_create()";
}

/* The newest first: generated text is written most. */
void *live_text_writable(const void *address, size_t length)
{
    const struct region *region = regions_end;

    while (region > regions) {
        region--;

        uint64_t offset = (uint64_t)address - region->start;

        if (offset < region->length && length <= region->length - offset) {
            return region->writable + offset;
        }
    }
    return NULL;
}

bool platform_text_is_patchable(const void *address, size_t length)
{
    return live_text_writable(address, length) != NULL;
}

void platform_text_open(void)
{
}

void platform_text_close(void)
{
}

/* Four bytes by one store, the others one by one; read back as they were written, where they were
 * written: a load that is wider than the store before it, or takes another way to the same memory,
 * waits until the store has left the core, which would cost more than the rest of a step. */
bool platform_text_write(void *address, const void *bytes, size_t length)
{
    volatile uint8_t *writable = live_text_writable(address, length);
    const uint8_t *from = bytes;
    bool is_written = true;

    if (length >= sizeof(uint32_t)) {
        volatile struct bytes4 *four = (volatile struct bytes4 *)writable;

        four->value = bytes_load4(from);
        is_written = four->value == bytes_load4(from);
        writable += sizeof(*four);
        from += sizeof(*four);
        length -= sizeof(*four);
    }
    for (size_t i = 0; i < length; i++) {
        writable[i] = from[i];
        is_written &= writable[i] == from[i];
    }
    return is_written;
}

bool platform_text_write_quadword(uint64_t *address, uint64_t value)
{
    uint64_t *writable = live_text_writable(address, sizeof(value));

    /* Relaxed: one store of eight bytes is all that is asked; the sync that follows orders it. Read
     * back where it was written, as above. */
    __atomic_store_n(writable, value, __ATOMIC_RELAXED);
    return __atomic_load_n(writable, __ATOMIC_RELAXED) == value;
}
