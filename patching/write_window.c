// SPDX-License-Identifier: MIT
/* Opens text as late and as briefly as possible. Invariant: see write_window.h. */
#include "patching/write_window.h"

#include "patching/platform.h"

bool write_window_write(struct write_window *window, uint64_t address, const uint8_t *bytes,
                        size_t length)
{
    if (window->writes == PATCH_WINDOW_WRITES) {
        write_window_close(window);
    }
    if (window->writes++ == 0) {
        platform_text_open();
    }
    return platform_text_write((void *)address, bytes, length);
}

void write_window_close(struct write_window *window)
{
    if (window->writes > 0) {
        platform_text_close();
        window->writes = 0;
    }
}
