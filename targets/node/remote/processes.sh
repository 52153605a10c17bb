# The processes that carry a mark of the machine $from.
for pid in $(marked "SPARKRUN_NODE_FROM=$from"); do describe "$pid"; done
