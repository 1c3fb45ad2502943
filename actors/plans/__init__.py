"""Plans: goals that are turned into tasks."""
