"""`scripts/chaos`: the real platform, things broken on purpose, and a ledger of what became of every message."""
