# Removes the file $new of put.sh.
cd -- "$dir" && rm -f -- "$new"
