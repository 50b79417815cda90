"""Who is here, and who hears what: sessions, channels, rooms and timers, in plain synchronous Python."""
