"""`catalog_run_index`: runs and tasks side by side, by what they make; derived from orchestration's rows."""
