"""How orchestration's state changes: one pure function of view and event, in modules by what they are about."""
