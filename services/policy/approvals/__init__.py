"""Actions that wait for people: what is asked, who answered, and that it is done once, exactly as it was approved."""
