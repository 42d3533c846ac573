#!/bin/sh
# SPDX-License-Identifier: MIT
# Boots livetext in QEMU: serial console on this terminal, Ctrl-C goes to the guest, Ctrl-A X quits.
# Invariant: the exit status is QEMU's own (33: every command succeeded, 35: one failed or panic).
# Options come from the environment; a wrong one is named and nothing starts. Callers: make run,
# make debug (GDB=1), make bench.
set -eu

build=${BUILD:-build}
smp=${SMP:-4} mem=${MEM:-256M} nic=${NIC:-} accel=${ACCEL:-auto} uefi=${UEFI:-} cmd=${CMD:-}
machine=${MACHINE:-pc} netdev=${NETDEV:-} gdb=${GDB:-}

fail() {
    echo "run: $*" >&2
    exit 2
}

# True when KVM works and is not itself emulated: then TCG would be the faster one.
kvm_is_fast() {
    (: <>/dev/kvm) 2>/dev/null && grep -qwE 'vmx|svm' /proc/cpuinfo
}

# $1 in single quotes, so that a shell reads it as one word, whatever is in it.
quote() {
    printf "'%s' " "$(printf '%s' "$1" | sed "s/'/'\\\\''/g")"
}

case $smp in '' | *[!0-9]*) fail "SMP='$smp' is not a number" ;; esac
case $smp in [1-9] | [1-9][0-9] | [12][0-9][0-9]) ;; *) fail "SMP=$smp is not in 1..255" ;; esac
if [ "$smp" -gt 255 ]; then fail "SMP=$smp is not in 1..255"; fi
case ${mem%[MG]} in '' | 0* | *[!0-9]*) fail "MEM='$mem' is not a size such as 64M or 4G" ;; esac
case $mem in ???????* | ????*G) fail "MEM=$mem is more than 99999M or 999G" ;; esac
case $machine in pc | q35) ;; *) fail "MACHINE='$machine' is none of pc, q35" ;; esac
case $uefi in '' | 0 | 1) ;; *) fail "UEFI='$uefi' is neither 0 nor 1" ;; esac
case $nic in
'')
    if [ -n "$netdev" ]; then fail "NETDEV='$netdev' needs NIC=virtio, e1000 or e1000e"; fi
    set -- -nic none
    ;;
virtio | e1000 | e1000e) # not -nic: it would give a virtio card no MSI-X
    model=$nic
    if [ "$nic" = virtio ]; then model=virtio-net-pci; fi
    set -- -netdev "${netdev:-user},id=net0" -device "$model,netdev=net0"
    ;;
*) fail "NIC='$nic' is none of virtio, e1000, e1000e" ;;
esac

if [ "$accel" = auto ]; then
    accel=tcg
    if kvm_is_fast; then accel=kvm; fi
fi
case $accel in
tcg) set -- "$@" -accel tcg,thread=multi -cpu max ;;
icount) # time counts instructions: every boot gives the same figures
    set -- "$@" -accel tcg,thread=single -icount shift=0,sleep=off -cpu max -seed 1 \
        -rtc base=2026-01-01T00:00:00,clock=vm
    ;;
kvm) set -- "$@" -accel kvm -cpu host,-arch-capabilities ;;
*) fail "ACCEL='$accel' is none of auto, tcg, kvm, icount" ;;
esac

if [ "$uefi" = 1 ]; then
    tools/make_iso.sh "$build/livetext.elf" "$build/run.iso" "$cmd"
    set -- "$@" -bios /usr/share/ovmf/OVMF.fd -cdrom "$build/run.iso"
else
    set -- "$@" -kernel "$build/livetext.elf" -append "$cmd"
fi
set -- "$@" -machine "$machine" -smp "$smp" -m "$mem" -display none \
    -device isa-debug-exit,iobase=0xf4,iosize=4

if [ -z "$gdb" ]; then
    exec qemu-system-x86_64 "$@" -serial mon:stdio
fi

# gdb starts QEMU itself and talks to it through a pipe, so both end together.
for word in qemu-system-x86_64 -S -gdb stdio "$@" -serial "file:$build/debug.log"; do
    quote "$word"
done >"$build/debug.sh"
echo "run: the console goes to $build/debug.log" >&2
exec gdb --nx -q "$build/livetext.elf" -ex "target remote | exec sh $build/debug.sh" \
    -ex 'hbreak kernel_main' -ex continue
