# Gives the file $new of put.sh its mode and its name, in one step.
cd -- "$dir" && chmod "$mode" -- "$new" && mv -f -- "$new" "$base" || exit 91
