"""Admission: webhooks and policies that other programs bring, asked of every write.

https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/

Writes are decided without waiting (`machinery/verbs.py`), webhooks answer over the network. So a write that needs one
stops where it is (`PendingError`), the answer is fetched, and the write is done over from its start, this time with the
answer at hand. What was stored meanwhile is seen by the second attempt, and its webhooks are asked anew where it made a
difference.
"""
