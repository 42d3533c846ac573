// SPDX-License-Identifier: MIT
/* Writes whole pieces of code; see generated_text.h. Invariant: one sync behind the last write,
 * none if a write failed. */
#include "patching/generated_text.h"

#include "patching/instruction.h"
#include "patching/platform.h"
#include "patching/transaction.h"
#include "patching/write_window.h"

/* Bytes a write, so that a window of PATCH_WINDOW_WRITES of them stays short. */
enum { PIECE = 16 };

/* @bytes, or int3 if that is NULL. Returns the address of the piece that did not read back, or 0.
 */
static uint64_t pieces_write(uint64_t address, const uint8_t *bytes, size_t length)
{
    static const uint8_t int3s[PIECE] = {[0 ... PIECE - 1] = INSN_INT3};
    struct write_window window = {0};
    uint64_t failed = 0;

    for (size_t done = 0; done < length && failed == 0; done += PIECE) {
        size_t count = length - done < PIECE ? length - done : PIECE;

        if (!write_window_write(&window, address + done, bytes != NULL ? bytes + done : int3s,
                                count)) {
            failed = address + done;
        }
    }
    write_window_close(&window);
    return failed;
}

static enum patch_status write_locked(uint64_t address, const uint8_t *bytes, size_t length,
                                      struct patch_error *error)
{
    struct platform_round round;

    if (length == 0 || !platform_text_is_patchable((const void *)address, length)) {
        return patch_error_set(error, PATCH_ERR_NOT_TEXT, NULL, address);
    }
    uint64_t failed = pieces_write(address, bytes, length);

    if (failed != 0) {
        return patch_error_set(error, PATCH_ERR_WRITE, NULL, failed);
    }
    if (!platform_sync_cores(&round)) {
        patch_error_set(error, PATCH_ERR_SILENT_CPU, NULL, address);
        if (error != NULL) {
            error->cpu = round.silent_cpu;
        }
        return PATCH_ERR_SILENT_CPU;
    }
    return PATCH_OK;
}

static enum patch_status write_unlocked(uint64_t address, const uint8_t *bytes, size_t length,
                                        struct patch_error *error)
{
    enum patch_status status = patch_lock_take();

    if (status != PATCH_OK) {
        return patch_error_set(error, status, NULL, address);
    }
    status = write_locked(address, bytes, length, error);
    platform_unlock();
    return status;
}

enum patch_status generated_text_write(uint64_t address, const uint8_t *bytes, size_t length,
                                       struct patch_error *error)
{
    return write_unlocked(address, bytes, length, error);
}

enum patch_status generated_text_erase(uint64_t address, size_t length, struct patch_error *error)
{
    return write_unlocked(address, NULL, length, error);
}
