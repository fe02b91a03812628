"""Who may hand on which rights: escalation by roles and bindings, and impersonation."""
