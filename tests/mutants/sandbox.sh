#!/bin/sh
# Runs a command where a mutant can do no harm: sandbox.sh ROOT CLONE COMMAND...
#
# The command sees CLONE in the place of ROOT, with ROOT's environment; everything else is read-only, /tmp is empty
# and in memory, and every process that is left ends with the command. Started by `unshare` (see clones.py).
set -eu
root=$1 clone=$2
shift 2
mkdir -p "$clone/.venv"
mount --bind "$root/.venv" "$clone/.venv"
mount --rbind "$clone" /mnt
findmnt -rno TARGET | while read -r place; do
    case $place in
    /mnt | /proc | /dev | /dev/* | *\\*) ;;
    *) mount -o remount,bind,ro "$place" 2>/dev/null || true ;;
    esac
done
mount -t tmpfs -o mode=1777 tmpfs /tmp
mount -t tmpfs -o mode=1777 tmpfs /dev/shm
mkdir -p "$root"
mount --rbind /mnt "$root"
cd "$root"
# Not `exec`: this shell, the first process in here, collects those that lose their parent.
"$@" || exit $?
exit 0
