/* SPDX-License-Identifier: MIT */
/* The machine: text, what each CPU may fetch of it, and the interrupts that serialise a CPU.
 * Invariant: a CPU may fetch of a byte any value that the byte had since this CPU last serialised,
 * each byte on its own and each time anew. Included by: model.pml.
 *
 * A byte of text is known by the version of the instruction it belongs to: 0 is what the kernel
 * starts with, batch n writes version n. int3 belongs to none. */

#define INT3 4
#define BIT(value) (1 << (value))

/* An aligned quadword that is stored at once is fetched at once (AMD's rule for cross-modifying
 * code): one cell. Over a boundary the store falls in two, and so does the fetch. */
#define is_qword(site) ((QWORD_SITES >> (site)) & 1)
#define cells(site) (is_qword(site) -> 1 + QWORD_OVER_BOUNDARY : SITE_BYTES)
#define byte_of(cell, version) \
    (((cell) == 0 && SAME_FIRST) || ((cell) > 0 && SAME_TAIL) -> 0 : (version))

#define is_last(site) ((LAST_SITES >> (site)) & 1)

#define text_at(site, cell) text[(site) * SITE_BYTES + (cell)]
#define fetchable_at(cpu, site, cell) fetchable[((cpu) * SITES + (site)) * SITE_BYTES + (cell)]

byte text[SITES * SITE_BYTES];                    /* memory: what a data load returns */
byte fetchable[CPUS * SITES * SITE_BYTES] = BIT(0); /* set of values, one bit each */

byte i, j; /* scratch of d_steps: 0 outside of them, so they add no state */

/* One store to text. x86 keeps stores in order, so there is no store buffer here; that a CPU may
 * fetch the old value for as long as it likes is in fetchable[]. */
inline store(site, cell, value)
{
    d_step {
        text_at(site, cell) = value;
        for (i : 0 .. CPUS - 1) {
            fetchable_at(i, site, cell) = fetchable_at(i, site, cell) | BIT(value)
        }
        i = 0;
        printf("@P store: site %d, byte %d = <%d>\n", site, cell, value);
    }
}

/* A serialising instruction: whatever was fetched is dropped. Runs inside a d_step or an atomic. */
inline serialise(cpu)
{
    d_step {
        for (i : 0 .. SITES - 1) {
            for (j : 0 .. SITE_BYTES - 1) {
                fetchable_at(cpu, i, j) = BIT(text_at(i, j))
            }
        }
        i = 0;
        j = 0
    }
}

/* A fetch of one cell: any value it had since this CPU last serialised. Runs inside an atomic. */
#define may_fetch(cpu, site, cell, value) (fetchable_at(cpu, site, cell) & BIT(value))
inline fetch(cpu, site, cell, value)
{
    if
    :: may_fetch(cpu, site, cell, 0) -> value = 0
    :: may_fetch(cpu, site, cell, 1) -> value = 1
    :: may_fetch(cpu, site, cell, 2) -> value = 2
    :: may_fetch(cpu, site, cell, 3) -> value = 3
    :: may_fetch(cpu, site, cell, INT3) -> value = INT3
    fi
}

/* ---- interrupts: arch/ipi.c, arch/stop_cpus.c ---- */

byte sync_round;               /* counts rounds; written by the patcher alone */
byte owed_round[CPUS];         /* the IPI of that round, given up, may be pending; 0: none */
byte acknowledged[CPUS];       /* struct cpu: sync_acknowledged */
bool sync_pending[CPUS];       /* an IPI that the CPU has not taken yet */
byte stop_round;
byte stop_released;            /* the newest round whose CPUs may go */
byte stop_acknowledged[CPUS];
bool stop_pending[CPUS];
bool in_nmi[CPUS];             /* the CPU executes NMI code: its executor stands still */
bool patcher_done;

/* ---- what is checked: ghosts, which no code of livetext reads ---- */

/* Bit v: version v of this site may be executed, bit INT3: its int3 may be met. */
byte allowed[SITES] = BIT(0);

/* The newest version that anybody has executed at a site that is last. */
byte last_executed;

/* THE_SILENT alone: CPUs that had answered a sync that was given up for another's sake. */
byte answered_in_vain;

/* Names for assertions: true, or the run ends. */
bool no_mixed_execution = true;
bool no_forbidden_version = true;
bool no_int3_after_success = true;
bool no_old_behind_a_last_site = true;
bool every_trap_is_resolved = true;
bool no_reader_of_a_reused_batch = true;
bool references_have_drained = true;
bool text_is_whole = true;
bool no_ipi_merges = true;
