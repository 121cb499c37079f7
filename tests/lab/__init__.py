"""The rehearsal world: its parts by themselves, and one small lab for real."""
