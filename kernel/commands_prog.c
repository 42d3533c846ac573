// SPDX-License-Identifier: MIT
/* The shell command prog: packet programs, where they are attached, and what they say of frames.
 * Invariant: what is refused changes nothing, and one line names the culprit; a program that found
 * no entry in the dispatcher is said to run through the fallback. */
#include "arch/clock.h"
#include "kernel/console.h"
#include "kernel/format.h"
#include "kernel/net_command.h"
#include "kernel/options.h"
#include "kernel/patch_error_text.h"
#include "kernel/program_hook.h"
#include "kernel/program_table.h"
#include "kernel/string.h"

#define COMMAND_BYTES 16
#define NAME_BYTES    16

static enum command_result list_run(int argc, char **argv)
{
    bool json = false;
    const struct option options[] = {OPTION_JSON(&json)};
    const struct net_device *device = NULL;
    const struct net_program *program;
    struct table table;

    if (!options_parse(options, ARRAY_COUNT(options), &argc, argv, 0, 1)) {
        return COMMAND_USAGE;
    }
    if (argc > 1) {
        device = net_command_find_device("prog list", argv[1]);
        if (device == NULL) {
            return COMMAND_FAILED;
        }
    }
    table_begin(&table, device != NULL ? "prog.queue" : "prog", json);
    for (unsigned i = 0; device != NULL && i < device->queue_count; i++) {
        program_table_queue(&table, device, i);
    }
    for (unsigned i = 0; device == NULL && (program = net_program_at(i)) != NULL; i++) {
        program_table_row(&table, program);
    }
    table_end(&table);
    return COMMAND_OK;
}

/* What `count` has counted, on one card or all. */
static enum command_result counts_run(int argc, char **argv)
{
    bool json = false;
    const struct option options[] = {OPTION_JSON(&json)};
    const struct net_device *only = NULL, *device;
    struct table table;

    if (!options_parse(options, ARRAY_COUNT(options), &argc, argv, 0, 1)) {
        return COMMAND_USAGE;
    }
    if (argc > 1 && (only = net_command_find_device("prog counts", argv[1])) == NULL) {
        return COMMAND_FAILED;
    }
    table_begin(&table, "prog.counts", json);
    for (unsigned i = 0; (device = net_device_at(i)) != NULL; i++) {
        for (unsigned queue = 0; queue < device->queue_count; queue++) {
            if (only == NULL || only == device) {
                program_table_counts(&table, device, queue);
            }
        }
    }
    table_end(&table);
    return COMMAND_OK;
}

/* A verb in progress. */
struct prog_change {
    const char *verb; /* "prog attach" */
    const char *what; /* the word that the user typed */
    bool json;
    struct net_device *device; /* NULL: the verb is not about one */
    uint32_t queue;
    uint64_t began_ns;
    struct patch_error error;
};

static bool is_done(enum net_program_status status)
{
    return status == NET_PROGRAM_OK || status == NET_PROGRAM_FULL;
}

/* Says why not, of @culprit. */
static enum command_result refuse(const struct prog_change *change, const char *culprit,
                                  enum net_program_status status)
{
    char text[PATCH_ERROR_TEXT_MAX];
    bool is_patch = status == NET_PROGRAM_PATCH;

    console_print("%s: %s: %s%s%s\n", change->verb, culprit, net_program_status_text(status),
                  is_patch ? ": " : "", is_patch ? patch_error_text(&change->error, text) : "");
    return COMMAND_FAILED;
}

/* The row of what was done to @count programs; @program: the one, if it is one. */
static enum command_result change_print(const struct prog_change *change, uint64_t count,
                                        const struct net_program *program)
{
    uint64_t time_ns = clock_now_ns() - change->began_ns;
    struct dispatcher_view view;
    struct table table;

    xdp_call_stats(receive, &view);
    table_begin(&table, "prog.change", change->json);
    table_row(&table);
    table_text(&table, "change", 6, change->verb + strlen("prog "));
    table_text(&table, "what", 10, change->what);
    table_number(&table, "programs", 8, count);
    program_table_dispatched(&table, program);
    table_number(&table, "entries", 7, view.count);
    table_time(&table, "time_ns", 10, time_ns);
    table_end_row(&table);
    table_end(&table);
    if (!change->json && program != NULL && program->dispatched < program->users) {
        console_print("%s: %s: %s\n", change->verb, program->xdp.name,
                      net_program_status_text(NET_PROGRAM_FULL));
    }
    return COMMAND_OK;
}

/* The program of this name; a generated one is made if it is not there. */
static struct net_program *program_get(struct prog_change *change, const char *name)
{
    struct net_program *program = net_program_find(name);
    uint32_t number = net_program_number(name);

    if (program == NULL && number < NET_PROGRAM_GENERATED_MAX) {
        enum net_program_status status = net_program_generate(number, &program, &change->error);

        if (status != NET_PROGRAM_OK) {
            refuse(change, name, status);
            return NULL;
        }
    } else if (program == NULL) {
        console_print("%s: '%s' is no program: prog lists them; gen0 to gen63 are generated when "
                      "they are asked for\n",
                      change->verb, name);
    }
    return program;
}

/* Reads "nic0" or "nic0:1". Returns false after naming what is wrong. */
static bool place_read(struct prog_change *change, char *word)
{
    char *colon = strchr(word, ':');
    uint64_t queue = 0;
    bool is_number = true;

    if (colon != NULL) {
        *colon = '\0';
        is_number = options_read_number(colon + 1, &queue);
    }
    change->queue = colon != NULL ? (uint32_t)queue : NET_PROGRAM_ALL_QUEUES;
    change->device = net_command_find_device(change->verb, word);
    if (change->device == NULL) {
        return false;
    }
    if (!is_number || (colon != NULL && queue >= change->device->queue_count)) {
        console_print("%s: %s has no queue '%s': it has 0 to %u\n", change->verb, word, colon + 1,
                      change->device->queue_count - 1);
        return false;
    }
    if (colon != NULL) {
        *colon = ':';
    }
    return true;
}

static enum command_result attach_run(struct prog_change *change, int argc, char **argv)
{
    (void)argc;
    struct net_program *program;

    if (!place_read(change, argv[1]) || (program = program_get(change, argv[2])) == NULL) {
        return COMMAND_FAILED;
    }

    enum net_program_status status =
        net_program_attach(change->device, change->queue, program, &change->error);

    if (!is_done(status)) {
        char culprit[2 * NAME_BYTES];

        format_text(culprit, sizeof(culprit), "%s on %s", program->xdp.name, argv[1]);
        return refuse(change, culprit, status);
    }
    change->what = program->xdp.name;
    return change_print(change, 1, program);
}

static enum command_result detach_run(struct prog_change *change, int argc, char **argv)
{
    (void)argc;
    if (!place_read(change, argv[1])) {
        return COMMAND_FAILED;
    }

    enum net_program_status status =
        net_program_detach(change->device, change->queue, &change->error);

    return is_done(status) ? change_print(change, 1, NULL) : refuse(change, argv[1], status);
}

/* Reads "gen0-gen63". Returns false after naming what is wrong. */
static bool range_read(const struct prog_change *change, const char *word, uint32_t *first,
                       uint32_t *last)
{
    char name[NAME_BYTES];
    size_t length = (size_t)(strchr(word, '-') - word);
    const char *end = word + length + 1, *wrong = NULL;

    format_text(name, sizeof(name), "%s", word);
    if (length < sizeof(name)) {
        name[length] = '\0';
    }
    *first = net_program_number(name);
    *last = net_program_number(end);
    if (*first >= NET_PROGRAM_GENERATED_MAX) {
        wrong = name;
    } else if (*last >= NET_PROGRAM_GENERATED_MAX) {
        wrong = end;
    }
    if (wrong != NULL) {
        console_print("%s: %s: '%s' is none of the generated programs: they are gen0 to gen%u\n",
                      change->verb, word, wrong, NET_PROGRAM_GENERATED_MAX - 1);
    } else if (*first > *last) {
        console_print("%s: %s: ends before it begins\n", change->verb, word);
    }
    return wrong == NULL && *first <= *last;
}

/* Enters all of them, or none. */
static enum command_result range_enter(struct prog_change *change, uint32_t first, uint32_t last)
{
    enum net_program_status status = NET_PROGRAM_OK;
    struct net_program *program = NULL;
    uint32_t number = first;

    for (; number <= last && is_done(status); number++) {
        status = net_program_generate(number, &program, &change->error);
        if (is_done(status)) {
            status = net_program_enter(program, &change->error);
        }
    }
    if (is_done(status)) {
        return change_print(change, last - first + 1, program);
    }

    char culprit[NAME_BYTES];

    format_text(culprit, sizeof(culprit), "gen%u", --number);
    while (number-- > first) {
        if (net_program_generate(number, &program, NULL) == NET_PROGRAM_OK) {
            net_program_leave(program, NULL);
        }
    }
    return refuse(change, culprit, status);
}

static enum command_result enter_run(struct prog_change *change, int argc, char **argv)
{
    (void)argc;
    uint32_t first, last;

    if (strchr(argv[1], '-') != NULL) {
        return range_read(change, argv[1], &first, &last) ? range_enter(change, first, last)
                                                          : COMMAND_FAILED;
    }

    struct net_program *program = program_get(change, argv[1]);

    if (program == NULL) {
        return COMMAND_FAILED;
    }

    enum net_program_status status = net_program_enter(program, &change->error);

    return is_done(status) ? change_print(change, 1, program) : refuse(change, argv[1], status);
}

static enum command_result leave_all(struct prog_change *change)
{
    struct net_program *program;
    uint64_t count = 0;

    for (unsigned i = 0; (program = net_program_at(i)) != NULL; i++) {
        enum net_program_status status = net_program_leave(program, &change->error);

        if (!is_done(status) && status != NET_PROGRAM_NONE) {
            return refuse(change, program->xdp.name, status);
        }
        count += is_done(status);
    }
    return count > 0 ? change_print(change, count, NULL) : refuse(change, "all", NET_PROGRAM_NONE);
}

/* One that exists: nothing is generated to be taken away. */
static struct net_program *program_find(const struct prog_change *change, const char *name)
{
    struct net_program *program = net_program_find(name);

    if (program == NULL) {
        console_print("%s: there is no program '%s'; prog lists them\n", change->verb, name);
    }
    return program;
}

static enum command_result leave_run(struct prog_change *change, int argc, char **argv)
{
    (void)argc;
    struct net_program *program;

    if (strcmp(argv[1], "all") == 0) {
        return leave_all(change);
    }
    program = program_find(change, argv[1]);
    if (program == NULL) {
        return COMMAND_FAILED;
    }

    enum net_program_status status = net_program_leave(program, &change->error);

    return is_done(status) ? change_print(change, 1, program) : refuse(change, argv[1], status);
}

/* Up to the first that is in use. */
static enum command_result unload_all(struct prog_change *change)
{
    uint64_t count = 0;
    char name[NAME_BYTES];

    for (unsigned i = 0; i < NET_PROGRAM_GENERATED_MAX; i++) {
        format_text(name, sizeof(name), "gen%u", i);

        struct net_program *program = net_program_find(name);
        enum net_program_status status =
            program != NULL ? net_program_unload(program, &change->error) : NET_PROGRAM_NONE;

        if (!is_done(status) && status != NET_PROGRAM_NONE) {
            return refuse(change, name, status);
        }
        count += is_done(status);
    }
    return count > 0 ? change_print(change, count, NULL) : refuse(change, "all", NET_PROGRAM_NONE);
}

static enum command_result unload_run(struct prog_change *change, int argc, char **argv)
{
    (void)argc;
    if (strcmp(argv[1], "all") == 0) {
        return unload_all(change);
    }

    struct net_program *program = program_find(change, argv[1]);

    if (program == NULL) {
        return COMMAND_FAILED;
    }

    enum net_program_status status = net_program_unload(program, &change->error);

    return is_done(status) ? change_print(change, 1, NULL) : refuse(change, argv[1], status);
}

static const struct verb {
    const char *name;
    const char *command;
    int words; /* behind it */
    enum command_result (*run)(struct prog_change *change, int argc, char **argv);
} verbs[] = {
    {"attach", "prog attach", 2, attach_run}, {"detach", "prog detach", 1, detach_run},
    {"enter", "prog enter", 1, enter_run},    {"leave", "prog leave", 1, leave_run},
    {"unload", "prog unload", 1, unload_run},
};

static enum command_result verb_run(const struct verb *verb, int argc, char **argv)
{
    struct prog_change change = {.verb = verb->command, .began_ns = clock_now_ns()};
    const struct option options[] = {OPTION_JSON(&change.json)};

    if (!options_parse(options, ARRAY_COUNT(options), &argc, argv, verb->words, verb->words)) {
        return COMMAND_USAGE;
    }
    change.what = argv[1];
    return verb->run(&change, argc, argv);
}

static enum command_result prog_run(struct shell_session *session, int argc, char **argv)
{
    (void)session;
    char command[COMMAND_BYTES];

    if (argc == 1 || argv[1][0] == '-') {
        return list_run(argc, argv);
    }
    if (strcmp(argv[1], "list") == 0) {
        format_text(command, sizeof(command), "prog list");
        argv[1] = command;
        return list_run(argc - 1, argv + 1);
    }
    if (strcmp(argv[1], "counts") == 0) {
        format_text(command, sizeof(command), "prog counts");
        argv[1] = command;
        return counts_run(argc - 1, argv + 1);
    }
    if (strcmp(argv[1], "hook") == 0) {
        format_text(command, sizeof(command), "prog hook");
        argv[1] = command;
        return program_hook_run(argc - 1, argv + 1);
    }
    for (size_t i = 0; i < ARRAY_COUNT(verbs); i++) {
        if (strcmp(argv[1], verbs[i].name) == 0) {
            format_text(command, sizeof(command), "%s", verbs[i].command);
            argv[1] = command;
            return verb_run(&verbs[i], argc - 1, argv + 1);
        }
    }
    console_print("prog: '%s' is not one of list counts attach detach enter leave unload hook\n",
                  argv[1]);
    return COMMAND_USAGE;
}

static void offer_programs(struct shell_completion *completion, bool with_all_numbers)
{
    const struct net_program *program;
    char name[NAME_BYTES];

    for (unsigned i = 0; (program = net_program_at(i)) != NULL; i++) {
        if (!with_all_numbers || !program->is_generated) {
            shell_completion_offer(completion, program->xdp.name);
        }
    }
    for (unsigned i = 0; with_all_numbers && i < NET_PROGRAM_GENERATED_MAX; i++) {
        format_text(name, sizeof(name), "gen%u", i);
        shell_completion_offer(completion, name);
    }
}

static void prog_complete(struct shell_completion *completion, int argument, char **argv)
{
    static const char *const words[] = {"list",  "counts", "attach", "detach", "enter",
                                        "leave", "unload", "hook",   NULL};

    if (argument == 1) {
        shell_completion_offer_all(completion, words);
        return;
    }

    const char *verb = argv[1];
    bool is_attach = strcmp(verb, "attach") == 0;

    if (argument == 2 && (is_attach || strcmp(verb, "detach") == 0 || strcmp(verb, "list") == 0 ||
                          strcmp(verb, "counts") == 0)) {
        net_command_complete_devices(completion);
    } else if (argument == 2 && strcmp(verb, "hook") == 0) {
        program_hook_complete(completion);
    } else if (argument == 3 && is_attach) {
        offer_programs(completion, true);
    } else if (argument == 2 && (strcmp(verb, "leave") == 0 || strcmp(verb, "unload") == 0)) {
        shell_completion_offer(completion, "all");
        offer_programs(completion, false);
    } else if (argument == 2) {
        offer_programs(completion, strcmp(verb, "enter") == 0);
    }
}

const struct shell_command command_prog = {
    .name = "prog",
    .summary = "packet programs: where they are attached, what they say of frames",
    .usage =
        "prog [list [NIC]] [counts [NIC]] [attach NIC[:QUEUE] NAME] [detach NIC[:QUEUE]] [enter "
        "NAME|genA-genB] [leave NAME|all] [unload NAME|all] [hook [dispatcher|dynamic]] [-j]",
    .example = "prog attach nic0 drop",
    .details =
        "A program sees each frame of a queue before any protocol, and says what becomes of it:\n"
        "drop, pass, tx (sent back), anything else is abort. Alone: all programs; in_dispatcher:\n"
        "no means that it runs through the fallback, for the dispatcher is full. list NIC: by\n"
        "queue, with the frames by verdict since boot. counts: what the program count has seen,\n"
        "by protocol and, for UDP and TCP, the 16 ports of a queue it met most; port -: all\n"
        "others. attach: to a queue or all, in place of what is there. gen0 to gen63 are\n"
        "generated when they are asked for: they drop UDP to port 9000 + number. enter, leave: a\n"
        "reference by hand, which fills the dispatcher without a queue. unload: removes\n"
        "generated code that nobody uses. entries: of the dispatcher then; time: of the whole\n"
        "change, grace period included. hook: how programs are run, by the dispatcher of all\n"
        "cards or by the dynamic call of each card (dyncall).",
    .run = prog_run,
    .complete = prog_complete,
};
