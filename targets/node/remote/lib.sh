# What the scripts of a node share. They are given to sh over its standard input, after
# assignments of the variables that they use; they need a POSIX sh, /proc, the coreutils,
# grep and sed.
language=${LC_ALL-}
LC_ALL=C
export LC_ALL

# describe PID prints a process: its /proc/PID/stat, its mark, an empty line. A newline in
# a mark is \001.
describe() {
	IFS= read -r line 2>/dev/null <"/proc/$1/stat" || return 0
	printf '%s\n' "$line"
	{ tr '\000\n' '\n\001' <"/proc/$1/environ" | grep -E '^SPARKRUN_NODE_(RUN|SERVER)='; } 2>/dev/null
	echo
}

# marked NAME=VALUE prints the pids of the processes that have it in their environment.
marked() {
	for file in $(grep -lzxF -- "$1" /proc/[0-9]*/environ 2>/dev/null); do
		file=${file#/proc/}
		echo "${file%/environ}"
	done
}

# stat_of PID sets state, pgrp, session and started (proc_pid_stat(5)).
stat_of() {
	IFS= read -r line 2>/dev/null <"/proc/$1/stat" || return 1
	set -- ${line##*) }
	state=$1 pgrp=$3 session=$4 started=${20}
}
