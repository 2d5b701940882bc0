"""The file itself: connections and their errors, locks, private copies, what a crash left."""
