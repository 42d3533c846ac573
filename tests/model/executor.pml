/* SPDX-License-Identifier: MIT */
/* A CPU that runs through the sites: fetch, #BP handler, sync, park, NMI. Invariant: all it knows
 * of the patcher comes from memory and interrupts; each step is one access to something shared.
 * Included by: model.pml. */

/* ---- the batch as the handler sees it: patching/breakpoint.c ---- */

byte references[CPUS];       /* patch_trap_cpus[].references */
byte batches_armed;
bool batch_is_valid;         /* ghost: between its preparation and the return to its owner */
byte batch_new;              /* version that the batch in flight writes */
byte batch_old[SITES];       /* and the one it replaces */
bool batch_lists[SITES];     /* find_site() finds it */

inline check_reader()
{
    no_reader_of_a_reused_batch = batch_is_valid;
    assert(no_reader_of_a_reused_batch)
}

inline check_version(site, version)
{
    no_forbidden_version = (allowed[site] & BIT(version)) != 0 &&
        (batch_is_valid || !(answered_in_vain & BIT(cpu)) || version == text_at(site, 0));
    assert(no_forbidden_version);
#if LAST_SITES
    no_old_behind_a_last_site = is_last(site) || version >= last_executed;
    assert(no_old_behind_a_last_site);
    last_executed = (is_last(site) && version > last_executed -> version : last_executed)
#endif
}

/* reference_get(). The compare-and-swap is one step: it takes effect at once or is done again. */
inline reference_get()
{
    atomic {
        if
        :: references[cpu] > 0 -> references[cpu]++; in_time = true;
            printf("@%d reference %d -> %d\n", cpu, references[cpu] - 1, references[cpu])
        :: else -> printf("@%d no batch in flight\n", cpu)
        fi
    }
}

inline reference_put()
{
    d_step {
        if
        :: !LEAK_REFERENCE -> references[cpu]--
        :: else
        fi;
        in_time = false;
        printf("@%d reference dropped: %d\n", cpu, references[cpu])
    }
}

/* A data load, never stale. */
inline read_byte()
{
    d_step {
        stands = text_at(site, 0) == INT3;
        printf("@%d reads byte 0: <%d>\n", cpu, text_at(site, 0))
    }
}

/* look_once(): reference, byte, search, emulation, put. After it is_ours is LOOK_EMULATED; if not,
 * stands is LOOK_STRANGE, and neither is LOOK_VANISHED. Mutants by #if: an `if` would add states to
 * all searches.
 *
 *     patcher                              this CPU, in the handler
 *     arm: references = 1; counted
 *     byte 0 = int3
 *                                          #BP
 *                                          reads the count; reference 1 -> 2
 *                                          finds the site; emulates
 *     disarm: references 2 -> 1; waits
 *                                          reference 1 -> 0
 *     sees 0; the batch may be reused
 *
 * Each access to what others write is one step. x86 executes these loads in order, so nothing here
 * is reordered; that the compiler keeps the order is the business of acquire and release in C. */
inline look_once()
{
#if BYTE_READ_FIRST
    read_byte();
#endif
    reference_get();
#if COUNT_READ_LATE
    armed_before = batches_armed;
#endif
#if !BYTE_READ_FIRST
    read_byte();
#endif
    if
    :: in_time ->
        d_step { /* find_site(); whether int3 still stands or not */
            check_reader();
            is_ours = batch_lists[site]
        }
        if
        :: is_ours -> /* emulate() */
progress_emulated:
            atomic {
                check_reader();
                version = (EMULATE_OLD || (is_last(site) && !LAST_STANDS_FOR_NEW) ->
                    batch_old[site] : batch_new);
                printf("@%d emulates <%d>\n", cpu, version); /* reach: emulated */
                check_version(site, version);
                version = 0
            }
        :: else -> skip /* reach: not-ours */
        fi
    :: else
    fi;
    if
    :: in_time -> reference_put()
    :: else
    fi
}

/* patch_breakpoint_handle(), and the way back of breakpoint_entry (arch/entry.asm). */
inline breakpoint_handle(inside_nmi)
{
    do
    ::
#if !COUNT_READ_LATE
       armed_before = batches_armed; /* before the reference */
#endif
       look_once();
       if
       :: is_ours || (!stands && !NO_RETRY) -> break
       :: else
       fi;
       atomic {
           look = (LOOKS == 0 -> 0 : look + 1);
           every_trap_is_resolved =
               (LOOKS == 0 -> batches_armed != armed_before : look < LOOKS);
           printf("@%d int3 stands, and nobody's; batches armed: %d, %d\n", cpu, armed_before,
                  batches_armed);
           assert(every_trap_is_resolved); /* reach: second-look */
           armed_before = 0;
           stands = false
       }
    od;
    atomic {
        if
        :: is_ours
        :: else -> printf("@%d int3 is gone: fetches again\n", cpu) /* reach: retried */
        fi;
        /* IRET; inside an NMI breakpoint_entry must not use it, and nothing serialises */
        if
        :: !inside_nmi && (is_ours || !RETRY_WITHOUT_SERIALISE) -> serialise(cpu)
        :: else
        fi;
        is_ours = false;
        stands = false;
        look = 0;
        armed_before = 0;
        is_trapped = false;
        printf("@%d returns from #BP\n", cpu)
    }
}

/* Fetches and executes the instruction at one site. One step: nothing lets a CPU serialise between
 * two bytes of one instruction, so what it may fetch can only grow, and executing late is as bad as
 * fetching early. */
inline run_through_site(inside_nmi)
{
    atomic {
        site = 0;
        if
        :: true
        :: SITES > 1 -> site = SITES - 1
        fi;
        fetch(cpu, site, 0, first);
        if
        :: first == INT3 ->
            is_trapped = true;
            printf("@%d site %d: fetches int3: #BP\n", cpu, site); /* reach: trapped */
            no_int3_after_success = (allowed[site] & BIT(INT3)) != 0;
            assert(no_int3_after_success)
        :: else ->
            if
            :: cells(site) > 1 -> fetch(cpu, site, 1, middle)
            :: else
            fi;
            if
            :: cells(site) > 2 -> fetch(cpu, site, 2, last)
            :: else
            fi;
            version = (SAME_FIRST -> middle : first);
            no_mixed_execution = first == byte_of(0, version) &&
                (cells(site) <= 1 || middle == byte_of(1, version)) &&
                (cells(site) <= 2 || last == byte_of(2, version));
            if
            :: cells(site) == 1 -> printf("@%d site %d: executes <%d>\n", cpu, site, first)
            :: cells(site) == 2 ->
                printf("@%d site %d: executes <%d> <%d>\n", cpu, site, first, middle)
            :: else ->
                printf("@%d site %d: executes <%d> <%d> <%d>\n", cpu, site, first, middle, last)
            fi;
            assert(no_mixed_execution); /* reach: executed */
            check_version(site, version)
        fi;
        first = 0;
        middle = 0;
        last = 0;
        version = 0
    }
    if
    :: is_trapped -> breakpoint_handle(inside_nmi)
    :: else ->
progress_executed:
        skip
    fi;
    site = 0
}

#define NOT_IN_INTERRUPT (!owes_iret && !is_parked)

/* The interrupt-off stretches of a CPU need no flag: a pending interrupt that it does not take yet
 * is the same, and it may not take one for as long as it likes. A CPU that has gone idle runs no
 * more sites and takes its interrupts: only so can "the patcher waits for ever" show as an end
 * state. An NMI interrupts at any point, the handlers included. */
#if NMI_SITES /* only then: `provided` forbids partial order reduction */
#define NOT_IN_NMI provided (!in_nmi[_pid])
#else
#define NOT_IN_NMI
#endif

active [CPUS] proctype executor() NOT_IN_NMI
{
    byte cpu = _pid;
    byte site, first, middle, last, version, look, armed_before, seen;
    bool is_trapped, in_time, stands, is_ours; /* run_through_site() */
    bool owes_iret, is_parked, is_idle;

end_executor:
    do
    :: !is_idle && (NOT_IN_INTERRUPT || (SITE_AFTER_ACKNOWLEDGE && owes_iret && seen > 0)) ->
        run_through_site(false)

    /* sync_entry (arch/entry.asm): acknowledges, then its IRET serialises. In between the CPU runs
     * nothing but these instructions. */
    :: atomic { sync_pending[cpu] && NOT_IN_INTERRUPT -> sync_pending[cpu] = false;
                owes_iret = true;
                if
                :: SERIALISE_FIRST -> serialise(cpu)
                :: else
                fi;
                seen = sync_round }
       d_step { acknowledged[cpu] = seen;
                printf("@%d acknowledges sync %d\n", cpu, seen) }
       if
       :: !SITE_AFTER_ACKNOWLEDGE -> seen = 0
       :: else
       fi
    :: d_step { owes_iret && (seen == 0 || SITE_AFTER_ACKNOWLEDGE) ->
                if
                :: !SYNC_WITHOUT_SERIALISE -> serialise(cpu)
                :: else
                fi;
                owes_iret = false;
                seen = 0;
                printf("@%d IRET: serialised\n", cpu) }

    /* stop_interrupt() (arch/stop_cpus.c). */
    :: atomic { stop_pending[cpu] && NOT_IN_INTERRUPT -> stop_pending[cpu] = false;
                is_parked = true;
                seen = stop_round }
       atomic { stop_acknowledged[cpu] = seen; /* reach: parked */
                printf("@%d parked\n", cpu) }
       d_step { stop_released >= seen ->
                if
                :: !RELEASE_WITHOUT_SERIALISE -> serialise(cpu) /* serialize_core(), IRET */
                :: else
                fi;
                seen = 0;
                is_parked = false;
                printf("@%d leaves: serialised\n", cpu) }

    :: WAIT_WITH_INTERRUPTS_OFF && NOT_IN_INTERRUPT && !is_idle ->
        printf("@%d waits for the patcher, interrupts off\n", cpu);
        patcher_done
    :: d_step { !is_idle && NOT_IN_INTERRUPT -> is_idle = true; printf("@%d idle\n", cpu) }
    od
}

#if NMIS
/* One NMI for each CPU, anywhere. Its code holds no site (arch/entry.asm, tools/check_nopatch.py),
 * so that its only effect is the serialising IRET; NMI_SITES shows what would be otherwise. */
active [CPUS] proctype nmi()
{
    byte cpu = _pid - CPUS;
#if NMI_SITES
    byte site, first, middle, last, version, look, armed_before;
    bool is_trapped, in_time, stands, is_ours;

    in_nmi[cpu] = true; /* reach: nmi */
    run_through_site(true);
    atomic { in_nmi[cpu] = false; serialise(cpu) }
#else
    atomic {
        printf("@%d NMI\n", cpu); /* reach: nmi */
        serialise(cpu)
    }
#endif
}
#endif
