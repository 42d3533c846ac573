// SPDX-License-Identifier: MIT
/* See live_stop.h. Built without ThreadSanitizer (live.mk): the signal may interrupt the
 * sanitizer's own runtime, which must not be entered again from here.
 *
 *     patcher                                 a thread
 *     requested = g; signals                  (anywhere)
 *     waits for acknowledged == g             handler: acknowledged = g (release)
 *     writes text                             spins until released >= g (acquire)
 *     released = g (release)                  serialises, returns: new text
 *
 * A thread that comes too late finds released == g already and goes on at once. The signal is
 * blocked inside its handler: otherwise one stop after the other could pile up on a stack whose
 * thread does not get to run between them. */
#include "tests/host/live_stop.h"

#include "patching/platform.h"
#include "tests/host/live.h"

#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    SPINS_BEFORE_YIELD = 200, /* there may be more threads than CPUs */
    SIGNAL_SET_BYTES = 8,
};

#define STOP_LIMIT_NS      60000000000ull
#define KERNEL_SA_RESTORER 0x04000000ul

/* As rt_sigaction(2) has it on x86-64; the C library's differs. */
struct kernel_sigaction {
    void (*handler)(int, siginfo_t *, void *);
    unsigned long flags;
    void (*restorer)(void);
    uint64_t mask;
};

void live_signal_return(void);

__asm__(".pushsection .text\n"
        "live_signal_return:\n\t"
        "mov $15, %eax\n\t" /* rt_sigreturn */
        "syscall\n"
        ".popsection");

/* One CPU, on a cache line of its own. */
static struct {
    _Alignas(64) pid_t thread; /* 0: no such CPU; under the mutex */
    uint64_t acknowledged;     /* atomic */
} cpus[LIVE_CPU_MAX];

static pthread_mutex_t registration = PTHREAD_MUTEX_INITIALIZER; /* held while threads are parked */
static uint64_t requested, released;                             /* atomic; generations */
static uint64_t limit_ns = STOP_LIMIT_NS;
static unsigned registered; /* atomic; a count alone */
static __thread unsigned own_cpu;
static __thread bool is_registered;

int live_signal_install(int number, void (*handler)(int, siginfo_t *, void *))
{
    const struct kernel_sigaction action = {
        .handler = handler,
        .flags = SA_SIGINFO | SA_RESTART | KERNEL_SA_RESTORER,
        .restorer = live_signal_return,
    };

    return (int)syscall(SYS_rt_sigaction, number, &action, NULL, SIGNAL_SET_BYTES);
}

/* Intel SDM, volume 3, "Serializing Instructions": IRET. */
void live_serialize(void)
{
    uint64_t scratch;

    __asm__ volatile("mov %%ss, %k0\n\t"
                     "push %0\n\t"
                     "push %%rsp\n\t"
                     "addq $8, (%%rsp)\n\t" /* the stack pointer before the first push */
                     "pushfq\n\t"
                     "mov %%cs, %k0\n\t"
                     "push %0\n\t"
                     "lea 1f(%%rip), %0\n\t"
                     "push %0\n\t"
                     "iretq\n"
                     "1:"
                     : "=&r"(scratch)
                     :
                     : "memory", "cc");
}

static void spin(unsigned *spins)
{
    __builtin_ia32_pause();
    if (++*spins % SPINS_BEFORE_YIELD == 0) {
        sched_yield();
    }
}

static void handle_stop(int number, siginfo_t *information, void *context)
{
    uint64_t generation = __atomic_load_n(&requested, __ATOMIC_ACQUIRE);
    unsigned spins = 0;

    (void)number;
    (void)information;
    (void)context;
    /* Release: pairs with the acquire in wait_for(); the thread has stopped executing text. */
    __atomic_store_n(&cpus[own_cpu].acknowledged, generation, __ATOMIC_RELEASE);
    /* Acquire: pairs with the release in release_generation(); without it the thread could
     * serialise before the text is written. */
    while (__atomic_load_n(&released, __ATOMIC_ACQUIRE) < generation) {
        spin(&spins);
    }
    live_serialize();
}

int live_stop_initialize(void)
{
    return live_signal_install(LIVE_STOP_SIGNAL, handle_stop);
}

void live_stop_register(unsigned cpu)
{
    pthread_mutex_lock(&registration);
    own_cpu = cpu;
    is_registered = true;
    cpus[cpu].thread = (pid_t)syscall(SYS_gettid);
    __atomic_fetch_add(&registered, 1, __ATOMIC_RELAXED);
    pthread_mutex_unlock(&registration);
}

void live_stop_unregister(unsigned cpu)
{
    pthread_mutex_lock(&registration);
    cpus[cpu].thread = 0;
    is_registered = false;
    __atomic_fetch_sub(&registered, 1, __ATOMIC_RELAXED);
    pthread_mutex_unlock(&registration);
}

unsigned live_stop_others(void)
{
    return __atomic_load_n(&registered, __ATOMIC_RELAXED) - is_registered;
}

void live_stop_set_limit(uint64_t ns)
{
    limit_ns = ns;
}

static bool wait_for(unsigned cpu, uint64_t generation, uint64_t start)
{
    unsigned spins = 0;

    while (__atomic_load_n(&cpus[cpu].acknowledged, __ATOMIC_ACQUIRE) != generation) {
        if (platform_ticks_to_ns(platform_time_ticks() - start) > limit_ns) {
            return false;
        }
        spin(&spins);
    }
    return true;
}

static void release_generation(void)
{
    __atomic_store_n(&released, __atomic_load_n(&requested, __ATOMIC_RELAXED), __ATOMIC_RELEASE);
    pthread_mutex_unlock(&registration);
}

static bool is_other(unsigned cpu, pid_t self)
{
    return cpus[cpu].thread != 0 && cpus[cpu].thread != self;
}

bool platform_stop_cpus(struct platform_round *round)
{
    pid_t self = (pid_t)syscall(SYS_gettid);
    uint64_t start = platform_time_ticks();

    pthread_mutex_lock(&registration);

    uint64_t generation = __atomic_add_fetch(&requested, 1, __ATOMIC_RELEASE);

    for (unsigned i = 0; i < LIVE_CPU_MAX; i++) {
        if (is_other(i, self)) {
            round->ipis++;
            if (syscall(SYS_tgkill, getpid(), cpus[i].thread, LIVE_STOP_SIGNAL) != 0) {
                platform_fatal("a thread ended without live_leave_cpu()", NULL, i, 0);
            }
        }
    }
    for (unsigned i = 0; i < LIVE_CPU_MAX; i++) {
        if (is_other(i, self) && !wait_for(i, generation, start)) {
            round->silent_cpu = i;
            release_generation();
            return false;
        }
    }
    return true;
}

void platform_release_cpus(void)
{
    release_generation();
    live_serialize();
}
