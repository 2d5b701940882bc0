"""Looking at everything in a store, and saving what is sound of a damaged one."""
