// SPDX-License-Identifier: MIT
/* The suites, in the order in which `test` runs them: what others stand on comes first. */
#include "tests/kernel/test.h"

extern const struct test_suite suite_memory, suite_console, suite_machine, suite_threads,
    suite_grace_period, suite_poke;
extern const struct test_suite suite_breakpoint, suite_static_key, suite_hold, suite_hold_company,
    suite_mitigation;
extern const struct test_suite suite_lazy_call, suite_single_step, suite_static_call, suite_trace,
    suite_torture, suite_net_pool, suite_net_device, suite_net_transmit, suite_net_path,
    suite_net_socket, suite_net_traffic, suite_dispatcher, suite_dispatcher_auto, suite_program,
    suite_dynamic_users;
extern const struct test_suite suite_dynamic_call, suite_dynamic_callee, suite_dynamic_learning,
    suite_dynamic_worker, suite_dynamic_torture;
extern const struct test_suite suite_paravirt, suite_paravirt_counted, suite_paravirt_forwarded;
extern const struct test_suite suite_lock_halt, suite_paravirt_switch;
extern const struct test_suite suite_paravirt_batch, suite_paravirt_hold;
extern const struct test_suite suite_paravirt_torture;
extern const struct test_suite suite_paravirt_halt;

/* clang-format off */
const struct test_suite *const test_suites[] = {
    &suite_memory,
    &suite_console,
    &suite_machine,
    &suite_threads,
    &suite_grace_period,
    &suite_poke,
    &suite_breakpoint,
    &suite_static_key,
    &suite_static_call,
    &suite_paravirt,
    &suite_paravirt_switch,
    &suite_paravirt_counted,
    &suite_paravirt_forwarded,
    &suite_lock_halt,
    &suite_dynamic_call,
    &suite_dynamic_callee,
    &suite_paravirt_batch,
    &suite_paravirt_hold,
    &suite_paravirt_halt,
    &suite_hold,
    &suite_hold_company,
    &suite_mitigation,
    &suite_lazy_call,
    &suite_trace,
    &suite_single_step,
    &suite_net_pool,
    &suite_net_device,
    &suite_net_transmit,
    &suite_net_path,
    &suite_net_socket,
    &suite_net_traffic,
    &suite_dispatcher,
    &suite_dispatcher_auto,
    &suite_program,
    &suite_dynamic_users,
    &suite_dynamic_learning,
    &suite_dynamic_worker,
    &suite_dynamic_torture,
    &suite_paravirt_torture,
    &suite_torture,
    NULL,
};
/* clang-format on */
