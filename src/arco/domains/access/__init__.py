"""Who may do what, and who did: for now the durable audit log of a workspace (catalog.md 5.7)."""
