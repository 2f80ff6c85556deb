"""Marks of seen messages in Postgres: each leads to the partition in which its message has a row.

A message's mark and its row are made together, the mark first: who makes the mark makes the row, and of many at the
same moment one does, whatever the month. The row's `created_at` is the mark's `seen_at` for good. A mark without a row
is that of a message whose row has gone.
"""

from __future__ import annotations

# For a statement that inserts marks as `marked`, and then the rows of those that it inserted. IS TRUE keeps this a
# look-up into a hash: as a join, each row would be compared with every mark.
HAS_MADE_ITS_MARK = "((tenant_id, message_id) IN (SELECT tenant_id, key_hash FROM marked)) IS TRUE"


def is_row_of(message: str, mark: str, key: str = "key_hash") -> str:
    """The condition that `message`, of messages, is the row of `mark`, whose message id is called `key`.

    Marks must come from a step of their own, or an outer join: else the planner may look into every partition first.
    """
    # = ANY serves no merge join: as a partition of which it is known that it was empty looks, reading all of its index
    # in the tenants' order would be as cheap as one look-up, and the plan is kept while the partition fills.
    return (
        f"{message}.tenant_id = ANY (ARRAY[{mark}.tenant_id]) AND {message}.message_id = {mark}.{key}"
        f" AND {message}.created_at = {mark}.seen_at"
    )
