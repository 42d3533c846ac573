// SPDX-License-Identifier: MIT
/* The serial console. Invariant: whoever set `taken` is the only writer; it cannot be preempted,
 * keeps interrupts as they were, and prints what others left in the log ring before and after it
 * lets go:
 *
 *   holder                                  a context that may not wait
 *   taken = false                           append to the log (under the log's lock)
 *   log behind? (under the log's lock)      exchange taken: still true -> leave
 *
 * One of the two sees the other's write, because both pass the log's lock in between: no line is
 * left behind. Called by commands, the log and the shell. */
#include "kernel/console.h"

#include <stdarg.h>

#include "arch/instructions.h"
#include "arch/interrupts.h"
#include "drivers/uart.h"
#include "drivers/uart_raw.h"
#include "kernel/format.h"
#include "kernel/line_view.h"
#include "kernel/log.h"
#include "kernel/string.h"
#include "kernel/thread.h"
#include "kernel/wait_queue.h"
#include "patching/nopatch.h"
#include "patching/static_call.h"

#define POLL_PERIOD_NS      1000000ull
#define INTERRUPT_CHARACTER 0x03 /* Ctrl-C */

_Static_assert(CONSOLE_LINE_MAX == LINE_VIEW_MAX, "the view holds the longest line");

static bool taken;
/* by the holder of `taken`: */
static bool at_line_start = true;
static const char *line_prompt; /* NULL: no line is being typed */
static struct line_view line;
static char line_output[LINE_VIEW_OUTPUT_MAX];
static uint64_t dropped_reported; /* characters of output */

static bool panicking;
static bool interrupt_requested;    /* a Ctrl-C has arrived that nobody has read yet */
static bool input_interrupt_driven; /* written once at boot */
static bool has_uart;               /* likewise */
static uint64_t lost_reported;      /* by the reading thread */
static struct wait_queue input_queue = WAIT_QUEUE("console input");

/* Where output goes. Nowhere without a UART. */
DEFINE_STATIC_CALL_OR_NULL(console_output, uart_raw_write);
STATIC_CALL_CHOICE(console_output, uart_raw_write);

static void input_arrived(bool interrupt_character)
{
    if (interrupt_character) {
        __atomic_store_n(&interrupt_requested, true, __ATOMIC_RELAXED);
    }
    wait_queue_wake_all(&input_queue);
}

void console_initialize(void)
{
    has_uart = uart_initialize(input_arrived);
    if (!has_uart) {
        log_warning("console: no UART at port 0x%x: output is lost", UART_PORT);
    }
}

void console_start_input(void)
{
    struct patch_error error = {0};

    if (!has_uart && static_call_update(console_output, NULL, &error) != PATCH_OK) {
        log_warning("console: output is not skipped: %s", patch_status_text(error.status));
    }
    input_interrupt_driven = uart_start_interrupts();
    if (!input_interrupt_driven) {
        log_warning("console: no interrupt for input: polled every %llu us", POLL_PERIOD_NS / 1000);
    }
}

PATCH_NOPATCH void console_panic_enter(void)
{
    __atomic_store_n(&panicking, true, __ATOMIC_RELAXED);
}

bool console_is_panicking(void)
{
    return __atomic_load_n(&panicking, __ATOMIC_RELAXED);
}

/* Interrupts off keep the holder on its CPU by themselves; so the first lines of boot need no
 * per-CPU data. */
static bool try_take(void)
{
    bool preemptible = interrupts_enabled();

    if (preemptible) {
        preempt_disable();
    }
    /* acquire: pairs with the release in give(); or the line's state would be that of a writer not
     * yet done */
    if (!__atomic_exchange_n(&taken, true, __ATOMIC_ACQUIRE)) {
        return true;
    }
    if (preemptible) {
        preempt_enable();
    }
    return false;
}

/* Waits only where the holder cannot be waiting for us: with interrupts on. */
static bool take(void)
{
    while (!try_take()) {
        if (!interrupts_enabled()) {
            return false;
        }
        cpu_relax();
    }
    return true;
}

static void release(void)
{
    __atomic_store_n(&taken, false, __ATOMIC_RELEASE); /* pairs with the acquire in try_take() */
    if (interrupts_enabled()) {
        preempt_enable();
    }
}

/* The functions named _taken are called by the holder. */

/* Says how much was dropped while nobody read, once somebody does again. */
static void report_dropped_taken(void)
{
    uint64_t dropped = uart_raw_dropped() - dropped_reported;
    char text[96];

    if (dropped != 0 && uart_raw_is_ready()) {
        dropped_reported += dropped;
        static_call(console_output)(
            text, format_text(text, sizeof(text),
                              "\n(%llu characters of output lost: nobody read them)\n",
                              (unsigned long long)dropped));
        at_line_start = true;
    }
}

static void emit_taken(const char *text, size_t length)
{
    if (length > 0) {
        report_dropped_taken();
        static_call(console_output)(text, length);
        at_line_start = text[length - 1] == '\n';
    }
}

static void emit_text_taken(const char *text)
{
    emit_taken(text, strlen(text));
}

static void line_hide_taken(void)
{
    if (line_prompt != NULL) {
        emit_text_taken("\r\033[K");
        at_line_start = true;
    }
}

static void line_redraw_taken(void)
{
    if (line_prompt != NULL) {
        emit_text_taken(at_line_start ? "" : "\n");
        emit_text_taken(line_prompt);
        emit_taken(line_output, line_view_redraw(&line, line_output));
    }
}

static void emit_record_taken(const struct log_record *record, uint64_t lost)
{
    char text[LOG_TEXT_MAX + 48];
    size_t length;

    if (lost > 0) {
        length =
            format_text(text, sizeof(text), "(%llu log lines overwritten before they were shown)\n",
                        (unsigned long long)lost);
        emit_taken(text, length);
    }
    bool plain = record->level == LOG_INFO;

    length =
        format_text(text, sizeof(text), "[%5llu.%06llu] %s%s%s\n",
                    (unsigned long long)(record->time_ns / 1000000000),
                    (unsigned long long)(record->time_ns / 1000 % 1000000),
                    plain ? "" : log_level_name(record->level), plain ? "" : ": ", record->text);
    emit_taken(text, length);
}

void console_flush_log(void)
{
    while (log_console_is_behind() && try_take()) {
        struct log_record record;
        uint64_t lost;

        if (log_take_for_console(&record, &lost)) {
            line_hide_taken();
            emit_text_taken(at_line_start ? "" : "\n");
            do {
                emit_record_taken(&record, lost);
            } while (log_take_for_console(&record, &lost));
            line_redraw_taken();
        }
        release();
    }
}

/* Ends what take() began. */
static void give(void)
{
    release();
    console_flush_log();
}

void console_write(const char *text, size_t length)
{
    if (console_is_panicking()) {
        static_call(console_output)(text, length);
    } else if (take()) {
        line_hide_taken();
        emit_taken(text, length);
        line_redraw_taken();
        give();
    } else {
        log_write_text(LOG_INFO, text, length);
    }
}

void console_print(const char *format, ...)
{
    char text[CONSOLE_PRINT_MAX + 1];
    va_list arguments;

    va_start(arguments, format);
    size_t length = format_text_va(text, sizeof(text), format, arguments);
    va_end(arguments);
    if (length > CONSOLE_PRINT_MAX) {
        length = CONSOLE_PRINT_MAX;
        memcpy(text + length - 4, "...\n", 4);
    }
    console_write(text, length);
}

bool console_read_character(char *character)
{
    uint64_t lost = uart_lost_characters();

    if (lost != lost_reported) {
        log_warning("console: %llu characters of input lost: typed faster than they were read",
                    (unsigned long long)(lost - lost_reported));
        lost_reported = lost;
    }
    if (!uart_read_character(character)) {
        return false;
    }
    if (*character == INTERRUPT_CHARACTER) {
        __atomic_store_n(&interrupt_requested, false, __ATOMIC_RELAXED);
    }
    return true;
}

static bool has_input(void *unused)
{
    (void)unused;
    return uart_has_input();
}

void console_wait_input(void)
{
    if (input_interrupt_driven) {
        wait_queue_wait_until(&input_queue, has_input, NULL);
        return;
    }
    while (!uart_has_input()) {
        thread_sleep_ns(POLL_PERIOD_NS);
    }
}

bool console_interrupt_requested(void)
{
    (void)uart_has_input(); /* polls, where input is polled */
    return __atomic_load_n(&interrupt_requested, __ATOMIC_RELAXED);
}

void console_discard_input(void)
{
    char character;

    while (uart_read_character(&character)) {
    }
    __atomic_store_n(&interrupt_requested, false, __ATOMIC_RELAXED);
}

void console_show_line(const char *prompt, const char *text, size_t length, size_t cursor)
{
    if (!take()) {
        return;
    }
    if (line_prompt == NULL) {
        line_prompt = prompt;
        line.length = 0;
        line.cursor = 0;
        line_redraw_taken();
    }
    emit_taken(line_output, line_view_change(&line, text, length, cursor, line_output));
    give();
}

void console_finish_line(const char *suffix)
{
    if (!take()) {
        return;
    }
    line_prompt = NULL;
    emit_text_taken(suffix);
    emit_text_taken("\n");
    give();
}

void console_clear(void)
{
    if (take()) {
        emit_text_taken("\033[H\033[2J");
        at_line_start = true;
        line_redraw_taken();
        give();
    }
}

void console_bell(void)
{
    if (take()) {
        static_call(console_output)("\a", 1);
        give();
    }
}
