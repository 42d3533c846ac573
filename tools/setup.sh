#!/bin/sh
# SPDX-License-Identifier: MIT
# Installs the Debian packages that are missing; `--check` only names them (status 1 if there are
# any). Invariant: a package counts as present only when its probe in packages.txt has just run, so
# a broken tool is noticed, not remembered as good. Callers: make run, make test, .ci/run; or a
# person, directly.
set -eu

list=$(dirname "$0")/packages.txt

# Prints the packages whose probe fails. All probes run at once: this stands before every `make
# run`.
missing_packages() {
    while read -r package probe; do
        case $package in '' | '#'*) continue ;; esac
        (sh -c "$probe" >/dev/null 2>&1 </dev/null || echo "$package") &
    done <"$list"
    wait
}

# Runs its arguments as root.
as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        echo "setup: root or sudo is needed for: $*" >&2
        exit 1
    fi
}

missing=$(missing_packages | sort | tr '\n' ' ')
missing=${missing% }
[ -n "$missing" ] || exit 0
echo "setup: missing or not usable: $missing" >&2
[ "${1-}" != --check ] || exit 1

if ! command -v apt-get >/dev/null; then
    echo "setup: no apt-get here; install what tools/packages.txt lists by hand" >&2
    exit 1
fi
if [ -t 0 ]; then
    printf 'setup: install now? [Y/n] ' >&2
    read -r answer
    case $answer in [nN]*) exit 1 ;; esac
fi

# --reinstall: a package may be installed and yet not usable.
install_missing() {
    # shellcheck disable=SC2086 # a list of names, split on purpose
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends \
        --reinstall $missing
}
find /var/lib/apt/lists -name '*_Packages*' 2>/dev/null | grep -q . || as_root apt-get update
install_missing || { as_root apt-get update && install_missing; }

missing=$(missing_packages | sort | tr '\n' ' ')
if [ -n "$missing" ]; then
    echo "setup: installed, yet still not usable: $missing" >&2
    exit 1
fi
