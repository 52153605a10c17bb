# The process that has the socket of the inode $inode open.
file=$(find /proc/[0-9]*/fd -lname "socket:\[$inode\]" 2>/dev/null | head -n 1)
if [ -n "$file" ]; then
	file=${file#/proc/}
	describe "${file%%/*}"
fi
