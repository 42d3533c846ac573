#!/bin/sh
# SPDX-License-Identifier: MIT
# make_iso.sh ELF ISO [COMMAND LINE]: a hybrid image: CD or USB disk, BIOS and UEFI, by GRUB 2 and
# multiboot 2. Invariant: the kernel sees the words of COMMAND LINE as written; GRUB, which
# re-quotes them, puts the quotes around the whole word. Callers: make iso, tools/run.sh,
# tests/boot.
set -eu

elf=$1 iso=$2 command_line=${3-}
modules="multiboot2 normal iso9660 part_msdos part_gpt fat search serial terminal"
# The UEFI image of grub-mkrescue looks for these as well, and complains of each it does not find.
modules="$modules part_acorn part_amiga part_apple part_bsd part_dfly part_dvh part_plan part_sun"
modules="$modules part_sunpc"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
root=$scratch/root

words=$(/usr/bin/python3 -c 'import shlex, sys; print(shlex.join(shlex.split(sys.argv[1])))' \
    "$command_line" 2>/dev/null) || {
    echo "make_iso: quotes do not match in: $command_line" >&2
    exit 2
}

mkdir -p "$root/boot/grub"
objcopy --strip-debug "$elf" "$root/boot/livetext.elf"
cat >"$root/boot/grub/grub.cfg" <<EOF
serial --unit=0 --speed=115200
terminal_input serial console
terminal_output serial console
set timeout=0
set gfxpayload=text
menuentry livetext {
    # Under UEFI GRUB warns that there is no text screen; the kernel wants the serial port only.
    if multiboot2 /boot/livetext.elf $words; then clear; fi
}
EOF
grub-mkrescue -o "$iso.tmp" --compress=xz --fonts= --locales= --themes= \
    --install-modules="$modules" "$root" >"$scratch/log" 2>&1 || {
    cat "$scratch/log" >&2
    exit 1
}
mv "$iso.tmp" "$iso"
