"""Pure decisions: what is wanted and what is seen give a plan. No I/O, no clock."""
