#!/bin/sh
# Runs a command where a mutant can do no harm: sandbox.sh ROOT CLONE COMMAND...
#
# The command sees CLONE in the place of ROOT, with ROOT's environment; everything else is read-only; /tmp and /run are
# empty and in memory, so that no Docker engine is reached; the network is its own; and every process that is left ends
# with the command. Started by `unshare` (see clones.py).
set -eu
root=$1 clone=$2
shift 2
mkdir -p "$clone/.venv"
mount --bind "$root/.venv" "$clone/.venv"
mount --rbind "$clone" /mnt
findmnt -rno TARGET | while read -r place; do
    case $place in
    /mnt | /proc | /dev | /dev/* | *\\*) ;;
    # One that another mount covers, or that has gone meanwhile, is no mount point.
    *) ! mountpoint -q "$place" || mount -o remount,bind,ro "$place" ;;
    esac
done
mount -t tmpfs -o mode=1777 tmpfs /tmp
mount -t tmpfs -o mode=1777 tmpfs /dev/shm
mount -t tmpfs -o mode=755 tmpfs /run
ip link set lo up
mkdir -p "$root"
mount --rbind /mnt "$root"
cd "$root"
# Not `exec`: this shell, the first process in here, collects those that lose their parent.
"$@" || exit $?
exit 0
