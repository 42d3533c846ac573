// SPDX-License-Identifier: MIT
/* Opens text as late and as briefly as possible. Invariant: see write_window.h. */
#include "patching/write_window.h"

#include "patching/platform.h"

void write_window_reopen(struct write_window *window)
{
    write_window_close(window);
    platform_text_open();
}

void write_window_close(struct write_window *window)
{
    if (window->writes > 0) {
        platform_text_close();
        window->writes = 0;
    }
}
