"""`scripts/bench`: how fast the platform is, what that costs, and how far it is from one plain process."""
