"""Who somebody is and what they may do: certificates, tokens, RBAC, impersonation, escalation. Knows no HTTP paths."""
