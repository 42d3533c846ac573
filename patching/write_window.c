// SPDX-License-Identifier: MIT
/* Opens text as late and as briefly as possible. Invariant: see write_window.h. */
#include "patching/write_window.h"

#include "patching/platform.h"

static void open_for_one(struct write_window *window)
{
    if (window->writes == PATCH_WINDOW_WRITES) {
        write_window_close(window);
    }
    if (window->writes++ == 0) {
        platform_text_open();
    }
}

bool write_window_write(struct write_window *window, uint64_t address, const uint8_t *bytes,
                        size_t length)
{
    open_for_one(window);
    return platform_text_write((void *)address, bytes, length);
}

bool write_window_write_quadword(struct write_window *window, uint64_t address, uint64_t value)
{
    open_for_one(window);
    return platform_text_write_quadword((uint64_t *)address, value);
}

void write_window_close(struct write_window *window)
{
    if (window->writes > 0) {
        platform_text_close();
        window->writes = 0;
    }
}
