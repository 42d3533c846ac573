// SPDX-License-Identifier: MIT
/* The kernel command line. Invariant: nothing is dropped in silence: unknown words, words beyond
 * the limits, open quotes and wrong values are named in the log. Called by kernel_main() and the
 * owners of the options. */
#include "kernel/command_line.h"

#include "boot/boot_facts.h"
#include "kernel/format.h"
#include "kernel/log.h"
#include "kernel/nearest_word.h"
#include "kernel/options.h"
#include "kernel/string.h"
#include "kernel/words.h"

#define KNOWN_TEXT_MAX 224 /* all names, each with a blank and a sign */
#define CUT_SHOWN      24  /* characters before a cut that the warning quotes */

_Static_assert(BOOT_COMMAND_LINE_MAX == COMMAND_LINE_MAX + 1, "what the boot code keeps fits here");

static const char *const known_names[] = {
    "run",
    "loglevel",
    "cpus",
    "protocol",
    "idle",
    "mitigation",
    "pv",
    "pv_form",
    "sync_timeout_ms",
    "grace_timeout_ms",
    "dispatch",
    "dyncall",
    "dyncall_form",
    "static_call_updates",
    "dynamic_call_changes",
    "paravirt_switches",
    "torture_ms",
    "ip",
    "gw",
};

/* written once at boot: */
static char storage[COMMAND_LINE_MAX + 1];
static struct command_line_word words[COMMAND_LINE_WORDS_MAX];
static size_t word_count;

/* A multiboot-1 loader puts the kernel's file name in front. */
static bool is_file_name(const char *word)
{
    size_t length = strlen(word);
    bool elf = length > 4 && strcmp(word + length - 4, ".elf") == 0;

    return strchr(word, '=') == NULL && (elf || strchr(word, '/') != NULL);
}

static void warn_unknown(const struct command_line_word *word)
{
    struct nearest_word nearest = {.word = word->name};

    for (size_t i = 0; i < ARRAY_COUNT(known_names); i++) {
        nearest_word_consider(&nearest, known_names[i]);
    }
    const char *sign = word->value != NULL ? "=" : "";
    const char *value = word->value != NULL ? word->value : "";

    if (nearest.best != NULL) {
        log_warning("command line: unknown word '%s%s%s': did you mean '%s='?", word->name, sign,
                    value, nearest.best);
    } else {
        char known[KNOWN_TEXT_MAX];
        size_t length = 0;

        for (size_t i = 0; i < ARRAY_COUNT(known_names); i++) {
            length += format_text(known + length, sizeof(known) - length, " %s=", known_names[i]);
        }
        log_warning("command line: unknown word '%s%s%s' (known:%s)", word->name, sign, value,
                    known);
    }
}

static void check_word(struct command_line_word *word)
{
    for (size_t i = 0; i < ARRAY_COUNT(known_names); i++) {
        if (strcmp(word->name, known_names[i]) == 0) {
            word->known = word->value != NULL;
            if (!word->known) {
                log_warning("command line: '%s' has no value: ignored", word->name);
            } else if (command_line_get(word->name) != NULL) {
                log_warning("command line: '%s=' is given twice: the last one counts", word->name);
            }
            return;
        }
    }
    warn_unknown(word);
}

static void add_word(char *text)
{
    if (word_count == COMMAND_LINE_WORDS_MAX) {
        log_warning("command line: more than %d words: '%s' is ignored", COMMAND_LINE_WORDS_MAX,
                    text);
        return;
    }
    struct command_line_word word = {.name = text};
    char *sign = strchr(text, '=');

    if (sign != NULL) {
        *sign = '\0';
        word.value = sign + 1;
    }
    check_word(&word);
    words[word_count++] = word;
}

static void copy_text(const char *text, bool is_cut)
{
    size_t length = strlen(text);

    if (length > COMMAND_LINE_MAX) {
        length = COMMAND_LINE_MAX;
        is_cut = true;
    }
    memcpy(storage, text, length);
    storage[length] = '\0';
    if (is_cut) {
        log_warning("command line: longer than %d characters: what lies behind '%s' was dropped",
                    COMMAND_LINE_MAX, storage + (length > CUT_SHOWN ? length - CUT_SHOWN : 0));
    }
}

void command_line_initialize(const char *text, bool is_cut)
{
    char *cursor = storage;
    char *word;
    bool first = true;
    enum words_result result;

    word_count = 0;
    copy_text(text != NULL ? text : "", is_cut);
    while ((result = words_take(&cursor, &word)) != WORDS_END) {
        if (result == WORDS_UNTERMINATED) {
            log_warning("command line: quote not closed in '%s'", word);
        }
        if (!first || !is_file_name(word)) {
            add_word(word);
        }
        first = false;
    }
    uint64_t level = log_console_level();

    command_line_get_choice("loglevel", log_level_names, &level);
    log_set_console_level((enum log_level)level);
}

const char *command_line_get(const char *name)
{
    for (size_t i = word_count; i > 0; i--) {
        const struct command_line_word *word = &words[i - 1];

        if (word->value != NULL && strcmp(word->name, name) == 0) {
            return word->value;
        }
    }
    return NULL;
}

void command_line_get_number(const char *name, uint64_t minimum, uint64_t maximum, uint64_t *value)
{
    const char *text = command_line_get(name);
    uint64_t number;

    if (text == NULL) {
        return;
    }
    if (!options_read_number(text, &number) || number < minimum || number > maximum) {
        log_warning("command line: %s='%s' is not a number from %llu to %llu: ignored", name, text,
                    (unsigned long long)minimum, (unsigned long long)maximum);
        return;
    }
    *value = number;
}

void command_line_get_choice(const char *name, const char *const *choices, uint64_t *index)
{
    const char *text = command_line_get(name);
    char allowed[128] = "";
    size_t used = 0;

    if (text == NULL) {
        return;
    }
    for (size_t i = 0; choices[i] != NULL; i++) {
        if (strcmp(choices[i], text) == 0) {
            *index = i;
            return;
        }
        if (used < sizeof(allowed)) {
            used += format_text(allowed + used, sizeof(allowed) - used, " %s", choices[i]);
        }
    }
    log_warning("command line: %s='%s' is unknown (allowed:%s): ignored", name, text, allowed);
}

size_t command_line_word_count(void)
{
    return word_count;
}

const struct command_line_word *command_line_word(size_t index)
{
    return &words[index];
}
