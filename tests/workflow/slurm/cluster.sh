#!/usr/bin/env bash
# cluster.sh COMMAND…: runs COMMAND beside a real SLURM of two nodes on this machine (Debian, root, no systemd).
#
# All of it lives in namespaces of its own, so that nothing is left when COMMAND ends, however it ends. Each node is
# another namespace: killing the process in $SLURM_TEST/n1.pid is a node that loses power. Where this cannot be had,
# COMMAND runs without it and finds the reason in NO_SLURM.
set -euo pipefail

without() {
    export NO_SLURM=$1
    exec "${@:2}"
}

isolated=(unshare --mount --pid --fork --kill-child --mount-proc) # killed, it takes all below it along

configure() {
    mkdir "$SLURM_TEST"/{etc,run,log,state}
    (umask 077 && head -c 1024 /dev/urandom > "$SLURM_TEST/munge.key")
    printf '%s\n' CgroupPlugin=cgroup/v1 CgroupMountpoint=/sys/fs/cgroup IgnoreSystemd=yes > "$SLURM_TEST/etc/cgroup.conf"
    touch "$SLURM_TEST/etc/plugstack.conf"
    local host port=$((20000 + $$ % 20000))
    host=$(hostname -s)
    # a node that is silent for 10 s is down; its jobs start again elsewhere once their credential has expired
    cat > "$SLURM_TEST/etc/slurm.conf" <<CONF
ClusterName=test
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$port
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$SLURM_TEST/run/munge.sock,cred_expire=15
CredType=cred/munge
CommunicationParameters=NoAddrCache
SlurmctldPidFile=$SLURM_TEST/run/slurmctld.pid
SlurmdPidFile=$SLURM_TEST/run/slurmd-%n.pid
SlurmctldLogFile=$SLURM_TEST/log/slurmctld.log
SlurmdLogFile=$SLURM_TEST/log/slurmd-%n.log
StateSaveLocation=$SLURM_TEST/state
SlurmdSpoolDir=$SLURM_TEST/state/spool-%n
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
MpiDefault=none
SchedulerParameters=sched_interval=2,bf_interval=2,batch_sched_delay=0,defer_batch
SlurmdParameters=config_overrides
SlurmdTimeout=10
KillWait=5
MinJobAge=3600
PropagateResourceLimits=NONE
NodeName=n1 NodeHostname=$host NodeAddr=127.0.0.1 Port=$((port + 1)) CPUs=1 RealMemory=64000
NodeName=n2 NodeHostname=$host NodeAddr=127.0.0.1 Port=$((port + 2)) CPUs=1 RealMemory=64000
PartitionName=main Nodes=n[1-2] Default=YES
CONF
}

start() {
    mount --bind "$SLURM_TEST/etc" /etc/slurm # where a job's srun looks for slurm.conf
    munged --force --key-file="$SLURM_TEST/munge.key" --socket="$SLURM_TEST/run/munge.sock" --num-threads=2 \
        --pid-file="$SLURM_TEST/run/munged.pid" --log-file="$SLURM_TEST/log/munged.log" \
        --seed-file="$SLURM_TEST/run/munged.seed"
    slurmctld
    local node
    for node in n1 n2; do
        "${isolated[@]}" slurmd -D -N $node &> /dev/null &
        echo $! > "$SLURM_TEST/$node.pid"
    done
    for _ in $(seq 300); do
        [ "$(sinfo -h -N -o %t | grep -c idle)" = 2 ] && return
        sleep 0.2
    done
    echo "the nodes did not come up within a minute:" >&2
    tail -n 20 "$SLURM_TEST"/log/*.log >&2
    exit 1
}

if [ "${1:-}" = --inside ]; then
    start
    "${@:2}"
    exit
fi
[ "$(id -u)" = 0 ] || without "a SLURM of our own takes root" "$@"
"${isolated[@]}" true 2> /dev/null || without "namespaces cannot be made here" "$@"
if ! type slurmctld slurmd sbatch munged &> /dev/null; then
    type apt-get &> /dev/null || without "slurm-wlm and munge are not installed, and there is no apt-get" "$@"
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends slurm-wlm munge
    } > /dev/null || without "slurm-wlm and munge are not installed, and apt-get cannot get them" "$@"
fi
SLURM_TEST=$(mktemp -d)
export SLURM_TEST NO_SLURM=
mkdir -p /etc/slurm
configure
"${isolated[@]}" "$0" --inside "$@" & # in the background, so that a signal ends it at once
inside=$!
trap 'kill -9 $inside 2> /dev/null || true; wait; rm -rf "$SLURM_TEST"' EXIT
wait $inside
